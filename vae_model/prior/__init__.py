"""What new sounds are drawn from: a flow that is learned of a model's latents, by label."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
