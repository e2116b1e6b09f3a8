"""Training a model on a dataset: what is asked for, settled before TensorFlow is imported."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.errors import SettingError, require
from pipelines.settings import with_values
from pipelines.settings_file import read_settings
from pipelines.store.paths import Place
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import ModelConfig, TrainConfig
from vae_model.model_folder.own_code import allow_import
from vae_model.model_folder.presets import PRESETS, Preset
from vae_model.model_folder.settings_of_file import PRESET_KEY, file_settings
from vae_model.runtime import prepare
from vae_model.training.run_state import RunState, Training

if TYPE_CHECKING:
    import keras


def train_model(
    dataset: Dataset | Place,
    output: Place,
    model: ModelConfig | None = None,
    train: TrainConfig | None = None,
    *,
    preset: str | None = None,
    config: Place | None = None,
    resume: bool = False,
    start: Place | None = None,
    quiet: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **settings: Any,
) -> Training:
    """Train a model on a dataset and leave it in the MODEL folder `output`, a path or URI: `audio-vae train`.

    dataset: an open one, or the path or URI of one. Settings come from the preset, then from the YAML file `config`,
    then from `settings`, any option of the command by its name; where no preset is named, from the run that is resumed
    or the model at `start`. model, train: all settings at once instead; input_shape is taken from the dataset in any
    case. resume: go on where the run in `output` stopped, else begin. start: a MODEL folder at whose weights and value
    range to begin; its architecture must be the same, and it is kept when no epoch has a lower validation loss. quiet:
    no progress on standard error. callbacks: more of Keras's, before the trainer's own. On Ctrl-C all is saved and a
    WorkError says how to go on. SettingError when the dataset is none, or `output` holds something and `resume` is not
    given, or the run in it had other settings.

    On a store each checkpoint is uploaded when it is saved. If that fails, standard error says so and the next one is
    tried; WorkError when the last can't be uploaded: all is then kept in a local folder, which the error names.

    On the CPU the same seed gives the same weights bit by bit, also when the run was stopped and resumed: TensorFlow's
    kernels that these models use add up in a fixed order there for a given number of threads. (With its
    `enable_op_determinism` the weights are the same ones.) On a GPU they may differ in the last digits.

    >>> small = {"conv_filters": (4, 4, 4), "latent_space_dim": 2}
    >>> training = train_model(dataset, folder / "small", preset="tiny", epochs=1, quiet=True, **small)
    >>> training.epochs, training.best_epoch, sorted(training.metrics)[:2]
    (1, 1, ['kl_loss', 'loss'])
    """
    output, start = os.fspath(output), None if start is None else os.fspath(start)
    ready = model is not None or train is not None
    base = Preset(model or ModelConfig(), train or TrainConfig()) if ready else None
    if ready and preset is not None:
        raise SettingError(f"preset={preset!r} must not come with all settings of a model or a training")
    where = "" if config is None else os.fspath(config)
    file = read_settings(where) if where else {}
    chosen = settled_settings(preset, file, where, settings, base)
    if code := settings.get("code") or (model.code if model is not None else ""):
        allow_import(code)  # asked for by name
    dataset = open_dataset(dataset)
    origin = Bundle.load(start) if start is not None else None
    state = RunState.load(output) if resume else None
    if preset is None and PRESET_KEY not in file and not ready:
        known = origin if state is None else state.bundle
        if known is not None:
            chosen = settled_settings(None, file, where, settings, Preset(known.model, known.train))
    model = dataclasses.replace(chosen.model, input_shape=dataset.record.shape)
    if state is not None and (state := state.going_on(dataset, output, model, chosen.train)).is_done(output):
        if not quiet:
            print(f"nothing to do: {state.ending}", file=sys.stderr)
        return state.outcome(output if "://" in output else str(Path(output)))
    prepare()  # what the user may have got wrong showed before these seconds
    from vae_model.training.run import run_training

    how: Any = {"resume": resume, "start": start, "quiet": quiet, "callbacks": callbacks}
    return run_training(dataset, output, model, chosen.train, **how)


def settled_settings(
    preset: str | None, file: Mapping[str, Any], where: str, given: Mapping[str, Any], base: Preset | None = None
) -> Preset:
    """The settings of the preset, or of `base`, with those of a file over them, and those that are given over all.

    where: the file, for errors.
    """
    require(preset is None or preset in PRESETS, PRESET_KEY, preset, f"one of {', '.join(PRESETS)}")
    configs = file_settings(file, where, base or (None if preset is None else PRESETS[preset]))
    return Preset(*with_values(configs, dict(given)))
