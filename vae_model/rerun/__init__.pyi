from .running import RerunResult as RerunResult
from .running import run_again as run_again
from .watching import Watch as Watch
from .watching import watch as watch
