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


def sound_bytes(audio: AudioConfig, spectrogram: SpectrogramConfig, max_seconds: float) -> float:
    """The most that a player and its two pictures take, as base64: 16 bits a sample, 8 a pixel."""
    samples = min(audio.segment_seconds, max_seconds) * audio.sample_rate
    rows = min(spectrogram.n_bins, MAX_PIXELS) + ROWS
    pixels = rows * min(1 + samples / spectrogram.hop_length, MAX_PIXELS)
    return (2 * samples * audio.channels + pixels) * 4 / 3
