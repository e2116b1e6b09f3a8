from .autoencoder import Autoencoder as Autoencoder
from .model import AutoencoderModel as AutoencoderModel
from .saving import load_model as load_model
from .variational import VAE as VAE
from .variational import VAEModel as VAEModel
from .variational import build as build
from .variational import wrap as wrap
