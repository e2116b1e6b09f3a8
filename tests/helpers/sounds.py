"""Sounds that tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


def tone(frequency_hz: float, seconds: float, sample_rate: int, level: float = 0.5) -> np.ndarray:
    """A sine, float32 (n_samples,)."""
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    return (level * np.sin(2 * np.pi * frequency_hz * time)).astype(np.float32)


def write_tones(folder: Path, count: int = 12, sample_rate: int = 16000, seconds: float = 1.0) -> Path:
    """Sines at steps of a semitone as `tone_00.wav` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        soundfile.write(folder / f"tone_{i:02d}.wav", tone(220 * 2 ** (i / 12), seconds, sample_rate), sample_rate)
    return folder
