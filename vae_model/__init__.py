"""The model side of audio-vae: a dataset becomes a trained autoencoder or VAE, and latents become sound.

    from vae_model import generate, train_model

    train_model("dataset/", "model/", preset="speech")
    sounds = generate("model/", "new/", count=8)

`__init__.pyi` lists the public names, among them a function for every command; each is imported when it is first asked
for, and TensorFlow when one of them needs it.
"""

import lazy_loader

from pipelines import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
