"""What every page of a command needs: its file, words for numbers, and the facts on a dataset."""

from __future__ import annotations

from pathlib import Path

from pipelines.dataset import Dataset
from vae_model.report import Fact


def counted(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def name_of(uri: str) -> str:
    """The last part of a path or URI."""
    return uri.rstrip("/").rsplit("/", 1)[-1] if "://" in uri else Path(uri).resolve().name


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
    if dataset.sources.failed:
        facts.append(Fact("Unreadable files", f"{dataset.sources.failed:,}, left out"))
    return facts
