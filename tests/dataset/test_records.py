"""The record format against TensorFlow's own reader and writer."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipelines.building.savers import RecordSaver
from pipelines.dataset.framing import frame, read_frames
from pipelines.dataset.records import Record, RecordSpec, parse, parse_batch, serialize
from pipelines.errors import WorkError

SHAPE = (4, 3, 2)
VALUES = np.random.default_rng(0).random(SHAPE).astype(np.float32)
RECORD = Record(VALUES, -80.5, 3.25, "birds/amsel größer.wav", 7, 5.18, 2, {"species": "amsel", "note": ""})


@pytest.mark.parametrize(("dtype", "error"), [("float32", 0), ("float16", 2.5e-4), ("uint8", 0.5 / 255 + 1e-6)])
def test_tensorflow_reads_what_is_written(dtype: str, error: float) -> None:
    features = tf.train.Example.FromString(serialize(RECORD, dtype)).features.feature
    stored = np.frombuffer(features["spectrogram"].bytes_list.value[0], dtype=dtype).reshape(SHAPE)
    values = stored.astype(np.float32) / (255 if dtype == "uint8" else 1)
    np.testing.assert_allclose(values, VALUES, atol=error)
    assert features["min_db"].float_list.value == [-80.5]
    assert features["max_db"].float_list.value == [3.25]
    assert features["source"].bytes_list.value == ["birds/amsel größer.wav".encode()]
    assert features["segment"].int64_list.value == [7]
    assert features["start_seconds"].float_list.value == [pytest.approx(5.18)]
    assert features["valid_frames"].int64_list.value == [2]
    assert features["label/species"].bytes_list.value == [b"amsel"]
    assert features["label/note"].bytes_list.value == [b""]


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_both_parsers_agree(dtype: str) -> None:
    spec = RecordSpec(dtype, SHAPE, ("species", "note"))
    serialized = serialize(RECORD, dtype)
    one = parse(serialized, spec)
    batch = parse_batch(tf.constant([serialized, serialized]), spec)
    np.testing.assert_array_equal(batch["spectrogram"], [one.spectrogram, one.spectrogram])
    assert (one.source, one.segment, one.valid_frames, one.labels) == (RECORD.source, 7, 2, RECORD.labels)
    assert batch["source"].numpy().tolist() == [RECORD.source.encode()] * 2
    assert batch["label/species"].numpy().tolist() == [b"amsel"] * 2


def test_tensorflow_reads_the_file_and_we_read_tensorflows(tmp_path: Path) -> None:
    ours, theirs = str(tmp_path / "ours"), str(tmp_path / "theirs")
    messages = [serialize(RECORD, "float16"), b"", b"x" * 100000]
    with open(ours, "w+b") as file:
        saver = RecordSaver(file)
        for message in messages:
            saver.save_serialized(message)
    with tf.io.TFRecordWriter(theirs) as writer:
        for message in messages:
            writer.write(message)
    assert Path(ours).read_bytes() == Path(theirs).read_bytes()
    assert [m.numpy() for m in tf.data.TFRecordDataset(ours)] == messages
    with open(theirs, "rb") as file:
        assert list(read_frames(file, theirs)) == messages
    assert saver.num_bytes == Path(ours).stat().st_size


def test_rollback_leaves_the_file_as_if_nothing_had_been_written() -> None:
    file = io.BytesIO()
    saver = RecordSaver(file)
    saver.save_serialized(b"first")
    mark, content = saver.mark(), file.getvalue()
    saver.save(RECORD)
    saver.rollback(mark)
    assert file.getvalue() == content
    saver.save_serialized(b"second")
    assert file.getvalue() == frame(b"first") + frame(b"second")
    assert saver.num_examples == 2


@pytest.mark.parametrize("cut", [1, 11, 12, 20])
def test_a_truncated_file_is_noticed(cut: int) -> None:
    data = frame(b"one message") + frame(b"another one")
    with pytest.raises(WorkError, match=r"a\.tfrecord: truncated at byte 27"):
        list(read_frames(io.BytesIO(data[:-cut]), "a.tfrecord"))


def test_every_flipped_bit_is_noticed() -> None:
    data = frame(b"one message")
    for position in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(WorkError, match=r"checksum|truncated"):
            list(read_frames(io.BytesIO(bytes(flipped)), "a.tfrecord"))


def test_another_shape_is_refused() -> None:
    with pytest.raises(WorkError, match=r"has 96 bytes, float32 \(5, 3, 2\) has 120"):
        parse(serialize(RECORD, "float32"), RecordSpec("float32", (5, 3, 2)))
