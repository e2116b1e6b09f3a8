"""Files of every container with bytes changed, cut, doubled: a row each, no crash, no hang, in bounded memory."""

from __future__ import annotations

import resource
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.audio.formats import AUDIO_SUFFIXES
from pipelines.building.supervision import SupervisedBuilder
from pipelines.building.task import ShardTask, Source, task_to_line
from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from tests.helpers.strange_sounds import by_pyav, encoded, mp3, sine, without_length

pytest.importorskip("av")

SOUNDS: dict[str, Callable[[], bytes]] = {
    ".m4a": lambda: by_pyav(sine(0.3, 48000), "mp4", "aac", movflags="faststart"),
    ".mp4.m4a": lambda: by_pyav(sine(0.3, 48000, 2), "mp4", "aac"),
    ".webm": lambda: by_pyav(sine(0.3, 48000), "webm", "libopus"),
    ".mka": lambda: by_pyav(sine(0.3, 48000), "matroska", "flac"),
    ".aac": lambda: by_pyav(sine(0.3, 48000), "adts", "aac"),
    ".wma": lambda: by_pyav(sine(0.3, 48000), "asf", "flac"),
    ".oga": lambda: by_pyav(sine(0.3, 48000), "ogg", "flac"),
    ".aifc": lambda: by_pyav(sine(0.3, 48000), "aiff", "adpcm_ima_qt"),
    ".caf": lambda: by_pyav(sine(0.3, 48000), "caf", "pcm_s16le"),
    ".mp3": lambda: mp3(sine(0.3)),
    ".vbr.mp3": lambda: without_length(mp3(sine(0.3), mode="VARIABLE")),
    ".flac": lambda: encoded(sine(0.3), "FLAC"),
    ".two.flac": lambda: 2 * encoded(sine(0.2), "FLAC"),
    ".ogg": lambda: encoded(sine(0.3), "OGG", "VORBIS"),
    ".opus": lambda: encoded(sine(0.3), "OGG", "OPUS", 48000),
    ".wav": lambda: encoded(sine(0.1), "WAV"),
    ".float.wav": lambda: encoded(sine(0.1), "WAV", "FLOAT"),
    ".rf64": lambda: encoded(sine(0.1), "RF64"),
    ".w64": lambda: encoded(sine(0.1), "W64"),
    ".aiff": lambda: encoded(sine(0.1), "AIFF"),
    ".au": lambda: encoded(sine(0.1), "AU"),
}
_made: dict[str, bytes] = {}


def sound(kind: str) -> bytes:
    if kind not in _made:
        _made[kind] = SOUNDS[kind]()
    return _made[kind]


@st.composite
def mutants(draw: st.DrawFn) -> tuple[str, bytes]:
    """A suffix and a file. Most changes lie near its beginning, where headers are."""
    kind = draw(st.sampled_from(sorted(SOUNDS)))
    data = bytearray(sound(kind))
    whole = len(data)
    for _ in range(draw(st.integers(0, 6))):
        reach = draw(st.sampled_from([16, 64, 400, whole]))
        at = draw(st.integers(0, min(reach, whole) - 4))
        change = draw(st.sampled_from(["byte", "bit", "number", "zeros"]))
        if change == "byte":
            data[at] = draw(st.integers(0, 255))
        elif change == "bit":
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif change == "number":
            value = draw(st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**32 - 1, whole]))
            struct.pack_into(draw(st.sampled_from(["<I", ">I"])), data, at, value)
        else:
            length = draw(st.integers(1, 200))
            data[at : at + length] = bytes(len(data[at : at + length]))
    ending = draw(st.sampled_from(["whole", "whole", "cut", "doubled", "foreign"]))
    at = draw(st.integers(0, len(data)))
    if ending == "cut":
        data = data[:at]
    elif ending == "doubled":
        data += data[at:]
    elif ending == "foreign":
        data[at:at] = bytes(np.random.default_rng(at).integers(0, 256, 700, np.uint8))
    suffix = draw(st.sampled_from(["." + kind.rsplit(".", 1)[1]] * 9 + [".wav"]))
    assert suffix in AUDIO_SUFFIXES
    return suffix, bytes(data)


@pytest.fixture(scope="module")
def builder() -> Iterator[SupervisedBuilder]:
    audio = AudioConfig(sample_rate=8000, segment_seconds=0.1)
    config = DatasetConfig(audio, SpectrogramConfig(frame_size=64, hop_length=32), split=())
    supervised = SupervisedBuilder(config, timeout_seconds=30.0)
    yield supervised
    supervised.close()


def check(builder: SupervisedBuilder, folder: Path, mutant: tuple[str, bytes]) -> None:
    suffix, data = mutant
    name = f"mutant{suffix}"
    (folder / name).write_bytes(data)
    task = ShardTask("train-00000.tfrecord", "train", [Source(name, str(folder), len(data), "0")])
    built = builder.build(task_to_line(task), str(folder), str(folder))
    (row,) = built.rows
    if row["status"] == "failed":
        assert row["error_stage"] in ("open", "decode", "extract"), row
        assert len(row["error"]) > 5
        assert not {"crashed", "killed", "no progress"} & set(row["error"].split()), row
        assert "Traceback" not in row["error"]
        assert "Error:" not in row["error"].replace("Error: ", "", 1), row
    else:
        assert row["num_segments"] == built.summary.num_examples > 0
        assert row["error"] is None
        assert row["warning"] is None or "\n" not in row["warning"]
    (folder / task.shard).unlink(missing_ok=True)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2 << 20  # kilobytes


RULES = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@settings(max_examples=80, derandomize=True, **RULES)
@given(mutant=mutants())
def test_some_mutants(builder: SupervisedBuilder, tmp_path_factory: pytest.TempPathFactory, mutant: tuple) -> None:
    check(builder, tmp_path_factory.getbasetemp(), mutant)


@pytest.mark.slow
@settings(max_examples=5000, **RULES)
@given(mutant=mutants())
def test_thousands_of_mutants(
    builder: SupervisedBuilder, tmp_path_factory: pytest.TempPathFactory, mutant: tuple
) -> None:
    check(builder, tmp_path_factory.getbasetemp(), mutant)


@pytest.mark.parametrize("kind", sorted(SOUNDS))
def test_what_the_mutants_are_made_of_is_sound(builder: SupervisedBuilder, tmp_path: Path, kind: str) -> None:
    suffix = "." + kind.rsplit(".", 1)[1]
    (tmp_path / f"a{suffix}").write_bytes(sound(kind))
    task = ShardTask("train-00000.tfrecord", "train", [Source(f"a{suffix}", str(tmp_path), 1, "0")])
    (row,) = builder.build(task_to_line(task), str(tmp_path), str(tmp_path)).rows
    assert (row["status"], row["warning"]) == ("written", None), row
