"""The models themselves: layers, losses, Autoencoder and VAE, and the model that takes waveforms."""

from vae_model.vae.autoencoder import Autoencoder
from vae_model.vae.model import AutoencoderModel
from vae_model.vae.saving import load_model
from vae_model.vae.variational import VAE, VAEModel, build, wrap

__all__ = ["VAE", "Autoencoder", "AutoencoderModel", "VAEModel", "build", "load_model", "wrap"]
