"""How near waveforms come to magnitudes, and in what time: every --phase beside librosa's Griffin-Lim.

    python benchmarks/inversion.py

Inverts the log-spectrograms of real recordings (with the settings of the presets `course` and `speech`) and of
synthetic music (`tiny`) as a dataset has them: 80 dB deep, without the Nyquist bin. Times are of whole inversions, from
decibels to samples, in CPU time, the best of some rounds.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import common
import librosa
import numpy as np
from numpy.typing import NDArray

from pipelines.audio.loading import iter_segments
from pipelines.audio.spectrogram import LogSpectrogramExtractor, to_amplitude
from pipelines.config import PRESETS, SpectrogramConfig
from vae_model.model_folder.config import PHASES
from vae_model.phases.griffin_lim import STEPS
from vae_model.phases.inversion import Frames, invert
from vae_model.sound.synthesis import SAMPLE_RATE, sound_names, synthesise

RESOLUTIONS = ((512, 240, 50), (1024, 600, 120), (2048, 1200, 240))
"""n_fft, window and hop of each resolution of the distance: Yamamoto, Song and Kim 2020, arXiv:1910.11480, table 1."""

Array = NDArray[np.float32]
Inversion = Callable[[Array, int, SpectrogramConfig], Array]


@dataclass(frozen=True)
class Material:
    """Waveforms (n_samples,) and how their spectrograms are made."""

    title: str
    waveforms: list[Array]
    sample_rate: int
    spectrogram: SpectrogramConfig


@dataclass(frozen=True)
class Found:
    """What a method came to: means over the waveforms, and how much sound it inverts in the time that it lasts."""

    convergence_db: float
    distance: float
    log_spectral_distance_db: float
    speed: float


def recordings(folder: Path, preset: str, count: int) -> Material:
    """The first segments of recordings that are evenly spaced among all."""
    config = PRESETS[preset]
    paths = sorted(folder.glob("*.wav"))
    if not paths:
        raise common.BenchmarkError(f"{folder}: holds no .wav file; give --recordings")
    picked = [paths[i] for i in np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int)]
    segments = [next(iter_segments(str(path), config.audio)) for path in picked]
    waveforms = [segment.samples[: segment.valid_samples, 0] for segment in segments]
    return Material(f"FSDD, settings of `{preset}`", waveforms, config.audio.sample_rate, config.spectrogram)


def music(count: int) -> Material:
    """The demo's sounds, all its timbres in turn."""
    waveforms = [synthesise(name) for name in sound_names(count)]
    return Material("Synthetic music, settings of `tiny`", waveforms, SAMPLE_RATE, PRESETS["tiny"].spectrogram)


def by_phase(method: str) -> Inversion:
    """Ours."""

    def inversion(decibels: Array, n_samples: int, config: SpectrogramConfig) -> Array:
        return np.concatenate(list(invert([Frames(n_samples, decibels.T[:, :, None])], config, method)))[:, 0]

    return inversion


def by_librosa(steps: int) -> Inversion:
    """librosa's, with the momentum that it has unless told otherwise."""

    def inversion(decibels: Array, n_samples: int, config: SpectrogramConfig) -> Array:
        sizes = {"n_fft": config.frame_size, "hop_length": config.hop_length}
        return librosa.griffinlim(to_amplitude(decibels), n_iter=steps, **sizes, length=n_samples, random_state=0)

    return inversion


METHODS = {f"`{method}`": by_phase(method) for method in PHASES}
METHODS |= {f"librosa.griffinlim, {steps} steps": by_librosa(steps) for steps in (32, 100)}
OURS, RIVAL = f"`{PHASES[0]}`", "librosa.griffinlim, 100 steps"


def measure(material: Material, inversion: Inversion, rounds: int) -> Found:
    """A method on all waveforms."""
    config = material.spectrogram
    extractor = LogSpectrogramExtractor(config.frame_size, config.hop_length, config.top_db)
    spectrograms = [extractor.extract(waveform) for waveform in material.waveforms]
    lengths = [len(waveform) for waveform in material.waveforms]
    inversion(spectrograms[0], lengths[0], config)  # compiles
    times, found = [], []
    for _ in range(rounds):
        start = time.process_time()
        found = [inversion(*pair, config) for pair in zip(spectrograms, lengths, strict=True)]
        times.append(time.process_time() - start)
    pairs = list(zip(found, material.waveforms, strict=True))
    return Found(
        float(np.mean([convergence_db(*pair, config) for pair in pairs])),
        float(np.mean([multi_resolution_distance(*pair) for pair in pairs])),
        float(np.mean([log_spectral_distance_db(*pair, extractor) for pair in pairs])),
        sum(lengths) / material.sample_rate / min(times),
    )


