from .evaluation import evaluate as evaluate
from .figures import Figures as Figures
from .figures import evaluate_model as evaluate_model
