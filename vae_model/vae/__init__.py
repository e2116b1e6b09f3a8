"""The models themselves: layers, losses, Autoencoder and VAE, and the model that takes waveforms."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