def convergence_db(found: Array, original: Array, config: SpectrogramConfig) -> float:
    """The norm of the error of the magnitudes over that of the magnitudes."""
    ours, theirs = (magnitudes(x, config.frame_size, config.frame_size, config.hop_length) for x in (found, original))
    return float(20 * np.log10(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)))


def multi_resolution_distance(found: Array, original: Array) -> float:
    """The mean over RESOLUTIONS of spectral convergence plus the mean absolute difference of log magnitudes."""
    total = 0.0
    for sizes in RESOLUTIONS:
        ours, theirs = (magnitudes(x, *sizes) for x in (found, original))
        floor = 1e-4 * theirs.max()  # 80 dB down, as deep as a dataset is
        logs = np.log(np.maximum(ours, floor)) - np.log(np.maximum(theirs, floor))
        total += float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) + np.abs(logs).mean())
    return total / len(RESOLUTIONS)


def log_spectral_distance_db(found: Array, original: Array, extractor: LogSpectrogramExtractor) -> float:
    """Per frame the root mean square over bins in dB of what a dataset has of both, then the mean over frames."""
    difference = extractor.extract(found) - extractor.extract(original)
    return float(np.sqrt((difference**2).mean(axis=0)).mean())


def magnitudes(waveform: Array, n_fft: int, window: int, hop_length: int) -> NDArray[np.float32]:
    """librosa's."""
    padded = np.pad(waveform, (0, max(0, n_fft - len(waveform))))
    return np.abs(librosa.stft(padded, n_fft=n_fft, win_length=window, hop_length=hop_length))


def main() -> int:
    """Run and report."""
    parser = common.options(__doc__, files=120)
    parser.add_argument("--rounds", type=int, default=3, help="inversions of everything, the fastest counts (3)")
    arguments = parser.parse_args()
    report = common.Report("inversion", "From spectrogram to waveform", arguments.write)
    report.say(
        f"{arguments.files} sounds of each kind. Spectral convergence: the norm of the magnitudes' error over theirs.",
        "Multi-resolution distance: convergence plus mean absolute log difference, over three other transforms.",
        "Log-spectral distance: of the log-spectrograms that a dataset would have. Speed: seconds of sound in a",
        f"second of one core. Our Griffin-Lim takes {STEPS} steps. docs/sound.md says what each method does.",
    )
    materials = [recordings(arguments.recordings, preset, arguments.files) for preset in ("course", "speech")]
    for material in [*materials, music(arguments.files)]:
        found = {}
        for name, inversion in METHODS.items():
            common.note(f"{material.title}: {name}")
            found[name] = measure(material, inversion, arguments.rounds)
        report.say("", f"{material.title}:", "", *table(found))
        ours, rival = found[OURS], found[RIVAL]
        against = f"{material.title}: {OURS} against librosa's 100 steps"
        report.claim(f"{against}, convergence", ours.convergence_db - rival.convergence_db, "at most", 0, " dB")
        report.claim(f"{against}, part of its time", rival.speed / ours.speed, "at most", 0.5)
        report.claim(f"{material.title}: {OURS}, times real time", ours.speed, "at least", 25)
    return report.finish("numpy", "scipy", "numba", "librosa")


def table(found: dict[str, Found]) -> list[str]:
    """A row a method."""
    header = ["method", "spectral convergence", "multi-resolution distance", "log-spectral distance", "speed"]
    rows = []
    for name, values in found.items():
        figures = dataclasses.astuple(values)
        cells = [f"{figures[0]:.1f} dB", f"{figures[1]:.3f}", f"{figures[2]:.2f} dB", f"{figures[3]:.0f} × real time"]
        rows.append([name, *cells])
    return common.table(header, rows)


if __name__ == "__main__":
    raise SystemExit(main())
