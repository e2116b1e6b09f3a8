"""What is left of stereo and of attacks when spectrograms become sound: what a record might hold, and what it holds.

    python benchmarks/stereo.py

Ten stereo sounds go through the settings of the preset `music` and back, by each of several things that a record could
have: as true linear spectrograms, as true log-mel spectrograms, and as log-mel spectrograms with errors such as a model
makes: smooth noise of so many dB in each channel. Then drum hits, by frames of several lengths.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import common
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from stereo_sounds import RATE, hits, sounds

from pipelines.audio.features import extractor_of
from pipelines.audio.stereo import COHERENCE_DB
from pipelines.config import CHANNELS, LOG_MEL, LOG_SPECTROGRAM, PRESETS, AudioConfig, SpectrogramConfig
from vae_model.evaluation.onsets import find_onset, shape_of
from vae_model.sound.inverter import Inverter

Array = NDArray[np.float32]
AUDIO, MUSIC = PRESETS["music"].audio, PRESETS["music"].spectrogram
LINEAR = dataclasses.replace(MUSIC, feature=LOG_SPECTROGRAM, n_bands=None)
FRAMES = ((768, 260, 96), (512, 130, 64), (1024, 260, 128), (2048, 512, 128), (768, 260, None))
"""Samples of a frame, of a hop, and mel bands; None: linear."""
BLOCK_SECONDS = 0.05


@dataclasses.dataclass(frozen=True)
class Choice:
    """What a record could have. to_record: of a sound; to_waveform: of that and the sound's length."""

    to_record: Callable[[Array, SpectrogramConfig], Array]
    to_waveform: Callable[[Array, SpectrogramConfig, int], Array]


def plain(waveform: Array, config: SpectrogramConfig) -> Array:
    """Each channel's levels."""
    return np.asarray(extractor_of(AUDIO, dataclasses.replace(config, stereo=CHANNELS)).extract(waveform))


def with_middle(waveform: Array, config: SpectrogramConfig) -> Array:
    return plain(np.concatenate([waveform, waveform.mean(axis=1, keepdims=True)], axis=1), config)


def coherent(waveform: Array, config: SpectrogramConfig) -> Array:
    return np.asarray(extractor_of(AUDIO, config).extract(waveform))


def inverted(record: Array, config: SpectrogramConfig, count: int) -> Array:
    """By the product, whatever its settings are."""
    audio = AudioConfig(RATE, channels=2, segment_seconds=(count + 0.5) / RATE)
    return Inverter(audio, config).to_waveform(record)


def by_themselves(record: Array, config: SpectrogramConfig, count: int) -> Array:
    return inverted(record, dataclasses.replace(config, stereo=CHANNELS), count)


def of_middle_and_side(record: Array, config: SpectrogramConfig, count: int) -> Array:
    middle, side = by_themselves(record, config, count).T
    return np.stack([middle + side, middle - side], axis=1)


def coherence_of(left: Array, right: Array, middle: Array) -> Array:
    """Times COHERENCE_DB, of levels in dB."""
    a, b, m = (np.power(10.0, each / 10) for each in (left, right, middle))
    return (COHERENCE_DB * np.clip((4 * m - a - b) / (2 * np.sqrt(a * b)), -1, 1)).astype(np.float32)


def of_middle(record: Array, config: SpectrogramConfig, count: int) -> Array:
    left, right, middle = np.moveaxis(record, -1, 0)
    return inverted(np.stack([left, right, coherence_of(left, right, middle)], axis=-1), config, count)


def in_phase(record: Array, config: SpectrogramConfig, count: int) -> Array:
    third = np.full_like(record[..., :1], COHERENCE_DB)
    return inverted(np.concatenate([record, third], axis=-1), config, count)


def differences(waveform: Array, config: SpectrogramConfig) -> Array:
    left, right, third = np.moveaxis(coherent(waveform, config), -1, 0)
    power = (np.power(10, left / 10) + np.power(10, right / 10)) / 2
    return np.stack([10 * np.log10(power), left - right, third], axis=-1).astype(np.float32)


def of_differences(record: Array, config: SpectrogramConfig, count: int) -> Array:
    level, between, third = np.moveaxis(record, -1, 0)
    right = level + 10 * np.log10(2 / (1 + np.power(10, between / 10)))
    return inverted(np.stack([right + between, right, third], axis=-1).astype(np.float32), config, count)


def middle_and_side(waveform: Array, config: SpectrogramConfig) -> Array:
    left, right = waveform.T
    return plain(np.stack([left + right, left - right], axis=1) / np.float32(2), config)


CHOICES = {
    "left and right, each by itself": Choice(plain, by_themselves),
    "left and right, phases in common": Choice(plain, in_phase),
    "middle and side": Choice(middle_and_side, of_middle_and_side),
    "left, right and middle": Choice(with_middle, of_middle),
    "level, difference and coherence": Choice(differences, of_differences),
    "left, right and coherence": Choice(coherent, inverted),
}
OURS = "left, right and coherence"


def correlation(waveform: Array) -> float:
    left, right = waveform.astype(np.float64).T
    return float(left @ right / np.sqrt((left @ left) * (right @ right)))


def mono_db(waveform: Array) -> float:
    return float(10 * np.log10(np.square(waveform.mean(axis=1, dtype=np.float64)).mean()))


