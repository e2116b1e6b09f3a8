"""Steps from audio files to records as Beam transforms, to compose in a pipeline of one's own.

    ReadAudio → CutSegments → ExtractFeatures → Normalise → WriteTFRecords or WriteDataset
                                              ↘ GlobalRange ↗

Each is a thin face of a plain function of `elements.py`, and tells Beam's type checks the classes it takes and gives. A
file that can't be used becomes a `Failure` on an output of its own. Waveforms and spectrograms cross from step to step
here, in memory and, where a runner shuffles, over the network; `PreprocessAudio` of this room does the same work a
shard at a time, in processes that a decoder may crash. docs/architecture.md compares the two.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.io import fileio
from apache_beam.pvalue import AsSingleton, PCollection, TaggedOutput

from pipelines.audio.features import Extractor, extractor_of
from pipelines.audio.limits import SourceLimits
from pipelines.audio.loading import loader_of
from pipelines.audio.spectrogram import LogSpectrogramExtractor
from pipelines.beam.elements import (
    AudioFile,
    Failure,
    Feature,
    FileRecord,
    FileSegment,
    Waveform,
    feature_of,
    files_at,
    path_of,
    record_of,
    segments_of,
    serialized,
)
from pipelines.building.digests import digest_of
from pipelines.building.processing import blaming, warning_of
from pipelines.config import LOG_SPECTROGRAM, AudioConfig, DatasetConfig, SpectrogramConfig
from pipelines.dataset.records import Range, merged_range
from pipelines.errors import SourceError, require

FAILURES = "failures"
"""The tag of elements that say what could not be used and why."""
_WILDCARD = re.compile(r"[*?\[{]")


class AudioRead(NamedTuple):
    """What `ReadAudio` gives."""

    waveforms: PCollection[Waveform]
    failures: PCollection[Failure]


class FeaturesExtracted(NamedTuple):
    """What `ExtractFeatures` gives."""

    features: PCollection[Feature]
    failures: PCollection[Failure]


class ListAudio(beam.PTransform):
    """Files, folders and matches to `AudioFile`, and `Failure` for what can't be listed; see `ReadAudio`."""

    def __init__(self, pattern: str | os.PathLike[str] | None = None, root: str | None = None) -> None:
        super().__init__()
        self.pattern = os.fspath(pattern) if pattern is not None else None
        self.root = root

    def expand(self, begin: Any) -> beam.pvalue.DoOutputsTuple:
        root, elements = self.root, begin
        if self.pattern is not None:
            wildcard = _WILDCARD.search(self.pattern)
            if wildcard is None:
                elements = begin | "Input" >> beam.Create([self.pattern])
            else:
                root = root or os.path.dirname(self.pattern[: wildcard.start()]) or "."
                elements = begin | "Match" >> fileio.MatchFiles(self.pattern)
        listed = elements | "List" >> beam.ParDo(_List(root)).with_outputs(FAILURES, main="files")
        return listed.files | "Spread" >> beam.Reshuffle(), listed[FAILURES]


class _List(beam.DoFn):
    def __init__(self, root: str | None) -> None:
        self.root = root

    def process(self, element: Any) -> Iterator[Any]:
        for found in files_at(path_of(element), self.root):
            yield TaggedOutput(FAILURES, found) if isinstance(found, Failure) else found


class ReadAudio(beam.PTransform):
    """Audio files decoded, mixed and resampled to the rate and channels of `config`, as `audio-vae preprocess` does.

    Takes a pattern, file or folder at the start of a pipeline; or a PCollection of paths and URIs, or of matches of
    Beam's `fileio` (`MatchFiles`, `ReadMatches`). root: the folder that names are relative to, as splits and labels
    come from them; without it a pattern's folder, else see `files_at`. limits: what a file is let be. Gives
    `AudioRead`: waveforms, failures.

    A file is in memory whole, and its decoder runs in the worker: what crashes it takes the worker along.

    >>> import apache_beam as beam
    >>> from pipelines.beam import ReadAudio
    >>> from pipelines.config import AudioConfig
    >>> with beam.Pipeline() as pipeline:
    ...     audio = pipeline | ReadAudio("sounds/*.wav", AudioConfig(sample_rate=8000))
    ...     _ = audio.waveforms | beam.Map(lambda waveform: print(waveform.file.source, waveform.samples.shape))
    a.wav (8000, 1)
    """

    def __init__(
        self,
        pattern: str | os.PathLike[str] | None = None,
        config: AudioConfig | None = None,
        root: str | None = None,
        limits: SourceLimits | None = None,
    ) -> None:
        super().__init__()
        self.listing = ListAudio(pattern, root)
        self.config = config or AudioConfig()
        self.limits = limits

    def expand(self, begin: Any) -> AudioRead:
        files, unlisted = begin | "ListAudio" >> self.listing
        read = files | "Load" >> beam.ParDo(_Load(self.config, self.limits)).with_outputs(FAILURES, main="waveforms")
        waveforms = read.waveforms
        waveforms.element_type = Waveform
        return AudioRead(waveforms, (unlisted, read[FAILURES]) | "Failures" >> beam.Flatten())


