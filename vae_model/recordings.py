"""The recordings that a dataset was made of, where they can still be read."""

from __future__ import annotations

import os
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from pipelines import store
from pipelines.audio import iter_segments
from pipelines.dataset import Dataset
from pipelines.errors import SourceError
from pipelines.formats import AUDIO_SUFFIXES, local_path, suffix_of
from pipelines.records import Record
from pipelines.spectrogram import LogSpectrogramExtractor

_SAME_DB = 1.0
"""The coarsest records (uint8) are within 0.3 dB of their spectrogram; another sound's is tens of dB away."""


class Recordings:
    """Finds a record's own sound below the inputs of the dataset's runs, the last run's first."""

    def __init__(self, dataset: Dataset) -> None:
        inputs = [uri for run in reversed(dataset.runs) for uri in run.inputs]
        self._roots = list(dict.fromkeys(map(_root, inputs)))
        self._audio = dataset.config.audio
        settings = dataset.config.spectrogram
        self._extractor = LogSpectrogramExtractor(settings.frame_size, settings.hop_length, settings.top_db)

    def segment(self, record: Record) -> NDArray[np.float32] | None:
        """The waveform (segment_samples, n_channels) of a record; None when its recording has gone or has changed."""
        for root in self._roots:
            try:
                segments = iter_segments(store.join(root, record.source), self._audio)
                found = next(islice(segments, record.segment, None), None)
            except SourceError:
                continue
            if found is not None and self._is_of(record, found.samples):
                return found.samples
        return None

    def _is_of(self, record: Record, waveform: NDArray[np.float32]) -> bool:
        wanted = record.spectrogram * (record.max_db - record.min_db) + record.min_db
        found = self._extractor.extract(waveform)
        return found.shape == wanted.shape and bool(np.abs(found - wanted).mean() < _SAME_DB)


def _root(uri: str) -> str:
    """What the sources of an input are relative to: the folder itself, or the folder of a single file."""
    path = local_path(uri)
    is_file = not os.path.isdir(path) if path is not None else True
    return uri.rsplit("/", 1)[0] if is_file and suffix_of(uri) in AUDIO_SUFFIXES else uri
