from .watching import Watch as Watch
from .watching import watch as watch
