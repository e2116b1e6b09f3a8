from .run_state import Training as Training
from .trainer import train_model as train_model
