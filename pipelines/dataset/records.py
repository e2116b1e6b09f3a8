"""The one owner of the record format: `tf.train.Example` messages in TFRecord files, written and parsed.

Importing TensorFlow costs a worker seconds, so messages are built with the protobuf library alone, from the three
message types of `tensorflow/core/example/*.proto` declared below.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from pipelines.config import DatasetConfig
from pipelines.errors import WorkError, shortened

if TYPE_CHECKING:
    import tensorflow as tf


SPECTROGRAM = "spectrogram"
MIN_DB = "min_db"
MAX_DB = "max_db"
SOURCE = "source"
SEGMENT = "segment"
START_SECONDS = "start_seconds"
VALID_FRAMES = "valid_frames"
LABEL_PREFIX = "label/"
MAX_DECIBELS = 1000.0
"""Beyond what a float32 magnitude can be, in either direction: 20 log10 of the largest is 771, of the least -897."""
SILENCE_DB = -100.0
"""The lowest and highest decibels of what has nothing in it, which no range of others counts."""
SILENCE_WITHIN_DB = 1e-3
"""What machines may differ in when they say so."""
Range = tuple[float | None, float | None]
"""Lowest minimum and highest maximum in dB; None where there is no value."""
_MAX_SEGMENTS = 1 << 31
_MAX_TEXT_BYTES = 1 << 16


@dataclass(frozen=True)
class RecordSpec:
    """What every record of a dataset has in common.

    dtype: float16, float32 or uint8. shape: (n_bins, n_frames, n_channels). labels: names of the label features.
    """

    dtype: str
    shape: tuple[int, int, int]
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: DatasetConfig) -> RecordSpec:
        """The records that a dataset of these settings holds."""
        return cls(config.dtype, config.record_shape, config.label_names)

    @property
    def array_bytes(self) -> int:
        """Bytes of one stored spectrogram."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Record:
    """One segment's normalised log-spectrogram, float32 (n_bins, n_frames, n_channels) in [0, 1], and its origin.

    min_db, max_db: decibels that 0 and 1 stand for. source: path relative to its input root, `/` separated.
    segment: its number in the source, from 0. start_seconds: where it begins in the source. valid_frames: frames before
    padding begins.
    """

    spectrogram: NDArray[np.float32]
    min_db: float
    max_db: float
    source: str
    segment: int
    start_seconds: float
    valid_frames: int
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def log_spectrogram(self) -> NDArray[np.float32]:
        """The spectrogram in dB, float32 (n_bins, n_frames, n_channels)."""
        return self.spectrogram * np.float32(self.max_db - self.min_db) + np.float32(self.min_db)

    def loudest_db(self, level_channels: int) -> float:
        """The loudest level in dB of the first channels, which hold levels."""
        highest = float(self.spectrogram[..., :level_channels].max())
        return highest * (self.max_db - self.min_db) + self.min_db


def is_silent(low: float, high: float) -> bool:
    """Whether lowest and highest decibels are those of silence."""
    return max(abs(low - SILENCE_DB), abs(high - SILENCE_DB)) < SILENCE_WITHIN_DB


def merged_range(ranges: Iterable[Range]) -> Range:
    """The range over all ranges, of records or of what has records; silence counts where there is nothing else.

    So one silent file takes nothing from the others. In whatever order and groups they are merged, the same comes out.
    """
    given = [(low, high) for low, high in ranges if low is not None and high is not None]
    pairs = [pair for pair in given if not is_silent(*pair)] or given
    return min((low for low, _ in pairs), default=None), max((high for _, high in pairs), default=None)


