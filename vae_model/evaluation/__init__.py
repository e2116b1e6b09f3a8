"""How good a model is: errors, posterior, probes, and predictors that learn nothing deep."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
