"""All of it again as far as audio is new: stages, state, promotion, drift, and waiting for new audio."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
