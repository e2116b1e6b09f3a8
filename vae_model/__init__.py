"""The model side of audio-vae: a dataset becomes a trained autoencoder or VAE, and latents become sound.

    from vae_model import generate, train_model

    train_model("dataset/", "model/", preset="speech")
    sounds = generate("model/", "new/", count=8)

`__init__.pyi` lists the public names, among them a function for every command; each is imported when it is first asked
for, and TensorFlow when one of them needs it.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import lazy_loader

_NAME, _COMMAND = "pipelines", "audio-vae"


def _require_own_pipelines() -> None:
    """ImportError in a line when Python finds another folder of the name; the command ends with that and status 2.

    Without this, what shows is that a module of it is missing.
    """
    own = Path(__file__).resolve().parents[1] / _NAME
    found = _place_of(sys.modules[_NAME].__spec__ if _NAME in sys.modules else find_spec(_NAME))
    if found is None or found.resolve() == own:
        return
    line = (
        f"{found} hides the package {_NAME} of audio-vae in {own}: rename the one that is yours, or run from another "
        "folder and with that one not on PYTHONPATH"
    )
    if sys.argv[0] == "-m" or Path(sys.argv[0]).stem == _COMMAND:  # python -m vae_model, while it is being found
        print(f"{_COMMAND}: {line}", file=sys.stderr)
        sys.exit(2)
    raise ImportError(line)


def _place_of(spec: ModuleSpec | None) -> Path | None:
    """The folder of a package, or the file of a module; None where there is none."""
    if spec is None:
        return None
    places = [*(spec.submodule_search_locations or []), *filter(None, [spec.origin])]
    return Path(places[0]) if places else None


_require_own_pipelines()

from pipelines import __version__ as __version__  # noqa: E402

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
