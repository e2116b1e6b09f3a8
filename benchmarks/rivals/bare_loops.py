"""The limit: the pipeline's mathematics in bare loops on all cores; no Beam, no record, and nothing is written.

usage: bare_loops.py RECORDINGS [GROUP]

GROUP: files of one rate that are resampled in one call (default 1, as librosa does it). The pipeline itself groups
short files, so its limit is the one of GROUP=64.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipelines.audio.loading import resample_alike
from pipelines.audio.spectrogram import LogSpectrogramExtractor, MinMaxNormaliser

SAMPLE_RATE, SECONDS, FRAME_SIZE, HOP_LENGTH = 22050, 0.74, 512, 256


def decode(path: str) -> tuple[NDArray[np.float32], int]:
    """Mono float32 (n_samples, 1) of the first SECONDS, and its sample rate."""
    with soundfile.SoundFile(path) as file:
        samples = file.read(int(SECONDS * file.samplerate), dtype="float32", always_2d=True)
        return samples.mean(axis=1, keepdims=True) if file.channels > 1 else samples, file.samplerate


def work(paths: list[str], group: int) -> float:
    """The sum of all spectrograms' levels, so that nothing can be left out."""
    extractor, normaliser = LogSpectrogramExtractor(FRAME_SIZE, HOP_LENGTH), MinMaxNormaliser()
    padded = np.zeros((int(SECONDS * SAMPLE_RATE), 1), dtype=np.float32)
    total = 0.0
    for start in range(0, len(paths), group):
        alike: dict[tuple[int, int], list[NDArray[np.float32]]] = {}
        for path in paths[start : start + group]:
            samples, rate = decode(path)
            alike.setdefault((rate, len(samples).bit_length()), []).append(samples)
        for (rate, _), waveforms in alike.items():
            for waveform in resample_alike(waveforms, rate, SAMPLE_RATE):
                padded[: len(waveform)] = waveform[: len(padded)]
                padded[len(waveform) :] = 0.0
                total += float(normaliser.normalise(extractor.extract(padded))[0, 0, 0])
    return total


def main(recordings: Path, group: int) -> None:
    paths = [str(path) for path in sorted(recordings.rglob("*.wav"))]
    cores = len(os.sched_getaffinity(0))
    parts = [(paths[core::cores], group) for core in range(cores)]
    with multiprocessing.get_context("fork").Pool(cores) as pool:
        print(sum(pool.starmap(work, parts)))
        pool.close()
        pool.join()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
