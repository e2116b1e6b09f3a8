from .prior import Drawn as Drawn
from .prior import Prior as Prior
