"""Peak memory of `audio-vae preprocess`, all its processes together: few sources, many sources, one very long source.

Also that a file cut while it is decoded and resampled as a stream gives the segments of the whole file at once.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import soundfile
import soxr
from common import Report, copy_recordings, note, options, preprocess, table, workspace
from numpy.typing import NDArray

from pipelines.audio.spectrogram import LogSpectrogramExtractor
from pipelines.dataset.folder import open_dataset

# Little work a source, so that 300,000 of them end within minutes: what is held for each source is the same.
SMALL = ["--segments", "first", "--segment-seconds", "0.1", "--sample-rate", "8000", "--frame-size", "64"]
SMALL += ["--hop-length", "64", "--dtype", "uint8"]
LONG_RATE_HZ = 44_100


def sound(seconds: int, seed: int = 0) -> NDArray[np.int16]:
    """Stereo tones that glide over noise, int16 (n_samples, 2)."""
    generator = np.random.default_rng(seed)
    time = np.arange(seconds * LONG_RATE_HZ) / LONG_RATE_HZ
    tones = [0.3 * np.sin(2 * np.pi * (f * time + 5.0 * time**2)) for f in (220.0, 3300.0)]
    noise = generator.normal(0.0, 0.01, (len(time), 2))
    return np.round((np.stack(tones, axis=1) + noise) * 32767).astype(np.int16)


def write_long(path: Path, hours: float) -> None:
    """Write a stereo file a minute at a time, each at another level."""
    minute = sound(60)
    with soundfile.SoundFile(path, "w", LONG_RATE_HZ, 2, subtype="PCM_16") as file:
        for number in range(max(1, round(hours * 60))):
            file.write(np.roll(minute // (1 + number % 7), number * 1000, axis=0))


def greatest_difference_db(folder: Path) -> tuple[float, int]:
    """Largest difference in dB of the records of a file from its segments made all at once, and their number."""
    (folder / "input").mkdir(parents=True)
    samples = sound(150, seed=1)
    soundfile.write(folder / "input" / "sound.flac", samples, LONG_RATE_HZ)
    preprocess(folder / "input", folder / "dataset", "--dtype", "float32", "--split", "none")
    dataset = open_dataset(str(folder / "dataset"))
    audio, spectrogram = dataset.config.audio, dataset.config.spectrogram
    mono = (samples.astype(np.float32) / np.float32(32768)).mean(axis=1)
    whole = soxr.resample(mono, LONG_RATE_HZ, audio.sample_rate, "HQ")
    extractor = LogSpectrogramExtractor(spectrogram.frame_size, spectrogram.hop_length, spectrogram.top_db)
    greatest, count = 0.0, 0
    for record in dataset.records("train"):
        segment = whole[count * audio.segment_samples :][: audio.segment_samples]
        expected = extractor.extract(np.pad(segment, (0, audio.segment_samples - len(segment))))
        found = record.spectrogram[..., 0] * (record.max_db - record.min_db) + record.min_db
        greatest = max(greatest, float(np.abs(found - expected).max()))
        count += 1
    assert count == -(-len(whole) // audio.segment_samples)
    return greatest, count


def main() -> int:
    parser = options(__doc__, 300_000)
    parser.add_argument("--few-files", type=int, default=3_000, help="number of sources to compare with")
    parser.add_argument("--hours", type=float, default=10.0, help="length of the long file")
    chosen = parser.parse_args()
    report = Report("preprocess-memory", "Preprocessing: memory", chosen.write)
    rows, found = [], []
    with workspace() as work:
        for files in (chosen.few_files, chosen.files):
            note(f"{files:,} sources")
            inputs = copy_recordings(chosen.recordings, work / f"input-{files}", files)
            found.append(preprocess(inputs, work / f"dataset-{files}", *SMALL))
            rows.append([f"{files:,} short files", f"{found[-1].seconds:.0f}", f"{found[-1].cpu_seconds:.0f}"])
            note(f"  {found[-1].seconds:.0f} s, {found[-1].rss_mb:,.0f} MB")
        (work / "long").mkdir()
        note(f"writing {chosen.hours:g} hours")
        write_long(work / "long" / "long.w64", chosen.hours)
        size_gb = (work / "long" / "long.w64").stat().st_size / 1e9
        note(f"one source of {size_gb:.1f} GB")
        found.append(preprocess(work / "long", work / "dataset-long", "--split", "none"))
        name = f"one file of {chosen.hours:g} hours, 44.1 kHz stereo, {size_gb:.1f} GB"
        rows.append([name, f"{found[-1].seconds:.0f}", f"{found[-1].cpu_seconds:.0f}"])
        note(f"  {found[-1].seconds:.0f} s, {found[-1].rss_mb:,.0f} MB")
        difference, segments = greatest_difference_db(work / "equal")
    for row, measured in zip(rows, found, strict=True):
        row += [f"{measured.rss_mb:,.0f}", f"{measured.pss_mb:,.0f}"]
    report.say(
        "The short files are FSDD's, each copy with another sample, with little work for each, so that many end soon",
        f"(`{' '.join(SMALL)}`); the long one has the `default` settings. Memory is the",
        "highest sum over all processes: resident, where pages that processes share count for each, and proportional,",
        "where they count once.",
        "",
        *table(["", "seconds", "CPU seconds", "resident MB", "proportional MB"], rows),
        "",
        f"{segments} segments of a stereo file, decoded and resampled as a stream by the command, differ from those of",
        f"the whole file resampled at once by {difference:.1e} dB at most.",
    )
    few, many, long = found
    report.claim(f"memory for {chosen.files:,} over {chosen.few_files:,}", many.rss_mb / few.rss_mb, "at most", 1.1)
    report.claim(f"memory for {chosen.files:,} sources", many.rss_mb, "at most", 1200, " MB")
    report.claim(f"memory for the file of {chosen.hours:g} hours", long.rss_mb, "at most", 1200, " MB")
    report.claim("difference from the whole file at once", difference, "at most", 1e-3, " dB")
    return report.finish("apache-beam", "numpy", "soxr", "soundfile")


if __name__ == "__main__":
    sys.exit(main())
