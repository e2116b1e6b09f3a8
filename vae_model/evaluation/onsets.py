"""What is left of onsets: how much sound is before them, how fast they rise, how loud they get. By the recordings.

A spectrogram knows when something began to a frame only, so what is made of it may begin too soon, which is heard as
a softer blow with a breath before it. No error of levels in a spectrogram shows that; the waveforms do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from pipelines.audio.features import has_sound
from pipelines.dataset.folder import Dataset
from pipelines.dataset.records import Record
from vae_model.evaluation.batches import sample
from vae_model.sound.generator import SoundGenerator
from vae_model.sound.recordings import LATEST_SECONDS, Recordings

MAX_SOUNDS = 64
"""Records of a split whose recordings are looked at, evenly picked."""
BESIDE_SECONDS = 0.02
"""What is before an onset is compared with as much behind it."""
ATTACK_SECONDS = 0.05
"""An attack, and the peak that it leads to, are looked for so far on both sides of the steepest rise."""
LEAST_RISE_DB = 10.0
"""What rises by less, from the mean power before to that behind, is no onset."""
FLOOR_DB = -80.0
"""Nothing is taken for quieter than that beside what it is compared with; a record's own floor is there too."""
_AT_ONCE = 4


@dataclass(frozen=True)
class Onset:
    """Where a sound begins, in samples. rise: where it rises most steeply. start: where it has a tenth of its peak."""

    rise: int
    start: int


@dataclass(frozen=True)
class Shape:
    """An onset in figures. before_db: power in the 20 ms before it by that in the 20 ms behind it. attack_ms: from a
    tenth to nine tenths of the peak. peak: of the level, at full scale ±1.
    """

    before_db: float
    attack_ms: float
    peak: float


def level(waveform: NDArray[np.float32], sample_rate: int) -> NDArray[np.float64]:
    """Root mean square (n_samples,) over a millisecond and all channels of a waveform (n_samples, n_channels)."""
    power = np.square(waveform.astype(np.float64)).mean(axis=1)
    size = max(1, round(sample_rate / 1000))
    return np.asarray(np.sqrt(np.maximum(uniform_filter1d(power, size, mode="constant"), 0)))


def find_onset(waveform: NDArray[np.float32], sample_rate: int) -> Onset | None:
    """The onset of a waveform (n_samples, n_channels) that rises most from the 20 ms before it to those behind it.

    None when it rises by less than 10 dB, slower than within 50 ms, or has not 20 ms of the waveform on both sides.

    >>> import numpy as np
    >>> click = np.zeros((8000, 1), np.float32)
    >>> click[4000:4400] = 0.5
    >>> found = find_onset(click, 8000)
    >>> found is not None and abs(found.start - 4000) < 8
    True
    """
    count = round(BESIDE_SECONDS * sample_rate)
    power = np.square(waveform.astype(np.float64)).mean(axis=1)
    if len(power) <= 2 * count or not power.any():
        return None
    sums = np.concatenate([[0.0], np.cumsum(power)])
    means = np.maximum(sums[count:] - sums[:-count], 0) / count
    floor = means.max() * 10 ** (FLOOR_DB / 10)
    rise = count + int(np.argmax((means[count:] + floor) / (means[:-count] + floor)))
    start, _, _ = _attack(level(waveform, sample_rate), rise, sample_rate)
    if start is None or not count <= start <= len(power) - count:
        return None
    onset = Onset(rise, start)
    return onset if before_db(waveform, onset.start, sample_rate) <= -LEAST_RISE_DB else None


def before_db(waveform: NDArray[np.float32], start: int, sample_rate: int) -> float:
    """The mean power in the 20 ms before a sample by that in the 20 ms from it on, in dB, within ±80."""
    count = round(BESIDE_SECONDS * sample_rate)
    parts = waveform[max(start - count, 0) : start], waveform[start : start + count]
    before, behind = (float(np.square(part.astype(np.float64)).mean()) for part in parts)
    tiny = 1e-30
    return float(np.clip(10 * np.log10((before + tiny) / (behind + tiny)), FLOOR_DB, -FLOOR_DB))


def shape_of(waveform: NDArray[np.float32], onset: Onset, sample_rate: int) -> Shape:
    """What a waveform has where another, or itself, has an onset.

    An attack that does not begin within 50 ms before the rise counts from there.
    """
    start, top, peak = _attack(level(waveform, sample_rate), onset.rise, sample_rate)
    if start is None:
        start = max(onset.rise - round(ATTACK_SECONDS * sample_rate), 0)
    return Shape(before_db(waveform, onset.start, sample_rate), (top - start) / sample_rate * 1000, peak)


