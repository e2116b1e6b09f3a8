"""A file's settings of a model and its training, over those of the preset that it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.errors import SettingError, shortened
from pipelines.settings import with_values
from vae_model.model_folder.presets import PRESETS, Preset

DEFAULT = "default"
PRESET_KEY = "preset"


def file_settings(file: Mapping[str, Any], where: str, base: Preset | None = None) -> list[Any]:
    """ModelConfig and TrainConfig of `base`, else of the preset that a file names, with the file's settings over them.

    where: the file, for errors.
    """
    named = file.get(PRESET_KEY, DEFAULT)
    if not isinstance(named, str) or named not in PRESETS:
        raise SettingError(f"{where}: {PRESET_KEY}={shortened(named)} must be one of {', '.join(PRESETS)}")
    preset = base or PRESETS[named]
    in_file = {name: value for name, value in file.items() if name != PRESET_KEY}
    return with_values((preset.model, preset.train), in_file, where)
