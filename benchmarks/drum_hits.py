"""A folder of drum hits by the README's commands: what becomes records, and how new sounds compare with real hits.

The kit is examples/drum_kit.py's. It, its dataset and its model are kept in .cache/benchmarks/drum_hits: the script may
be interrupted and run again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import soundfile
from common import CACHE, ROOT, Report, audio_vae, measure, note, options, table
from numpy.typing import NDArray

FOLDER = CACHE / "drum_hits"
SECONDS = 1.505
"""Of a sound that is measured: a segment of the preset `music`."""
WIDTH_COUNT = 32
WHO = ("real hits", "new sounds")
TRAINED = "train.json"
LIKE, WITHIN_MINUTES = 2500, 30
"""So many segments are to be learned from within so many minutes."""
LABELS = r"^(?P<kind>\w+)/"


def measured(path: Path) -> tuple[float, float]:
    """RMS in dB of full scale and spectral centroid in Hz of a file's first segment."""
    samples, rate = soundfile.read(path, always_2d=True)
    samples = samples[: int(SECONDS * rate)]
    power = np.abs(np.fft.rfft(samples.mean(axis=1))) ** 2
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate)
    level = 10 * np.log10(max(float(np.mean(samples**2)), 1e-12))
    return level, float((power * frequencies).sum() / max(power.sum(), 1e-12))


def width(path: Path) -> float:
    """How the two channels of a file's first segment correlate, NaN where there are not two that differ."""
    samples, rate = soundfile.read(path, always_2d=True)
    samples = samples[: int(SECONDS * rate)]
    if samples.shape[1] != 2 or np.array_equal(samples[:, 0], samples[:, 1]):
        return float("nan")
    left, right = samples.T
    return float(left @ right / max(np.sqrt((left @ left) * (right @ right)), 1e-12))


def median_width(files: list[Path]) -> float:
    """Of those in stereo."""
    return float(np.nanmedian([width(path) for path in files]))


def widths_by_kind(kit: Path, model: Path, count: int) -> dict[str, tuple[float, float]]:
    """The median width of real hits and of `count` new sounds of each kind.

    Kind by kind, as new sounds of any kind are drawn by the levels of the training sounds, not by their numbers.
    """
    found = {}
    for folder in sorted(each for each in kit.iterdir() if each.is_dir()):
        new = FOLDER / f"new-{folder.name}"
        run("generate", str(model), f"--count={count}", f"--label=kind={folder.name}", f"--output={new}", "--seed=0")
        found[folder.name] = (median_width(sorted(folder.glob("*.wav"))), median_width(sorted(new.glob("*.wav"))))
    return found


def figures(files: list[Path]) -> NDArray[np.float64]:
    """`measured` of each."""
    return np.array([measured(path) for path in files])


def run(*words: str) -> str:
    """A command of `audio-vae`'s; what it prints."""
    note(f"audio-vae {' '.join(words)}")
    return measure([*audio_vae(), *words]).output