def _example_class() -> Any:
    """The message class of `tensorflow.Example`, in a pool of its own so that it never meets TensorFlow's."""
    types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="audio_vae/example.proto", package="audio_vae", syntax="proto3")

    def add_field(message: Any, name: str, number: int, kind: Any, repeated: bool = False) -> Any:
        label = types.LABEL_REPEATED if repeated else types.LABEL_OPTIONAL
        added = message.field.add(name=name, number=number, label=label)
        if isinstance(kind, str):
            added.type, added.type_name = types.TYPE_MESSAGE, f".audio_vae.{kind}"
        else:
            added.type = kind
        return added

    for name, kind in (
        ("BytesList", types.TYPE_BYTES),
        ("FloatList", types.TYPE_FLOAT),
        ("Int64List", types.TYPE_INT64),
    ):
        add_field(file.message_type.add(name=name), "value", 1, kind, repeated=True)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, message) in enumerate(
        (("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List")), start=1
    ):
        add_field(feature, name, number, message).oneof_index = 0
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    add_field(entry, "key", 1, types.TYPE_STRING)
    add_field(entry, "value", 2, "Feature")
    add_field(features, "feature", 1, "Features.FeatureEntry", repeated=True)
    add_field(file.message_type.add(name="Example"), "features", 1, "Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("audio_vae.Example"))


_Example = _example_class()


def encode_array(spectrogram: NDArray[np.float32], dtype: str) -> bytes:
    """Bytes of a spectrogram in [0, 1]: little-endian, C order; uint8 stands for value / 255."""
    if dtype == "uint8":
        return np.rint(spectrogram * np.float32(255)).astype(np.uint8).tobytes()
    return spectrogram.astype(np.dtype(dtype).newbyteorder("<"), copy=False).tobytes()


def decode_array(data: bytes, spec: RecordSpec) -> NDArray[np.float32]:
    """The inverse of `encode_array`: float32 of spec.shape. WorkError when the number of bytes does not fit."""
    if len(data) != spec.array_bytes:
        expected = f"{spec.dtype} {spec.shape} has {spec.array_bytes}"
        raise WorkError(f"a record's spectrogram has {len(data)} bytes, {expected}")
    array = np.frombuffer(data, dtype=np.dtype(spec.dtype).newbyteorder("<")).reshape(spec.shape)
    values = array.astype(np.float32)
    return values / np.float32(255) if spec.dtype == "uint8" else values


def serialize(record: Record, dtype: str) -> bytes:
    """The record as a serialized `tf.train.Example`; the same record always gives the same bytes."""
    example = _Example()
    feature = example.features.feature
    feature[SPECTROGRAM].bytes_list.value.append(encode_array(record.spectrogram, dtype))
    feature[MIN_DB].float_list.value.append(record.min_db)
    feature[MAX_DB].float_list.value.append(record.max_db)
    feature[SOURCE].bytes_list.value.append(record.source.encode())
    feature[SEGMENT].int64_list.value.append(record.segment)
    feature[START_SECONDS].float_list.value.append(record.start_seconds)
    feature[VALID_FRAMES].int64_list.value.append(record.valid_frames)
    for name, value in record.labels.items():
        feature[LABEL_PREFIX + name].bytes_list.value.append(value.encode())
    return bytes(example.SerializeToString(deterministic=True))


def parse(serialized: bytes, spec: RecordSpec) -> Record:
    """The inverse of `serialize`. WorkError when the message is no record of this spec: the feature, rule and value."""
    try:
        feature = _Example.FromString(serialized).features.feature
    except (DecodeError, UnicodeDecodeError) as error:
        raise WorkError(f"a record is no tf.train.Example: {error}") from error
    record = Record(
        spectrogram=decode_array(_one(feature, SPECTROGRAM, "bytes_list"), spec),
        min_db=_one(feature, MIN_DB, "float_list"),
        max_db=_one(feature, MAX_DB, "float_list"),
        source=_text(feature, SOURCE),
        segment=_one(feature, SEGMENT, "int64_list"),
        start_seconds=_one(feature, START_SECONDS, "float_list"),
        valid_frames=_one(feature, VALID_FRAMES, "int64_list"),
        labels={name: _text(feature, LABEL_PREFIX + name) for name in spec.labels},
    )
    _check(record, spec)
    return record


def _one(feature: Any, name: str, kind: str) -> Any:
    """The one value of a feature."""
    found = feature.get(name)
    if found is None or found.WhichOneof("kind") != kind or len(getattr(found, kind).value) != 1:
        raise WorkError(f"a record's {name} must be there, with one value in its {kind}")
    return getattr(found, kind).value[0]


def _text(feature: Any, name: str) -> str:
    data: bytes = _one(feature, name, "bytes_list")
    if len(data) > _MAX_TEXT_BYTES:
        raise WorkError(f"a record's {name} of {len(data):,} bytes must have at most {_MAX_TEXT_BYTES:,}")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise WorkError(f"a record's {name}={shortened(data)} must be UTF-8") from error


def _check(record: Record, spec: RecordSpec) -> None:
    """What `_asserted` has TensorFlow look at, and the spectrogram's values."""
    low, high = record.min_db, record.max_db
    ranged = -MAX_DECIBELS <= low <= high <= MAX_DECIBELS
    starts, n_frames, array = record.start_seconds, spec.shape[1], record.spectrogram
    for good, name, value, rule in (
        (ranged, "range", f"{low} to {high} dB", f"within ±{MAX_DECIBELS:g} dB, min_db at most max_db"),
        (0 <= record.segment < _MAX_SEGMENTS, SEGMENT, record.segment, f"from 0 to {_MAX_SEGMENTS - 1}"),
        (0 <= starts < math.inf, START_SECONDS, starts, "a finite number, at least 0"),
        (0 <= record.valid_frames <= n_frames, VALID_FRAMES, record.valid_frames, f"from 0 to {n_frames}"),
    ):
        if not good:
            raise WorkError(f"a record's {name}={value} must be {rule}: {shortened(record.source)}")
    if spec.dtype != "uint8" and not (array.min() >= 0 and array.max() <= 1):
        at = f"{shortened(record.source)} segment {record.segment}"
        raise WorkError(f"a record's spectrogram must have values in [0, 1], it has others: {at}")


def source_of(serialized: bytes) -> str:
    """The source of a serialized record, without decoding its array. WorkError when it has none."""
    try:
        return _text(_Example.FromString(serialized).features.feature, SOURCE)
    except DecodeError as error:
        raise WorkError(f"a record is no tf.train.Example: {error}") from error


def renamed(serialized: bytes, source: str, labels: dict[str, str]) -> bytes:
    """A serialized record under another name, with the labels of that: as `serialize` writes it."""
    example = _Example.FromString(serialized)
    feature = example.features.feature
    for name, text in {SOURCE: source, **{LABEL_PREFIX + label: value for label, value in labels.items()}}.items():
        feature[name].bytes_list.value[:] = [text.encode()]
    return bytes(example.SerializeToString(deterministic=True))


def parse_batch(serialized: tf.Tensor, spec: RecordSpec) -> dict[str, tf.Tensor]:
    """Parse a batch of serialized records inside a tf.data pipeline.

    serialized: string (batch,). Returns `spectrogram` float32 (batch, n_bins, n_frames, n_channels) in [0, 1], and
    (batch,) each of `min_db`, `max_db`, `start_seconds`, `segment`, `valid_frames`, `source` and `label/<name>`.
    """
    parsed = parse_stored(serialized, spec)
    parsed[SPECTROGRAM] = to_float(parsed[SPECTROGRAM])
    return parsed


def parse_stored(serialized: tf.Tensor, spec: RecordSpec) -> dict[str, tf.Tensor]:
    """`parse_batch` with spectrograms of the dtype that they are stored in."""
    import tensorflow as tf

    scalars = {MIN_DB: tf.float32, MAX_DB: tf.float32, START_SECONDS: tf.float32}
    scalars |= {SEGMENT: tf.int64, VALID_FRAMES: tf.int64, SOURCE: tf.string, SPECTROGRAM: tf.string}
    scalars |= {LABEL_PREFIX + name: tf.string for name in spec.labels}
    parsed = tf.io.parse_example(serialized, {name: tf.io.FixedLenFeature([], kind) for name, kind in scalars.items()})
    parsed = _asserted(parsed, spec)
    flat = tf.io.decode_raw(parsed[SPECTROGRAM], tf.dtypes.as_dtype(spec.dtype), fixed_length=None)
    parsed[SPECTROGRAM] = tf.reshape(flat, [-1, *spec.shape])
    return dict(parsed)


def _asserted(parsed: dict[str, tf.Tensor], spec: RecordSpec) -> dict[str, tf.Tensor]:
    """A parsed batch that fails, when it is read, where `parse` would refuse a record; of the array its size."""
    import tensorflow as tf

    low, high, start = parsed[MIN_DB], parsed[MAX_DB], parsed[START_SECONDS]
    segment, valid = parsed[SEGMENT], parsed[VALID_FRAMES]
    texts = [SOURCE, *(LABEL_PREFIX + name for name in spec.labels)]
    good = [
        tf.strings.length(parsed[SPECTROGRAM]) == spec.array_bytes,
        (low >= -MAX_DECIBELS) & (low <= high) & (high <= MAX_DECIBELS),
        (segment >= 0) & (segment < _MAX_SEGMENTS),
        (start >= 0) & tf.math.is_finite(start),
        (valid >= 0) & (valid <= spec.shape[1]),
        *(tf.strings.length(parsed[name]) <= _MAX_TEXT_BYTES for name in texts),
    ]
    # Where a text is no UTF-8, characters are replaced; with errors="strict" graphs leave the unused operation out.
    good += [tf.strings.unicode_transcode(parsed[name], "UTF-8", "UTF-8") == parsed[name] for name in texts]
    asserted = tf.debugging.Assert(tf.reduce_all(tf.stack(good)), ["a record is not as it must be"])
    with tf.control_dependencies([] if asserted is None else [asserted]):
        return {name: tf.identity(value) for name, value in parsed.items()}


def to_float(stored: tf.Tensor) -> tf.Tensor:
    """Stored spectrograms, float16, float32 or uint8, as float32 in [0, 1]; uint8 stands for value / 255."""
    import tensorflow as tf

    values = tf.cast(stored, tf.float32)
    return values / 255.0 if stored.dtype == tf.uint8 else values


def schema_pbtxt(spec: RecordSpec) -> str:
    """The tensorflow-metadata Schema of a record, in text form."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    kinds = {SPECTROGRAM: "BYTES", MIN_DB: "FLOAT", MAX_DB: "FLOAT", SOURCE: "BYTES", SEGMENT: "INT"}
    kinds |= {START_SECONDS: "FLOAT", VALID_FRAMES: "INT"}
    kinds |= {LABEL_PREFIX + name: "BYTES" for name in spec.labels}
    schema = schema_pb2.Schema()
    for name, kind in kinds.items():
        feature = schema.feature.add(name=name, type=schema_pb2.FeatureType.Value(kind))
        feature.presence.min_fraction = 1.0
        feature.value_count.min = feature.value_count.max = 1
    return str(text_format.MessageToString(schema))