def balance_error_db(waveform: Array, found: Array) -> float:
    """The median error of how much louder the left channel is, over blocks within 30 dB of the loudest."""
    size = int(BLOCK_SECONDS * RATE)
    rows = [each[: len(each) // size * size].reshape(-1, size, 2).astype(np.float64) for each in (waveform, found)]
    powers = [np.square(each).mean(axis=1) + 1e-12 for each in rows]
    loud = powers[0].sum(axis=1) >= powers[0].sum(axis=1).max() / 1000
    was, came = (10 * np.log10(power[loud, 0] / power[loud, 1]) for power in powers)
    return float(np.median(np.abs(came - was)))


def with_errors(record: Array, size_db: float) -> Array:
    """With noise of this root mean square, smooth over a few cells, in each channel its own."""
    rng = np.random.default_rng(1)
    noise = [gaussian_filter(rng.standard_normal(record.shape[:2]), 2) for _ in range(record.shape[2])]
    stacked = np.stack(noise, axis=-1)
    return (record + size_db / stacked.std() * stacked).astype(np.float32)


def stereo_errors(choice: Choice, config: SpectrogramConfig, size_db: float) -> tuple[float, float, float, float]:
    """Over the sounds: the largest and the mean error of the correlation, the largest of mono sum and of balance."""
    of_correlation, of_mono, of_balance = [], [], []
    for _, waveform in sounds():
        record = choice.to_record(waveform, config)
        found = choice.to_waveform(with_errors(record, size_db) if size_db else record, config, len(waveform))
        of_correlation.append(abs(correlation(found) - correlation(waveform)))
        of_mono.append(abs(mono_db(found) - mono_db(waveform)))
        of_balance.append(balance_error_db(waveform, found))
    return max(of_correlation), float(np.mean(of_correlation)), max(of_mono), max(of_balance)


def attack_errors(config: SpectrogramConfig, count: int) -> tuple[float, float, float, float, float]:
    """Medians, as `audio-vae evaluate` has them: ms of attacks before and after, dB of peaks, dB before onsets."""
    rows = []
    for waveform in hits(count):
        onset = find_onset(waveform, RATE)
        assert onset is not None, "each hit has an onset"
        was = shape_of(waveform, onset, RATE)
        came = shape_of(inverted(coherent(waveform, config), config, len(waveform)), onset, RATE)
        level = 20 * np.log10(came.peak / was.peak)
        rows.append([was.attack_ms, came.attack_ms, level, was.before_db, came.before_db])
    before, after, level, theirs, ours = np.median(rows, axis=0).tolist()
    return before, after, level, theirs, ours


def report_stereo(report: common.Report) -> None:
    """The table of choices."""
    report.say(
        "Ten stereo sounds (benchmarks/stereo_sounds.py), with the settings of `music`. Errors of the correlation of",
        "the channels, the largest and the mean, and the largest errors in dB of the mono sum's level and of the",
        "balance (how much louder the left channel is, the median of blocks of 50 ms): of true linear spectrograms, of",
        "true log-mel ones, and of log-mel ones with smooth errors of 2 dB in each channel, such as a model makes.",
        "",
    )
    kinds = {"linear": (LINEAR, 0.0), "log-mel": (MUSIC, 0.0), "with errors": (MUSIC, 2.0)}
    rows = []
    for name, choice in CHOICES.items():
        row = [name]
        for kind, (config, size_db) in kinds.items():
            common.note(f"{name}: {kind}")
            largest, mean, mono, balance = stereo_errors(choice, config, size_db)
            row += [f"{largest:.2f}, {mean:.2f}", f"{mono:.1f}, {balance:.1f}"]
            if name == OURS and not size_db:
                report.claim(f"True {kind} spectrograms, error of the correlation", largest, "at most", 0.1)
                report.claim(f"True {kind} spectrograms, error of the mono sum", mono, "at most", 1, " dB")
        rows.append(row)
    columns = [f"{kind}: {what}" for kind in kinds for what in ("correlation", "mono sum, balance")]
    report.say(*common.table(["a record has", *columns], rows), "")


def report_attacks(report: common.Report, count: int) -> None:
    """The table of frames."""
    report.say(
        f"{count} drum hits, true spectrograms: medians of the attack (10 to 90 % of the peak), of the level",
        "of the peak, and of the power in the 20 ms before the onset by that of the 20 ms behind it.",
        "",
    )
    rows = []
    for size, hop, bands in FRAMES:
        common.note(f"attacks: {size}, {hop}")
        config = SpectrogramConfig(
            size, hop, feature=LOG_MEL if bands else LOG_SPECTROGRAM, n_bands=bands, stereo=MUSIC.stereo
        )
        before, after, level, theirs, found = attack_errors(config, count)
        attacks = [f"{before:.1f} ms", f"{after:.1f} ms", f"{level:+.1f} dB"]
        rows.append([f"{size}, {hop}, {bands or 'linear'}", *attacks, f"{theirs:.0f} dB", f"{found:.0f} dB"])
        if config == MUSIC:
            report.claim("Attacks of `music`, longer by the factor", after / before, "at most", 1.3)
            report.claim("Hits of `music`, quieter by", -level, "at most", 1, " dB")
    report.say(*common.table(["frame, hop, bands", "attack", "comes to", "peak", "before the onset", "comes to"], rows))


def main() -> int:
    """Run and report."""
    arguments = common.options(__doc__, files=24).parse_args()
    report = common.Report("stereo", "Stereo and attacks", arguments.write)
    report_stereo(report)
    report_attacks(report, arguments.files)
    return report.finish("numpy", "scipy", "numba")


if __name__ == "__main__":
    raise SystemExit(main())
