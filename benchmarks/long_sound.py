"""Ten minutes of stereo music through a model of the preset `music` and back: memory, length, level, width, peaks.

The music is made of arithmetic: examples/drum_kit.py's hits over chords, at another level each minute, with a second
near full scale at 4:55 that other phases bring beyond it, where the limiter changes it. `audio-vae reconstruct` makes
it sound again from the command line. What it comes to is compared with what the model's spectrogram says, and, by a
model without error in its place, what true spectrograms come to with the music itself. All of it is kept in
.cache/benchmarks/long_sound: the script may be interrupted and run again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile
from common import CACHE, ROOT, Report, audio_vae, measure, note, options, table
from drum_hits import model_of_kit
from numpy.typing import NDArray

sys.path.insert(0, str(ROOT / "examples"))
from drum_kit import KINDS, hit

from pipelines.audio.loading import iter_segments
from vae_model.phases.inversion import Frames
from vae_model.sound.generator import SoundGenerator
from vae_model.sound.loudness import k_weighting
from vae_model.sound.wav import write_wav
from vae_model.vae.autoencoder import Autoencoder

FOLDER = CACHE / "long_sound"
RATE, MINUTES, PART_SECONDS = 44100, 10, 10
LEVELS_DB = (-6.0, -18.0, -9.0, -30.0, -4.0, -12.0, -24.0, -6.0, -36.0, -9.0)
"""Of the loudest sample of each minute, but for the loud second."""
LOUD_AT_SECONDS = 4 * 60 + 55
LOUD_PART = LOUD_AT_SECONDS // PART_SECONDS
CHORDS_HZ = ((110, 165, 220, 277), (98, 147, 196, 247), (87, 131, 175, 220), (131, 165, 196, 262))
MOST_MB = 1500
Array = NDArray[np.float32]


class Faultless(Autoencoder):
    """In a model's place: what goes in comes out."""

    def __init__(self) -> None:
        pass

    def reconstruct(self, spectrograms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Themselves, twice."""
        return spectrograms, spectrograms


def minute(number: int) -> NDArray[np.float64]:
    """One of music, (n_samples, 2) at a peak of 1: a chord each two seconds, a hit each quarter of one."""
    rng = np.random.default_rng([3, number])
    out = np.zeros((60 * RATE, 2))
    time = np.arange(2 * RATE) / RATE
    swell = np.minimum(1, np.minimum(time, 2 - time) / 0.1)[:, None]
    for start in range(0, len(out), len(time)):
        chord = CHORDS_HZ[start // len(time) % len(CHORDS_HZ)]
        partials = [(hz * k, 0.5 / k**1.5) for hz in chord for k in range(1, 12)]
        for hz, gain in partials:
            apart = rng.uniform(0, 2 * np.pi) + np.array([0, rng.uniform(-1, 1)])
            out[start : start + len(time)] += 0.15 * gain * swell * np.sin(2 * np.pi * hz * time[:, None] + apart)
    hits = [hit(kind, rng) for kind in KINDS for _ in range(3)]
    for start in range(0, len(out), RATE // 4):
        part = hits[rng.integers(len(hits))][: len(out) - start]
        out[start : start + len(part)] += 0.6 * part
    return out / np.abs(out).max()


def loud(music: NDArray[np.float64]) -> NDArray[np.float64]:
    """A second of music made twice as loud and cut off near full scale: with other phases it does not fit in."""
    fade = np.minimum(1, np.minimum(np.arange(RATE), RATE - np.arange(RATE)) / 500)[:, None]
    return music + fade * (0.97 * np.clip(2 * music / np.abs(music).max(), -1, 1) - music)


def write_music(path: Path) -> None:
    """The ten minutes, 24 bits."""
    with soundfile.SoundFile(path, "w", RATE, 2, subtype="PCM_24") as file:
        for number, level_db in enumerate(LEVELS_DB):
            music = 10 ** (level_db / 20) * minute(number)
            start = LOUD_AT_SECONDS - 60 * number
            if 0 <= start < 60:
                second = slice(start * RATE, (start + 1) * RATE)
                music[second] = loud(music[second])
            file.write(music)


def parts(path: Path) -> Iterator[NDArray[np.float64]]:
    """A file ten seconds at a time."""
    yield from soundfile.blocks(path, PART_SECONDS * RATE, always_2d=True)


def loudness_db(path: Path) -> NDArray[np.float64]:
    """Mean power of each ten seconds with the K-weighting of BS.1770, in dB, both channels added up."""
    filters, found = k_weighting(RATE), []
    states = [np.zeros((2, 2)) for _ in filters]
    for part in parts(path):
        for number, (b, a) in enumerate(filters):
            part, states[number] = scipy.signal.lfilter(b, a, part, axis=0, zi=states[number])
        found.append(np.square(part).mean(axis=0).sum())
    return 10 * np.log10(np.array(found))


def spectrogram_loudness_db(generator: SoundGenerator, path: Path) -> NDArray[np.float64]:
    """The same by what a model makes of a file's log-spectrogram, and no phases: its power in place of the sound's."""
    spectrogram, segmentation = generator.bundle.spectrogram, generator.inverter.segmentation
    size, hop = spectrogram.frame_size, spectrogram.hop_length
    weights = np.ones(size // 2)
    for b, a in k_weighting(RATE):
        weights *= np.abs(scipy.signal.freqz(b, a, weights.size)[1]) ** 2
    lengths: list[int] = []

    def segments() -> Iterator[Frames]:
        for segment in iter_segments(str(path), segmentation.audio):
            lengths.append(segment.valid_samples)
            given, own = generator.normalise(segment.samples)
            made = own.to_db(generator.autoencoder.reconstruct(given[None])[0][0])
            yield Frames(segment.valid_samples, np.swapaxes(made, 0, 1))

    powers = []
    for stretch in segmentation.join(segments()):
        levels = generator.inverter.to_linear(np.swapaxes(stretch.log_spectrogram, 0, 1)).astype(np.float64)
        powers.append(np.tensordot(weights, 10 ** (levels / 10), 1).sum(axis=1))
    power = np.concatenate(powers) * 2 / (size * 0.375 * size)  # 0.375: the mean of a squared Hann window
    which = np.arange(len(power)) * hop // (PART_SECONDS * RATE)
    sums, counts = (np.bincount(which, each)[: MINUTES * 6] for each in (power, np.ones(len(power))))
    return 10 * np.log10(sums / counts)


def width(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The correlation of the channels, and the level of their mean in dB, of each ten seconds."""
    rows = []
    for part in parts(path):
        left, right = part.T
        correlation = left @ right / np.sqrt((left @ left) * (right @ right))
        rows.append((correlation, 10 * np.log10(np.square(part.mean(axis=1)).mean())))
    correlations, mono = np.array(rows).T
    return correlations, mono


def true_peak_db(path: Path) -> float:
    """The highest of all channels, oversampled four times as BS.1770 has it, in dB of full scale."""
    margin, highest = 1000, 0.0
    before = np.zeros((margin, 2))
    for part in parts(path):
        seen = np.concatenate([before, part])
        highest = max(highest, float(np.abs(scipy.signal.resample_poly(seen, 4, 1, axis=0)).max()))
        before = part[-margin:]
    return 20 * np.log10(highest)


def furthest(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    """The largest difference, but in the ten seconds of which the limiter changed one."""
    return float(np.abs(np.delete(found - wanted, LOUD_PART)).max())


def report_model(report: Report, model: Path, music: Path) -> None:
    """The command, and what it wrote."""
    heard = FOLDER / "heard"
    note("audio-vae reconstruct")
    done = measure([*audio_vae(), "reconstruct", str(model), str(music), f"--output={heard}", "--json"])
    written = next(json.loads(line) for line in done.output.splitlines() if line.startswith("{"))["written"][0]
    path = heard / f"{music.stem}.wav"
    note("levels of what the model made")
    generator = SoundGenerator.load(model)
    said, found, given = spectrogram_loudness_db(generator, music), loudness_db(path), loudness_db(music)
    costs = (found - said)[LOUD_PART]
    limited, peak = written.get("limited_db", 0.0), true_peak_db(path)
    report.say(
        f"`audio-vae reconstruct` of {MINUTES} minutes takes {done.rss_mb:,.0f} MB at most, all processes together.",
        f"The true peak is {peak:.2f} dB of full scale, that of the music {true_peak_db(music):.2f}: the limiter took",
        f"{limited:.1f} dB off where it took most. That leaves the ten seconds with the loud moment {costs:+.1f} dB",
        "from the model's spectrogram; the claims on ten seconds are on all others. K-weighted levels in dB of",
        "the first ten seconds of each minute:",
        "",
        *table(
            ["", *(f"{number}:00" for number in range(MINUTES))],
            [
                [name, *(f"{value:.1f}" for value in values[::6])]
                for name, values in (("music", given), ("the model's spectrogram", said), ("made sound", found))
            ],
        ),
        "",
    )
    report.claim("Memory of `reconstruct`, all processes", done.rss_mb, "at most", MOST_MB, " MB")
    lengths = [soundfile.info(each).frames for each in (music, path)]
    report.claim("Samples more or less than the music has", abs(lengths[0] - lengths[1]), "at most", 0)
    report.claim("What the limiter took off", limited, "at least", 0.1, " dB")
    report.claim("True peak", peak, "at most", -0.3, " dB")
    report.claim(
        "Level of ten seconds from what the model's spectrogram says", furthest(found, said), "at most", 1, " dB"
    )


def report_true(report: Report, model: Path, music: Path) -> None:
    """What comes of spectrograms without error, on the same way."""
    path = FOLDER / "true.wav"
    note("true spectrograms made sound")
    generator = SoundGenerator(Faultless(), SoundGenerator.load(model).bundle)
    write_wav(path, generator.reconstruct_file(str(music)), RATE)
    note("levels of them")
    (correlations, mono), (wanted, wanted_mono) = width(path), width(music)
    levels, given = loudness_db(path), loudness_db(music)
    report.say(
        "True spectrograms on the same way, each ten seconds: correlation of the channels from"
        f" {wanted.min():.2f} to {wanted.max():.2f} in the music.",
    )
    report.claim("True spectrograms: level of ten seconds", furthest(levels, given), "at most", 1, " dB")
    report.claim("True spectrograms: correlation of the channels", furthest(correlations, wanted), "at most", 0.1)
    report.claim("True spectrograms: level of the mono sum", furthest(mono, wanted_mono), "at most", 1, " dB")


def main() -> int:
    """Run and report."""
    parser = options(__doc__, 1)
    parser.add_argument("--epochs", default="6", help="of the model (6)")
    chosen = parser.parse_args()
    _, _, model = model_of_kit(chosen.epochs, FOLDER)
    music = FOLDER / "music.wav"
    if not music.exists():
        note("making music")
        write_music(music)
    report = Report("long_sound", "Ten minutes through a model", chosen.write)
    report_model(report, model, music)
    report_true(report, model, music)
    return report.finish("tensorflow", "numpy", "numba")


if __name__ == "__main__":
    sys.exit(main())