class _Load(beam.DoFn):
    def __init__(self, config: AudioConfig, limits: SourceLimits | None) -> None:
        self.config = config
        self.limits = limits

    def setup(self) -> None:
        self.loader = loader_of(self.config, self.limits)

    def process(self, file: AudioFile) -> Iterator[Any]:
        try:
            with blaming(file.uri):
                file = dataclasses.replace(file, digest=digest_of(file.uri))
                samples = self.loader.load(file.uri)
            warning = warning_of(self.loader, file.uri)
        except SourceError as error:
            yield TaggedOutput(FAILURES, Failure(file, error.stage, error.reason))
            return
        yield Waveform(dataclasses.replace(file, warning=warning), samples)


@beam.typehints.with_input_types(Waveform)
@beam.typehints.with_output_types(FileSegment)
class CutSegments(beam.PTransform):
    """Waveforms cut into segments of one length, the last one padded; `config` as of `ReadAudio`.

    >>> import apache_beam as beam
    >>> from pipelines.beam import CutSegments, ReadAudio
    >>> from pipelines.config import AudioConfig
    >>> config = AudioConfig(sample_rate=8000, segment_seconds=0.4)
    >>> with beam.Pipeline() as pipeline:
    ...     segments = (pipeline | ReadAudio("sounds/", config)).waveforms | CutSegments(config)
    ...     _ = segments | beam.Map(lambda piece: print(piece.segment.start_seconds, piece.segment.valid_samples))
    0.0 3200
    0.4 3200
    0.8 1600
    """

    def __init__(self, config: AudioConfig | None = None) -> None:
        super().__init__()
        self.config = config or AudioConfig()

    def expand(self, waveforms: PCollection[Waveform]) -> PCollection[FileSegment]:
        return waveforms | "Cut" >> beam.FlatMap(segments_of, self.config).with_output_types(FileSegment)


@beam.typehints.with_input_types(FileSegment)
class ExtractFeatures(beam.PTransform):
    """Segments to decibels.

    extractor: an object with `extract(segment)` and `hop_length`, or settings: of log-spectrograms, or of a dataset
    with any feature.

    Gives `FeaturesExtracted`: features, failures.

    >>> import apache_beam as beam
    >>> from pipelines.beam import CutSegments, ExtractFeatures, ReadAudio
    >>> from pipelines.config import AudioConfig, SpectrogramConfig
    >>> config = AudioConfig(sample_rate=8000)
    >>> with beam.Pipeline() as pipeline:
    ...     segments = (pipeline | ReadAudio("sounds/", config)).waveforms | CutSegments(config)
    ...     extracted = segments | ExtractFeatures(SpectrogramConfig(frame_size=256, hop_length=128))
    ...     _ = extracted.features | beam.Map(lambda feature: print(feature.segment, feature.decibels.shape))
    0 (128, 47, 1)
    1 (128, 47, 1)
    """

    def __init__(self, extractor: Extractor | SpectrogramConfig | DatasetConfig | None = None) -> None:
        super().__init__()
        self.extractor: Extractor
        settings = SpectrogramConfig() if extractor is None else extractor
        if isinstance(settings, DatasetConfig):
            self.extractor = extractor_of(settings.audio, settings.spectrogram)
        elif isinstance(settings, SpectrogramConfig):
            rule = f"{LOG_SPECTROGRAM} here; give the DatasetConfig for another"
            require(settings.feature == LOG_SPECTROGRAM, "feature", settings.feature, rule)
            self.extractor = LogSpectrogramExtractor(settings.frame_size, settings.hop_length, settings.top_db)
        else:
            self.extractor = settings

    def expand(self, segments: PCollection[FileSegment]) -> FeaturesExtracted:
        extract = beam.ParDo(_Extract(self.extractor))
        extracted = segments | "Extract" >> extract.with_outputs(FAILURES, main="features")
        extracted.features.element_type = Feature
        return FeaturesExtracted(extracted.features, extracted[FAILURES])


