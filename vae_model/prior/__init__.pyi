from .prior import Drawn as Drawn
from .prior import Prior as Prior
from .relearning import learn_prior as learn_prior
