"""A sound that was made, as the page has it, and the files that browsers play."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipelines.audio.formats import AUDIO_SUFFIXES, suffix_of
from pipelines.audio.loading import Loader
from pipelines.errors import SettingError
from vae_model.sound.loudness import LoudnessMeter

MAX_SECONDS = 60.0
"""Of longer uploads only so much is used."""
KEPT_SECONDS = 900
"""Uploads and sounds are removed when they are so old, and at the end."""
_PLAYED = {".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".webm"}
"""What browsers play."""
_PLAYED_HZ = 44100
_NAME_CHARACTERS = 60


@dataclass(frozen=True)
class Heard:
    """A sound to be heard, seen and saved.

    name: of its file, without a suffix. waveform: (n_samples, n_channels), full scale ±1. log_spectrograms: in dB,
    those of its picture by caption. original_lufs: loudness of the sound that it is made of, None where there is none.
    original: that sound itself, as waveform is, where it is none that came in. passing: whether it is only passed by,
    on the way to another.
    """

    name: str
    waveform: NDArray[np.float32]
    log_spectrograms: dict[str, NDArray[np.float32]]
    original_lufs: float | None = None
    original: NDArray[np.float32] | None = None
    passing: bool = False

    def facts(self, sample_rate: int) -> str:
        """Its length, level and width: a player's own drawing would show a faint sound as a loud one."""
        peak = float(np.abs(self.waveform).max(initial=0.0))
        level = f"peak {20 * np.log10(peak):.1f} dB of full scale" if peak else "silence"
        alike = correlation(self.waveform) if peak else None
        width = "" if alike is None else f", stereo: the channels correlate by {alike:.2f}"
        return f"{len(self.waveform) / sample_rate:.2f} s, {level}{width}".replace("-", "−")


def correlation(waveform: NDArray[np.float32]) -> float | None:
    """Of the two channels of a waveform: 1 for the same in both, 0 for two that know nothing of each other.

    None where there are not two, or one of them is silent.
    """
    if waveform.shape[1] != 2:
        return None
    left, right = waveform.T.astype(np.float64)
    power = float((left @ left) * (right @ right))
    return float(left @ right) / power**0.5 if power else None


def loudness_of(waveform: NDArray[np.float32], sample_rate: int) -> float:
    """Integrated loudness in LUFS."""
    meter = LoudnessMeter(sample_rate)
    meter.add(waveform)
    return meter.lufs


def loudness_of_file(path: str) -> float:
    """The same of the first MAX_SECONDS of a file."""
    return loudness_of(Loader(_PLAYED_HZ, duration=MAX_SECONDS, mono=False).load(path), _PLAYED_HZ)


def playable(path: str, folder: str) -> str:
    """The path of a file that browsers play: the file itself, or what is in it as WAV, in a folder below `folder`.

    SettingError when its name is no audio file's, SourceError when it can't be used.
    """
    require_audio(path)
    if suffix_of(path) in _PLAYED:
        return path
    waveform = Loader(_PLAYED_HZ, duration=MAX_SECONDS, mono=False).load(path)
    return write_sound(folder, stem_of(path), waveform, _PLAYED_HZ)


def write_sound(folder: str, name: str, waveform: NDArray[np.float32], sample_rate: int) -> str:
    """Write a WAV file of this name into a new folder below `folder`, and remove those that are old; its path."""
    for old in Path(folder).glob("sound-*"):
        if time.time() - old.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    path = os.path.join(tempfile.mkdtemp(prefix="sound-", dir=folder), f"{name}.wav")
    soundfile.write(path, waveform, sample_rate, "PCM_16")
    return path


def stem_of(path: str) -> str:
    """The file's name without its suffix, not too long for a name of another."""
    return os.path.splitext(os.path.basename(path))[0][:_NAME_CHARACTERS]


def require_audio(path: str) -> None:
    """SettingError when the name is no audio file's."""
    if suffix_of(path) not in AUDIO_SUFFIXES:
        raise SettingError(
            f"a file {suffix_of(path) or 'without a suffix'} is none of {' '.join(sorted(AUDIO_SUFFIXES))}"
        )