class _Extract(beam.DoFn):
    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor

    def process(self, piece: FileSegment) -> Iterator[Any]:
        try:
            feature = feature_of(piece, self.extractor)
        except SourceError as error:
            yield TaggedOutput(FAILURES, Failure(piece.file, error.stage, error.reason, piece.segment.index))
            return
        yield feature


class MinMaxCombineFn(beam.CombineFn):
    """The range over (minimum, maximum) pairs, as of `merged_range`; None stands for no value."""

    def create_accumulator(self) -> Range:
        return None, None

    def add_input(self, accumulator: Range, element: Range) -> Range:
        return self.merge_accumulators([accumulator, element])

    def merge_accumulators(self, accumulators: Iterable[Range]) -> Range:
        return merged_range(accumulators)

    def extract_output(self, accumulator: Range) -> Range:
        return accumulator


class GlobalRange(beam.PTransform):
    """The lowest and highest decibel over all features, records or shards' summaries, but for silence, as one pair.

    >>> import apache_beam as beam
    >>> from pipelines.beam import CutSegments, ExtractFeatures, GlobalRange, ReadAudio
    >>> with beam.Pipeline() as pipeline:
    ...     segments = (pipeline | ReadAudio("sounds/")).waveforms | CutSegments()
    ...     extracted = segments | ExtractFeatures()
    ...     _ = extracted.features | GlobalRange() | beam.Map(lambda pair: print(*map(round, pair)))
    -44 36
    """

    def expand(self, elements: Any) -> PCollection[Range]:
        ranges = elements | "Range" >> beam.Map(lambda element: (element.min_db, element.max_db))
        return ranges | "MinMax" >> beam.CombineGlobally(MinMaxCombineFn())


@beam.typehints.with_input_types(Feature)
@beam.typehints.with_output_types(FileRecord)
class Normalise(beam.PTransform):
    """Features to records in [0, 1]: each by its own range, as a dataset has it, or all by one.

    bounds: a PCollection of one (lowest, highest) pair in dB, such as `GlobalRange` gives; all features wait for it.

    >>> import apache_beam as beam
    >>> from pipelines.beam import CutSegments, ExtractFeatures, GlobalRange, Normalise, ReadAudio
    >>> with beam.Pipeline() as pipeline:
    ...     segments = (pipeline | ReadAudio("sounds/")).waveforms | CutSegments()
    ...     features = (segments | ExtractFeatures()).features
    ...     records = features | Normalise(features | GlobalRange())
    ...     _ = records | beam.Map(lambda element: print(round(float(element.record.spectrogram.max()), 2)))
    1.0
    1.0
    """

    def __init__(self, bounds: PCollection[Range] | None = None) -> None:
        super().__init__()
        self.bounds = bounds

    def expand(self, features: PCollection[Feature]) -> PCollection[FileRecord]:
        if self.bounds is None:
            return features | "OwnRange" >> beam.Map(record_of).with_output_types(FileRecord)
        one_range = beam.Map(record_of, AsSingleton(self.bounds)).with_output_types(FileRecord)
        return features | "OneRange" >> one_range


@beam.typehints.with_input_types(FileRecord)
class WriteTFRecords(beam.PTransform):
    """Records to TFRecord files `<prefix>-00000-of-00003.tfrecord` of `tf.train.Example`, in no order.

    config: for the dtype of the arrays and the labels. num_shards: 0 leaves their number to the runner. Gives the names
    of the files. For a folder that `audio-vae train` takes use `WriteDataset`.

    >>> import apache_beam as beam
    >>> from pipelines.beam import CutSegments, ExtractFeatures, Normalise, ReadAudio, WriteTFRecords
    >>> with beam.Pipeline() as pipeline:
    ...     segments = (pipeline | ReadAudio("sounds/")).waveforms | CutSegments()
    ...     records = (segments | ExtractFeatures()).features | Normalise()
    ...     _ = records | WriteTFRecords("records/all", num_shards=1) | beam.Map(print)
    records/all-00000-of-00001.tfrecord
    """

    def __init__(self, prefix: str, config: DatasetConfig | None = None, num_shards: int = 0) -> None:
        super().__init__()
        self.prefix = os.fspath(prefix)
        self.config = config or DatasetConfig()
        self.num_shards = num_shards

    def expand(self, records: PCollection[FileRecord]) -> PCollection[str]:
        examples = records | "Serialize" >> beam.Map(serialized, self.config).with_output_types(bytes)
        sink = beam.io.WriteToTFRecord(self.prefix, file_name_suffix=".tfrecord", num_shards=self.num_shards)
        return examples | "Write" >> sink
