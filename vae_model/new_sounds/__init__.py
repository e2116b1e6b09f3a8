"""New sounds into files: drawn by label and of any length, going on after a recording, varied."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