def _attack(levels: NDArray[np.float64], rise: int, sample_rate: int) -> tuple[int | None, int, float]:
    """The last sample with less than a tenth of the peak before the first with nine tenths; that one; the peak."""
    reach, count = round(ATTACK_SECONDS * sample_rate), round(BESIDE_SECONDS * sample_rate)
    begin, first = max(rise - reach, 0), max(rise - count, 0)
    near = levels[first : rise + reach]
    peak = float(near.max())
    top = first + int(np.argmax(near >= 0.9 * peak))
    below = np.flatnonzero(levels[begin:top] < 0.1 * peak)
    return (begin + int(below[-1]) if len(below) else None), top, peak


def figures_of(shapes: Sequence[Sequence[Shape]]) -> dict[str, Any]:
    """Medians over onsets, at least one, of the original, the true spectrogram and the reconstruction of each.

    before_change_db and peak_change_db: against the original.
    """
    figures: dict[str, Any] = {}
    for number, name in enumerate(("original", "spectrogram", "reconstruction")):
        found: dict[str, list[float]] = {"before_db": [], "attack_ms": []}
        for each in shapes:
            shape, original = each[number], each[0]
            found["before_db"].append(shape.before_db)
            found["attack_ms"].append(shape.attack_ms)
            if number:
                change = 20 * np.log10(max(shape.peak / original.peak, 10 ** (FLOOR_DB / 20)))
                found.setdefault("before_change_db", []).append(shape.before_db - original.before_db)
                found.setdefault("peak_change_db", []).append(float(change))
        figures[name] = {key: float(np.median(values)) for key, values in found.items()}
    return figures


def measure_onsets(
    generator: SoundGenerator,
    dataset: Dataset,
    split: str,
    seed: int = 0,
    recordings: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Onsets of a split's recordings, of their spectrograms made sound, and of reconstructions: docs/metrics.md.

    seed: of sampled latents. recordings: as of Recordings. Where there is nothing to measure the figures are None, and
    `why` says why.
    """
    nothing = {"original": None, "spectrogram": None, "reconstruction": None}
    bundle = generator.bundle
    if not has_sound(bundle.audio, bundle.spectrogram):
        why = f"no sound can be made of feature={bundle.spectrogram.feature} here"
        return {"num": 0, "num_heard": 0, **nothing, "why": why}
    known, rng = Recordings(dataset, recordings), np.random.default_rng(seed)
    say("measuring onsets")
    num_heard, jobs, shapes = 0, deque[Future[list[Shape]]](), []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for record in sample(dataset, split, MAX_SOUNDS):
            waveform = known.segment(record) if record.start_seconds <= LATEST_SECONDS else None
            if waveform is None:
                continue
            num_heard += 1
            onset = find_onset(waveform, bundle.audio.sample_rate)
            if onset is not None:
                made = _reconstruction(generator, record, rng)
                jobs.append(pool.submit(_shapes, generator, onset, waveform, record, made))
            if len(jobs) > _AT_ONCE:  # segments may be long
                shapes.append(jobs.popleft().result())
        shapes += [job.result() for job in jobs]
    if shapes:
        return {"num": len(shapes), "num_heard": num_heard, **figures_of(shapes), "why": None}
    why = f"none of {num_heard} sounds has one after 20 ms" if num_heard else "the recordings are not found"
    return {"num": 0, "num_heard": num_heard, **nothing, "why": why}


def _reconstruction(generator: SoundGenerator, record: Record, rng: np.random.Generator) -> NDArray[np.float32]:
    """What the model makes of a record, in dB."""
    autoencoder, value_range = generator.autoencoder, generator.bundle.value_range
    posterior = autoencoder.posterior(value_range.model_input(record)[None])
    latents = posterior.draw(rng) if autoencoder.config.decodes_sample else posterior.means
    return np.asarray(value_range.of_record(record).to_db(autoencoder.decode(latents)[0]))


def _shapes(
    generator: SoundGenerator,
    onset: Onset,
    waveform: NDArray[np.float32],
    record: Record,
    made: NDArray[np.float32],
) -> list[Shape]:
    """Of the original, of its spectrogram made sound, and of the model's."""
    to_waveform = generator.inverter.to_waveform
    heard = [waveform, to_waveform(record.log_spectrogram), to_waveform(made)]
    return [shape_of(each, onset, generator.bundle.audio.sample_rate) for each in heard]
