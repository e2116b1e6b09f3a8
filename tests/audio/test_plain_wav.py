"""WAV files that numpy decodes, against libsndfile: the same samples, whatever stands in the header."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.audio.decoding import open_audio
from pipelines.audio.loading import Loader
from pipelines.decoders import with_numpy
from pipelines.decoders.source_file import source_file
from pipelines.decoders.streams import BLOCK_FRAMES, Opened

SAMPLES = np.random.default_rng(0).integers(-(1 << 15), 1 << 15, (300, 2), np.int16)


def is_plain(path: Path) -> bool:
    with source_file(str(path), 0) as file:
        return with_numpy.reads(Opened(str(path), ".wav", file, file.read_at(0, 1024), "wav"))


def decoded(path: Path, seconds: float | None = None) -> np.ndarray:
    with open_audio(str(path), seconds) as stream:
        blocks = list(stream.blocks)
    assert {block.dtype for block in blocks} == {np.dtype(np.float32)}
    return np.concatenate(blocks)


@pytest.mark.parametrize("channels", [1, 2])
def test_samples_are_those_of_libsndfile(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "all.wav"
    every = np.arange(-(1 << 15), 1 << 15, dtype=np.int16).reshape(-1, channels)
    soundfile.write(path, every, 8000)
    assert is_plain(path)
    np.testing.assert_array_equal(decoded(path), soundfile.read(path, dtype="float32", always_2d=True)[0])
    assert len(decoded(path, 0.74)) == int(0.74 * 8000)


def test_a_long_file_comes_in_blocks(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    samples = np.resize(SAMPLES[:, 0], BLOCK_FRAMES + 1000)
    soundfile.write(path, samples, 44100)
    with open_audio(str(path)) as stream:
        lengths = [len(block) for block in stream.blocks]
    assert lengths == [BLOCK_FRAMES, 1000]
    np.testing.assert_array_equal(decoded(path)[:, 0], samples / np.float32(1 << 15))


def test_whatever_the_header_says_is_read_as_libsndfile_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "changed.wav"
    soundfile.write(path, SAMPLES, 16000)
    whole = path.read_bytes()
    random = np.random.default_rng(1)
    plain = 0
    for _ in range(1500):
        data = bytearray(whole[: len(whole) - random.choice([0, 0, 1, 4, 500])] + b"\0" * random.choice([0, 0, 3]))
        for at in random.integers(0, 44, random.integers(0, 3)):
            data[at] = random.choice([0, 1, 2, 4, 16, 255, random.integers(256)])
        path.write_bytes(data)
        if not is_plain(path):
            continue
        plain += 1
        expected, rate = soundfile.read(path, dtype="float32", always_2d=True)
        with open_audio(str(path)) as stream:
            assert stream.sample_rate == rate, bytes(data[:44])
            np.testing.assert_array_equal(np.concatenate(list(stream.blocks)), expected)
    assert plain > 300


def test_a_file_read_ahead_has_the_same_samples(tmp_path: Path) -> None:
    path = tmp_path / "ahead.wav"
    soundfile.write(path, SAMPLES, 16000)
    loader = Loader(16000, mono=False)
    loader.read_ahead(str(path), path.stat().st_size)
    assert loader.fetched(str(path)) == path.read_bytes()
    np.testing.assert_array_equal(loader.load(str(path)), SAMPLES / np.float32(1 << 15))
    loader.read_ahead(str(path), path.stat().st_size - 1)  # it has grown since it was listed
    loader.read_ahead(str(tmp_path / "missing.wav"), 10)
    assert loader.fetched(str(path)) is None
    assert loader.fetched(str(tmp_path / "missing.wav")) is None
