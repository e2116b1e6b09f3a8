"""The course's script: librosa, one file after another, an .npy for each, and the ranges in a pickle.

usage: plain_script.py RECORDINGS OUTPUT
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import librosa
import numpy as np

SAMPLE_RATE, SECONDS, FRAME_SIZE, HOP_LENGTH = 22050, 0.74, 512, 256


def main(recordings: Path, output: Path) -> None:
    output.mkdir(parents=True)
    n_samples = int(SAMPLE_RATE * SECONDS)
    ranges = {}
    for number, path in enumerate(sorted(recordings.rglob("*.wav"))):
        signal, _ = librosa.load(path, sr=SAMPLE_RATE, duration=SECONDS, mono=True)
        if len(signal) < n_samples:
            signal = np.pad(signal, (0, n_samples - len(signal)), mode="constant")
        stft = librosa.stft(signal, n_fft=FRAME_SIZE, hop_length=HOP_LENGTH)[:-1]
        log_spectrogram = librosa.amplitude_to_db(np.abs(stft))
        low, high = log_spectrogram.min(), log_spectrogram.max()
        save_path = output / f"{number:06d}-{path.stem}.npy"
        np.save(save_path, (log_spectrogram - low) / (high - low))
        ranges[str(save_path)] = {"min": low, "max": high}
    with open(output / "min_max_values.pkl", "wb") as file:
        pickle.dump(ranges, file)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
