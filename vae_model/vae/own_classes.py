"""Classes of a user's own that models are of, by the names that model folders have of them."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import keras

from pipelines.errors import SettingError
from vae_model.model_folder.own_code import check_import_allowed, module_of
from vae_model.vae.model import AutoencoderModel

_OURS = __name__.partition(".")[0]
_known: dict[str, Any] = {}


def own_name(kind: type) -> str:
    """`module:Class` of a class of a user's own; nothing for those of this package."""
    return "" if kind.__module__.partition(".")[0] == _OURS else f"{kind.__module__}:{kind.__name__}"


def remember(kind: type) -> None:
    """Have a class of a user's own found by its name while this process lasts, also one of a notebook."""
    if name := own_name(kind):
        _known[name] = kind


def class_of(code: str, kind_of_model: str) -> Any:
    """The subclass of Autoencoder or VAE that `code` names, imported if need be; of this kind.

    Its module may be in the working folder. SettingError when nobody has asked for the module, or it has no such class.
    """
    module = module_of(code)
    if code not in _known:
        check_import_allowed(code)
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise SettingError(f"code={code} must be a module that can be imported: {error}") from error
    kinds = {name: kind for name, kind in _known.items() if code in (name, module_of(name))}
    if len(kinds) != 1:
        wanted = " or ".join(kinds) or f"of the module {module} that is a subclass of VAE or Autoencoder"
        raise SettingError(f"code={code} must be one class: {wanted}")
    (kind,) = kinds.values()
    if kind.kind != kind_of_model:
        raise SettingError(
            f"code={code} must be of kind {kind_of_model}, it is of {kind.kind}: give --model {kind.kind}"
        )
    return kind


def registered_models(code_and_kind: tuple[str, str]) -> set[str]:
    """The names by which Keras knows the models that a file may hold: those of this package, or of the code's class."""
    if code_and_kind[0]:
        kinds = [class_of(*code_and_kind).model_class]
    else:
        kinds = [AutoencoderModel, *(kind for kind in AutoencoderModel.__subclasses__() if not own_name(kind))]
    return {str(keras.saving.get_registered_name(kind)) for kind in kinds}
