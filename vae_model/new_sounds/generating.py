"""New sounds: drawn from what a model learned of its latents, by label and of any length, each into a WAV file."""

from __future__ import annotations

import copy
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.config import TRAIN
from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.errors import SettingError, require
from pipelines.store.paths import Place
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import NO_CHANGE, PHASES
from vae_model.model_folder.outputs import output_folder
from vae_model.model_folder.prior_settings import FLOW, NONE, PriorSettings
from vae_model.runtime import prepare
from vae_model.sound.wav import WavFile, require_normalisation, write_sounds

if TYPE_CHECKING:
    from vae_model.prior.prior import Drawn, Prior
    from vae_model.sound.generator import SoundGenerator

LEARNED, GAUSSIAN, STANDARD_NORMAL, DATASET = ORIGINS = "learned", "gaussian", "standard-normal", "dataset"
"""Where latents of new sounds come from."""
_EARLIER = {"fitted": GAUSSIAN, "prior": STANDARD_NORMAL}
_MOST_SECONDS = 3600.0


@dataclass(frozen=True)
class Generated:
    """New sounds. seed: gives them again. origin: where their latents came from."""

    sample_rate: int
    seed: int
    phase: str
    origin: str
    written: tuple[WavFile, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        values = {"sample_rate": self.sample_rate, "seed": self.seed, "phase": self.phase, "from": self.origin}
        return values | {"written": [file.to_dict() for file in self.written]}


def generate(
    model: Place,
    output: Place,
    count: int = 1,
    *,
    origin: str | None = None,
    labels: Mapping[str, str] | None = None,
    seconds: float | None = None,
    guidance: float | None = None,
    temperature: float | None = None,
    dataset: Dataset | Place | None = None,
    split: str | None = None,
    seed: int | None = None,
    phase: str = PHASES[0],
    normalise: str = NO_CHANGE,
) -> Generated:
    """Write `count` new sounds as generated-00001.wav and so on: `audio-vae generate`.

    model: the MODEL folder at a path or URI. output: the folder to write into. origin: where latents come from:
    `learned` for the model's prior, by default where it has one, `gaussian` for the Gaussian that fits the training
    latents, `standard-normal` for N(0, I), `dataset` for the posteriors of sounds of `dataset`, of its split `split`.
    labels: what the sounds are to be; what is not named is as often as in the data. seconds: how long each is, a
    segment unless given. guidance: how much more than the data they are what their labels say. temperature: of the
    noise; less is more alike. seed: the same one gives the same sounds; a new one unless given. phase, normalise: how
    phases are found, and how loud the files are made, docs/sound.md. SettingError when the arguments don't go together,
    the dataset does not fit the model, or a label is none that it learned.

    >>> new = generate(model, folder / "new", 2, seed=3)
    >>> new.origin, [file.num_samples for file in new.written], new.sample_rate
    ('gaussian', [16320, 16320], 16000)
    """
    model, output = os.fspath(model), os.fspath(output)
    seed = settled_seed(seed)
    require_normalisation(normalise)
    require(count > 0, "--count", count, "a positive number of sounds")
    check_sampling(guidance, temperature)
    bundle = Bundle.load(model)  # mistakes show before TensorFlow's seconds of loading
    origin = settled_origin(origin, bundle, model)
    _check_together(origin, bundle, labels, seconds, {"guidance": guidance, "temperature": temperature})
    drawn_from = _dataset_of(origin, dataset, split, bundle, model)
    with output_folder(output) as folder:
        prepare()
        from vae_model.sound import latents
        from vae_model.sound.generator import SoundGenerator

        generator = SoundGenerator.load(model, seed, phase)
        about: list[dict[str, Any]] = [{} for _ in range(count)]
        if origin == LEARNED:
            length = 1 if seconds is None else num_segments(seconds, generator)
            parts = prior_of(generator, guidance, temperature).sequences(count, length, seed, labels)
            about = [{"labels": known} if known else {} for known in parts[0].labels]
            waveforms = _in_a_row(generator, parts, seconds)
        elif drawn_from is not None:
            picked = latents.pick(drawn_from.records(split or TRAIN), dict(labels or {}), count, seed)
            drawn, ranges = latents.from_records(generator, picked, seed)
            about = [{"source": record.source, "segment": record.segment} for record in picked]
            waveforms = generator.decode(drawn, ranges)
        elif origin == STANDARD_NORMAL:
            waveforms = generator.decode(latents.standard_normal(generator.autoencoder, count, seed))
        else:
            waveforms = generator.decode(generator.autoencoder.sample_latents(count, seed))
        rate = bundle.audio.sample_rate
        if seconds is not None:
            waveforms = (waveform[: round(seconds * rate)] for waveform in waveforms)
        written = write_sounds(folder, "generated", waveforms, rate, count, about, normalise)
    return Generated(rate, seed, phase, origin, written)


def settled_seed(given: int | None) -> int:
    """The seed that was given, or a new one. SettingError when it is out of range."""
    seed = secrets.randbelow(2**31) if given is None else given
    require(0 <= seed < 2**31, "--seed", seed, "at least 0 and below 2**31")
    return seed


def check_sampling(guidance: float | None, temperature: float | None) -> None:
    """SettingError for a guidance or a temperature that can't be."""
    require(guidance is None or 0 <= guidance <= 100, "--guidance", guidance, "a number from 0 to 100")
    require(temperature is None or 0 <= temperature <= 10, "--temperature", temperature, "a number from 0 to 10")


def settled_origin(given: str | None, bundle: Bundle, model: str) -> str:
    """Where latents come from: as given, else what the model has. SettingError for what it has not, or is no origin."""
    if given in _EARLIER:
        raise SettingError(f"--from {given} is called --from {_EARLIER[given]} now")
    require(given is None or given in ORIGINS, "--from", given, f"one of {', '.join(ORIGINS)}")
    has_flow = bundle.prior is not None and bundle.prior.kind == FLOW
    if given == LEARNED and not has_flow:
        raise SettingError(f"--from {LEARNED} must be of a model with a prior: {_how(model)} learns it")
    if given is not None or has_flow:
        return given or LEARNED
    if bundle.prior is None:
        line = f"{model} has no learned prior: drawing from the Gaussian of its latents. To learn one, for new sounds "
        print(f"{line}worth hearing: {_how(model)}", file=sys.stderr)
    return STANDARD_NORMAL if bundle.prior is not None and bundle.prior.kind == NONE else GAUSSIAN


def num_segments(seconds: float, generator: SoundGenerator) -> int:
    """Segments that a sound of this length is made of, overlapping as those of a long reconstruction."""
    segmentation = generator.inverter.segmentation
    audio = generator.bundle.audio
    beyond = round(seconds * audio.sample_rate) - audio.segment_samples
    return 1 + max(0, -(-beyond // (segmentation.hop_frames * segmentation.hop_length)))


def require_learned(bundle: Bundle, model: str) -> PriorSettings:
    """What a model's learned prior knows. SettingError when it has none."""
    if bundle.prior is None or bundle.prior.settings is None:
        raise SettingError(f"MODEL {model} must have a learned prior: {_how(model)} learns it")
    return bundle.prior.settings


def require_before(learned: PriorSettings, bundle: Bundle, argument: str) -> None:
    """SettingError unless a prior knows how sounds go on."""
    if not learned.with_before:
        raise SettingError(
            f"{argument} must be of a prior that knows how sounds go on: in the dataset that it was learned from no "
            f"file is longer than a segment, {bundle.audio.segment_seconds:g} s"
        )


def _how(model: str) -> str:
    return f"audio-vae prior {model} DATASET"


def _check_together(
    origin: str,
    bundle: Bundle,
    labels: Mapping[str, str] | None,
    seconds: float | None,
    sampling: Mapping[str, float | None],
) -> None:
    """SettingError where arguments don't go with where the latents come from."""
    learned = bundle.prior.settings if origin == LEARNED and bundle.prior is not None else None
    for name, value in sampling.items():
        if value is not None and learned is None:
            raise SettingError(f"--{name} must come with --from {LEARNED}, not --from {origin}")
    if labels is not None and origin not in (LEARNED, DATASET):
        raise SettingError(f"--label must come with --from {LEARNED} or {DATASET}, not --from {origin}")
    if learned is not None:
        learned.check_labels(labels or {})
    if seconds is None:
        return
    require(0 < seconds <= _MOST_SECONDS, "--seconds", seconds, f"more than 0 and at most {_MOST_SECONDS:g}")
    if seconds > bundle.audio.segment_seconds:
        if learned is None:
            raise SettingError(f"--seconds={seconds:g} over a segment must come with --from {LEARNED}")
        require_before(learned, bundle, f"--seconds={seconds:g}")


def _dataset_of(
    origin: str, dataset: Dataset | Place | None, split: str | None, bundle: Bundle, model: str
) -> Dataset | None:
    """The dataset to draw from, None for another origin. SettingError where arguments don't go together."""
    if origin != DATASET:
        for name, value in (("dataset", dataset), ("split", split)):
            if value is not None:
                raise SettingError(f"--{name} must come with --from {DATASET}, not --from {origin}")
        return None
    if dataset is None:
        raise SettingError(f"--from {DATASET} must come with --dataset DATASET")
    found = open_dataset(dataset)
    bundle.check_fits(found, model)
    split = split or TRAIN
    require(found.split(split).num_examples > 0, "--split", split, f"one that holds records in {found.uri}")
    return found


def _in_a_row(generator: SoundGenerator, parts: list[Drawn], seconds: float | None) -> Iterator[NDArray[np.float32]]:
    """Sounds of one segment, or of several that follow one another: of each of these the latents of all sounds."""
    typical = generator.bundle.value_range
    if len(parts) == 1:
        return generator.decode(parts[0].latents, parts[0].ranges(typical))
    ranges = [part.ranges(typical) for part in parts]
    total = round((seconds or 0) * generator.bundle.audio.sample_rate)

    def long_sound(number: int) -> NDArray[np.float32]:
        latents = np.stack([part.latents[number] for part in parts])
        return np.concatenate(list(generator.join(latents, [own[number] for own in ranges], total)))

    return map(long_sound, range(len(parts[0].latents)))


def prior_of(generator: SoundGenerator, guidance: float | None, temperature: float | None) -> Prior:
    """The learned prior of a model that has one; guidance and temperature as usual unless given."""
    assert generator.prior is not None
    prior = copy.copy(generator.prior)
    prior.guidance = prior.guidance if guidance is None else guidance
    prior.temperature = prior.temperature if temperature is None else temperature
    return prior
