"""What every page of a command needs: its file, words for numbers, and the facts on a dataset."""

from __future__ import annotations

from pathlib import Path

from pipelines import store
from pipelines.config import LOG_SPECTROGRAM, AudioConfig, SpectrogramConfig
from pipelines.dataset.folder import Dataset
from vae_model.report import Fact
from vae_model.report.log_frequency import ROWS
from vae_model.report.media import MAX_PIXELS


def name_of(uri: str) -> str:
    """The last part of a path or URI."""
    return store.shown(uri).rstrip("/").rsplit("/", 1)[-1] if "://" in uri else Path(uri).resolve().name


def data_facts(dataset: Dataset) -> list[Fact]:
    """What a dataset holds, and how it was made."""
    audio, spectrogram = dataset.config.audio, dataset.config.spectrogram
    shape = " × ".join(map(str, dataset.record.shape))
    channels = "mono" if audio.channels == 1 else f"{audio.channels} channels"
    facts = [
        Fact("Recordings", f"{dataset.sources.written:,}"),
        Fact("Segments", ", ".join(f"{split.num_examples:,} {name}" for name, split in dataset.splits.items())),
        Fact("Waveform", f"{audio.segment_seconds:g} s at {audio.sample_rate:,} Hz, {channels}"),
        Fact("Spectrogram", f"{shape}, frame {spectrogram.frame_size}, hop {spectrogram.hop_length}"),
    ]
    if spectrogram.feature != LOG_SPECTROGRAM:
        facts.append(Fact("Feature", spectrogram.feature))
    if dataset.sources.failed:
        facts.append(Fact("Unreadable files", f"{dataset.sources.failed:,}, left out"))
    return facts


MAX_SECONDS, MAP_SECONDS = 6.0, 1.5
"""Of longer segments a page has the beginning, a map a shorter one."""
LIST_BYTES, MAP_BYTES = 16_000_000, 12_000_000
"""What the sounds of all lists and those of a map may come to at most; there are fewer where they are long."""


_COMPACT_BYTES = 100_000
_MOST_MP3_BYTES = 40_000


def is_compact(audio: AudioConfig) -> bool:
    """Whether the sounds of a map are as `Sound.compact` has them: few would fit otherwise."""
    return 2 * min(audio.segment_seconds, MAP_SECONDS) * audio.sample_rate * audio.channels > _COMPACT_BYTES


def sound_bytes(audio: AudioConfig, spectrogram: SpectrogramConfig, max_seconds: float, compact: bool = False) -> float:
    """What a player and its pictures take at most, as base64: 16 bits a sample, 8 a pixel.

    Stereo has three pictures, of 4 bits a pixel on average. compact: as of `Sound`.
    """
    seconds = min(audio.segment_seconds, max_seconds)
    samples = seconds * audio.sample_rate
    rows = min(spectrogram.n_bins, MAX_PIXELS) + ROWS
    pixels = rows * min(1 + samples / spectrogram.hop_length, MAX_PIXELS)
    if compact:
        return (_MOST_MP3_BYTES * seconds + pixels / 4) * 4 / 3
    return (2 * samples * audio.channels + pixels * (1.5 if audio.channels == 2 else 1)) * 4 / 3