def model_of_kit(epochs: str, folder: Path = FOLDER) -> tuple[Path, Path, Path]:
    """The kit, its dataset and its model, made in a folder unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    kit, data, model = (folder / name for name in ("kit", "kit-data", "kit-model"))
    if not kit.exists():
        measure([sys.executable, str(ROOT / "examples" / "drum_kit.py"), str(kit)])
    if not (data / "dataset.json").exists():
        words = ("--preset=music", f"--label-pattern={LABELS}", "--split=validation=0.2")
        run("preprocess", str(kit), f"--output={data}", *words)
    if not (model / "prior.keras").exists():
        said = run("train", str(data), f"--output={model}", "--preset=music", f"--epochs={epochs}", "--json")
        (folder / TRAINED).write_text(said.splitlines()[-1], encoding="utf-8")
    return kit, data, model


def gain(data: Path, model: Path) -> tuple[float, float]:
    """Held-out mean squared error of the model and of as many principal components as it has latents."""
    found = json.loads(run("evaluate", str(model), str(data), "--json").splitlines()[-1])
    size = found["posterior"]["latent_space_dim"]
    return found["reconstruction"]["mean_z"]["mse"], found["baselines"][f"pca_{size}"]["mse"]


def spread(values: NDArray[np.float64], digits: int) -> str:
    """Least, median and greatest."""
    return " / ".join(f"{value:,.{digits}f}" for value in np.percentile(values, [0, 50, 100])).replace("-", "−")


def main() -> int:
    """Measure and write."""
    parser = options(__doc__, 286)
    parser.add_argument("--epochs", default="50", help="of the model (50, as the preset has it)")
    parser.add_argument("--count", type=int, default=64, help="new sounds (64)")
    chosen = parser.parse_args()
    kit, data, model = model_of_kit(chosen.epochs)
    facts = json.loads(run("info", str(data), "--json").splitlines()[-1])
    hits = figures(sorted(kit.glob("*/*.wav")))
    sets = {"real hits": hits}
    widths = widths_by_kind(kit, model, WIDTH_COUNT)
    for count in (8, chosen.count):
        new = FOLDER / f"new-{count}"
        run("generate", str(model), f"--count={count}", f"--output={new}", "--seed=0")
        sets[f"{count} new sounds"] = figures(sorted(new.glob("*.wav")))
    own, components = gain(data, model)
    trained = json.loads((FOLDER / TRAINED).read_text())
    records = facts["splits"]["train"]["num_examples"]
    minutes = trained["seconds"] / 60 * LIKE / records
    report = Report("drum_hits", "Drum hits", chosen.write)
    files = len(hits) + facts["silent"]
    report.say(
        f"`examples/drum_kit.py`: {files} files become {facts['num_examples']} records of `--preset music`, of at most",
        f"{SECONDS:g} s each; {facts['left_out']} segments are left out, {facts['silent']} files are silent.",
        f"Least, median and greatest of the first {SECONDS:g} s of each sound:",
        "",
        *table(
            ["", "RMS, dB of full scale", "centroid, Hz"],
            [[name, spread(each[:, 0], 1), spread(each[:, 1], 0)] for name, each in sets.items()],
        ),
        "",
        f"{records} records are trained on for {trained['epochs']} epochs, in {trained['seconds']:,.0f} s. Held-out",
        f"mean squared error: {own:.6f}, and {components:.6f} of as many principal components as it has latents.",
        "",
        f"Correlation of the channels, the median of real hits in stereo and of {WIDTH_COUNT} new sounds of each kind:",
        "",
        *table(["", *widths], [[name, *(f"{pair[i]:.2f}" for pair in widths.values())] for i, name in enumerate(WHO)]),
    )
    few, many = list(sets.values())[1:]
    report.claim("records a file", facts["num_examples"] / files, "at most", 1.5)
    difference = abs(float(np.median(many[:, 0]) - np.median(hits[:, 0])))
    report.claim("median level of new sounds from that of real ones", difference, "at most", 3, " dB")
    inside = [np.mean((each >= hits.min(axis=0)) & (each <= hits.max(axis=0))) for each in (few, many)]
    report.claim("new sounds' levels and centroids within the range of real ones, of 8", inside[0], "at least", 0.9)
    report.claim(f"the same of {chosen.count}", inside[1], "at least", 0.9)
    report.claim("held-out error over that of principal components", own / components, "at most", 0.85)
    report.claim(f"minutes for {LIKE:,} segments at this speed", minutes, "at most", WITHIN_MINUTES)
    apart = max(abs(real - new) for real, new in widths.values())
    report.claim(
        "median correlation of the channels of new sounds of a kind from that of real ones", apart, "at most", 0.1
    )
    return report.finish("tensorflow", "keras")


if __name__ == "__main__":
    sys.exit(main())
