"""The web page on which to play with a model: its server, what it makes of sounds, and what is on it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
