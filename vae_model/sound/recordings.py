"""The recordings that a dataset was made of, where they can still be read: beside its records, and beside a model."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from pipelines import store
from pipelines.audio.decoding import open_audio
from pipelines.audio.features import extractor_of
from pipelines.audio.formats import AUDIO_SUFFIXES, suffix_of
from pipelines.audio.loading import iter_segments
from pipelines.config import AudioConfig
from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.dataset.records import Record
from pipelines.errors import AudioVaeError, SourceError
from pipelines.store.paths import local_path
from vae_model.model_folder.bundle import Bundle

_SAME_DB = 1.0
"""The coarsest records (uint8) are within 0.3 dB of their spectrogram; another sound's is tens of dB away."""
_FULL_SCALE = 0.999
_CLIPPED_RUN = 3
LATEST_SECONDS = 600.0
"""A segment that begins later in its file is better not looked for where somebody waits: all before it is decoded."""


class Recordings:
    """Finds a record's own sound below `given`, folders or files anywhere, and then below the dataset's inputs.

    Those that its runs name are looked at, the last run's first, in regular files on this machine alone: a dataset may
    be a stranger's, and would have this machine ask wherever it likes, with the user's keys.
    """

    def __init__(self, dataset: Dataset, given: Sequence[str] = ()) -> None:
        self._roots = _roots(dataset, given)
        self._audio = dataset.config.audio
        self._extractor = extractor_of(self._audio, dataset.config.spectrogram)

    def segment(self, record: Record) -> NDArray[np.float32] | None:
        """The waveform (segment_samples, n_channels) of a record; None when its recording has gone or has changed."""
        for uri in self._found(record.source):
            try:
                segments = iter_segments(uri, self._audio)
                found = next(islice(segments, record.segment, None), None)
            except SourceError:
                continue
            if found is not None and self._is_of(record, found.samples):
                return found.samples
        return None

    def clipped_samples(self, source: str) -> int:
        """Samples of a source's recording, of any channel, in runs of three or more at full scale; 0 if it has gone."""
        for uri in self._found(source):
            with contextlib.suppress(SourceError), open_audio(uri) as stream:
                return sum(_clipped(block) for block in stream.blocks)
        return 0

    def _found(self, source: str) -> Iterator[str]:
        return _files(self._roots, source)

    def _is_of(self, record: Record, waveform: NDArray[np.float32]) -> bool:
        wanted = record.log_spectrogram
        found = self._extractor.extract(waveform)
        return found.shape == wanted.shape and bool(np.abs(found - wanted).mean() < _SAME_DB)


class ModelRecordings:
    """Finds sounds that a model was trained on: below `given`, and below the inputs of its dataset, as Recordings does.

    dataset: the one that it was trained on; None for the one that its bundle names, where that is on this machine.
    """

    def __init__(self, bundle: Bundle, dataset: Dataset | None = None, given: Sequence[str] = ()) -> None:
        found = dataset or _dataset_of(bundle)
        self._roots = _roots(found, given)
        self._audio: AudioConfig = bundle.audio if found is None else found.config.audio.of_every_segment

    def segment(
        self, source: str, start_seconds: float, is_of: Callable[[NDArray[np.float32]], bool]
    ) -> NDArray[np.float32] | None:
        """The waveform (segment_samples, n_channels) that begins there in a source; None where there is none.

        is_of: whether a waveform is the right one, as a file may have changed, or be another of that name.
        """
        if not 0 <= start_seconds <= LATEST_SECONDS:
            return None
        hop = self._audio.segment_hop_samples / self._audio.sample_rate
        number = round(start_seconds / hop)
        for uri in _files(self._roots, source):
            with contextlib.suppress(SourceError):
                found = next(islice(iter_segments(uri, self._audio), number, None), None)
                if found is not None and is_of(found.samples):
                    return found.samples
        return None


def _dataset_of(bundle: Bundle) -> Dataset | None:
    uri = bundle.dataset.get("uri")
    if not isinstance(uri, str) or local_path(uri) is None:
        return None
    try:
        found = open_dataset(uri)
    except (AudioVaeError, OSError):
        return None
    return found if found.fingerprint == bundle.dataset.get("fingerprint") else None


def _roots(dataset: Dataset | None, given: Sequence[str]) -> list[str]:
    runs = [] if dataset is None else dataset.runs
    named = [uri for run in reversed(runs) for uri in run.inputs if local_path(uri) is not None]
    return list(dict.fromkeys(_root(uri) for uri in [*given, *named]))


def _files(roots: Sequence[str], source: str) -> Iterator[str]:
    """Where a source may be; not where a pipe or a device is, which would be read without end."""
    if "://" in source or ".." in source.split("/"):  # no name of a file below a folder
        return
    for root in roots:
        uri = store.join(root, source)
        with contextlib.suppress(OSError, ValueError):
            store.require_plain_file(uri)
            yield uri


def _clipped(block: NDArray[np.float32]) -> int:
    """Samples (n_samples, n_channels) in runs of at least _CLIPPED_RUN at full scale, which 16 bits just miss."""
    at_full_scale = np.abs(block) >= _FULL_SCALE
    padded = np.pad(at_full_scale, [(1, 1), (0, 0)]).astype(np.int8)
    total = 0
    for channel in padded.T:
        edges = np.flatnonzero(np.diff(channel))
        lengths = edges[1::2] - edges[::2]
        total += int(lengths[lengths >= _CLIPPED_RUN].sum())
    return total


def _root(uri: str) -> str:
    """What the sources of an input are relative to: the folder itself, or the folder of a single file."""
    path = local_path(uri)
    is_file = not os.path.isdir(path) if path is not None else True
    return uri.rsplit("/", 1)[0] if is_file and suffix_of(uri) in AUDIO_SUFFIXES else uri
