"""Writes a dataset folder straight from waveforms, without Beam: what the model's tests train on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import google_crc32c
import numpy as np

from pipelines.audio.features import extractor_of
from pipelines.audio.spectrogram import MinMaxNormaliser
from pipelines.config import DatasetConfig
from pipelines.dataset.folder import Dataset, Run, Shard, Sources, Split
from pipelines.dataset.framing import frame
from pipelines.dataset.records import Record, serialize

RUN = "1-20200101T000000Z"
TINY = ["--preset", "tiny", "--latent-space-dim", "8"]
"""Of `audio-vae train`: the quickest of the presets, for spectrograms of 32 x 16."""
ONE_LAYER = [*TINY, "--conv-filters", "4", "--conv-kernels", "3", "--conv-strides", "2"]
"""With one convolution alone: where it does not matter what is learned, TensorFlow has less to trace."""


def write_dataset(
    folder: Path, waveforms: Mapping[str, Sequence[np.ndarray]], config: DatasetConfig, num_shards: int = 2
) -> str:
    """A committed dataset of waveforms (n_samples, n_channels) for each split, `0.wav` and so on; returns its path."""
    (folder / "runs" / RUN).mkdir(parents=True)
    splits, bounds = {}, []
    for name, sounds in waveforms.items():
        shards = []
        for number in range(num_shards):
            records = [
                r for i, sound in enumerate(sounds) if i % num_shards == number for r in _records(i, sound, config)
            ]
            bounds += [(record.min_db, record.max_db) for record in records]
            data = b"".join(frame(serialize(record, config.dtype)) for record in records)
            path = f"runs/{RUN}/{name}-{number:05}.tfrecord"
            (folder / path).write_bytes(data)
            shards.append(Shard(path, len(records), len(data), google_crc32c.value(data)))
        seconds = sum(len(sound) for sound in sounds) / config.audio.sample_rate
        splits[name] = Split(sum(shard.num_examples for shard in shards), seconds, tuple(shards))
    count = sum(map(len, waveforms.values()))
    sources = Sources(count, count, 0, 0, 0)
    run = Run(RUN, ("in",), sources, sum(split.num_examples for split in splits.values()))
    low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
    (folder / "dataset.json").write_bytes(Dataset(str(folder), config, low, high, splits, sources, (run,)).to_json())
    return str(folder)


def _records(number: int, waveform: np.ndarray, config: DatasetConfig) -> list[Record]:
    size, extractor = config.audio.segment_samples, extractor_of(config.audio, config.spectrogram)
    records = []
    for index, start in enumerate(range(0, len(waveform), size)):
        piece = waveform[start : start + size].astype(np.float32)
        array = extractor.extract(np.pad(piece, [(0, size - len(piece)), (0, 0)]))
        scaled = MinMaxNormaliser().normalise(array)
        source = f"{number}.wav"
        place = (source, index, start / config.audio.sample_rate, array.shape[1])
        found = re.search(config.label_pattern or "", source)
        labels = {name: (found[name] or "") if found else "" for name in config.label_names}
        records.append(Record(scaled, float(array.min()), float(array.max()), *place, labels))
    return records


def noises(count: int, num_samples: int = 1000, num_channels: int = 1) -> list[np.ndarray]:
    """Waveforms (num_samples, num_channels): decaying noise, each louder or quieter than the others."""
    rng = np.random.default_rng(count)
    envelope = np.exp(-np.arange(num_samples) / num_samples * 4)[:, None]
    gains = 10 ** rng.uniform(-1.5, -0.2, count)
    return [gain * envelope * rng.uniform(-1, 1, (num_samples, num_channels)) for gain in gains]
