from .demonstration import make_demo as make_demo
from .encoding import encode as encode
from .evaluation.figures import evaluate_model as evaluate_model
from .exporting import export_model as export_model
from .importing import import_course as import_course
from .new_sounds.generating import generate as generate
from .new_sounds.going_on import continue_sound as continue_sound
from .new_sounds.going_on import vary as vary
from .pages.dataset_page import write_dataset_page as write_dataset_page
from .pages.report import write_report as write_report
from .playing.app import open_app as open_app
from .relearning import learn_prior as learn_prior
from .rerun.running import run_again as run_again
from .rerun.watching import watch as watch
from .sound.generator import SoundGenerator as SoundGenerator
from .sound.making import decode as decode
from .sound.making import interpolate as interpolate
from .sound.reconstruction import reconstruct as reconstruct
from .training.trainer import train_model as train_model
from .vae.autoencoder import Autoencoder as Autoencoder
from .vae.variational import VAE as VAE

__version__: str
