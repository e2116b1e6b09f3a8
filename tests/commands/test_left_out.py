"""Segments that settings leave out: silence, near-silence, the fades of hits; the same on every way, run after run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
import soundfile
from apache_beam.testing.util import assert_that, equal_to

from pipelines import describe_dataset, open_dataset, preprocess
from pipelines.audio.segments import Padder, cut_segments, worth_keeping
from pipelines.beam import CutSegments, ExtractFeatures, Normalise, ReadAudio, WriteDataset
from pipelines.config import AudioConfig, DatasetConfig
from pipelines.errors import SettingError, WorkError
from tests.helpers.console import run_in_process
from tests.helpers.sounds import tone

RATE = 16000
SEGMENT = 1.02
CHOOSING: dict[str, Any] = {"min_level_db": -60, "one_shot_db": 20}
SETTINGS: dict[str, Any] = {"preset": "tiny", "split": "none", "workers": 1, **CHOOSING}
Command = Callable[..., Any]


def hit(seconds: float, decay_db_a_second: float, before: float = 0.0) -> np.ndarray:
    """A struck tone that fades, after some silence."""
    sound = tone(440, seconds, RATE)
    sound *= 10 ** (-decay_db_a_second * np.arange(len(sound)) / RATE / 20)
    return np.r_[np.zeros(int(before * RATE), np.float32), sound.astype(np.float32)]


SOUNDS = {
    "late.wav": hit(0.5, 20, before=2 * SEGMENT),
    "long_fade.wav": hit(4, 20),  # −66 dB and less after three seconds
    "nothing.wav": np.zeros(3 * RATE),
    "one_shot.wav": hit(1.9, 30),
    "sustained.wav": tone(220, 1.9, RATE),
}
KEPT = {"late.wav": [2], "long_fade.wav": [0, 1, 2], "one_shot.wav": [0], "sustained.wav": [0, 1]}


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    folder = tmp_path / "kit"
    folder.mkdir()
    for name, samples in SOUNDS.items():
        soundfile.write(folder / name, samples, RATE, subtype="FLOAT")
    return folder


def segments_in(dataset: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for record in open_dataset(dataset).records("train"):
        assert record.start_seconds == pytest.approx(record.segment * int(SEGMENT * RATE) / RATE)
        found.setdefault(record.source, []).append(record.segment)
    return found


def test_what_is_left_out_is_counted_and_no_failure(kit: Path, tmp_path: Path, command: Command) -> None:
    flags = ["--preset", "tiny", "--split", "none", "--min-level-db", -60, "--one-shot-db", 20, "--workers", 1]
    done = command("preprocess", kit, "--output", tmp_path / "data", *flags)
    assert segments_in(tmp_path / "data") == KEPT
    assert (done["num_examples"], done["silent"], done["left_out"]) == (7, 1, 2 + 1 + 3 + 1)
    assert (done["sources"]["found"], done["sources"]["written"], done["sources"]["failed"]) == (4, 4, 0)
    assert command("verify", tmp_path / "data")["problems"] == []
    facts = command("info", tmp_path / "data")
    assert (facts["silent"], facts["left_out"], facts["num_examples"]) == (1, 7, 7)
    assert "left out   7 segments, 1 source silent throughout" in run_in_process("info", tmp_path / "data").stdout
    rows = {row["source"]: row for row in open_dataset(tmp_path / "data").manifest().to_pylist()}
    silent = rows["nothing.wav"]
    assert (silent["status"], silent["num_segments"], silent["left_out"], silent["shard"]) == ("silent", 0, 3, None)
    assert rows["late.wav"]["seconds"] == pytest.approx(0.5)
    assert rows["one_shot.wav"]["seconds"] == pytest.approx(SEGMENT)
    assert done["global_range"]["min_db"] > -90


def test_a_silent_file_moves_on_from_run_to_run(kit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    preprocess(kit, data, **SETTINGS)
    assert "silent: nothing.wav: no record comes from it" in capsys.readouterr().err
    assert not preprocess(kit, data).committed
    soundfile.write(kit / "more.wav", tone(330, 1.0, RATE), RATE)
    soundfile.write(kit / "more_of_nothing.wav", np.zeros(RATE), RATE)
    second = preprocess(kit, data)
    assert (second.changes.new, second.silent, describe_dataset(data).silent) == (2, 2, 2)
    soundfile.write(kit / "nothing.wav", tone(550, 1.0, RATE), RATE)
    assert preprocess(kit, data).silent == 1
    (kit / "more_of_nothing.wav").unlink()
    last = preprocess(kit, data)
    assert (last.silent, last.changes.removed, last.dataset.sources.written) == (0, 1, 6)
    assert not preprocess(kit, data).committed


def test_silence_alone_makes_no_dataset(kit: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="none of 1 sources has a sample at -60 dB of full scale: see --min-level-db"):
        preprocess(kit / "nothing.wav", tmp_path / "data", **SETTINGS)
    assert not (tmp_path / "data" / "dataset.json").exists()


def test_without_the_settings_nothing_is_left_out_and_nothing_says_so(kit: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    plain = preprocess(kit, data, preset="tiny", split="none", workers=1)
    assert plain.dataset.num_examples == 3 + 4 + 3 + 2 + 2
    config = json.loads((data / "dataset.json").read_text())["config"]
    assert not set(CHOOSING) & set(config["audio"])
    assert DatasetConfig.from_dict(config).fingerprint == plain.dataset.fingerprint
    with pytest.raises(SettingError, match=r"min_level_db: None != -60\.0"):
        preprocess(kit, data, min_level_db=-60)
    assert (plain.silent, plain.left_out) == (0, 0)


def test_composed_transforms_leave_out_the_same(kit: Path, tmp_path: Path) -> None:
    config = DatasetConfig(AudioConfig(RATE, segment_seconds=SEGMENT, **CHOOSING), split=())
    preprocess(kit, tmp_path / "data", **SETTINGS)
    with beam.Pipeline() as pipeline:
        audio = pipeline | ReadAudio(str(kit), config.audio)
        extracted = audio.waveforms | CutSegments(config.audio) | ExtractFeatures(config)
        written = extracted.features | Normalise() | WriteDataset(tmp_path / "composed", config)
        assert_that(written, equal_to([str(tmp_path / "composed")]))
    ours, theirs = (open_dataset(tmp_path / name) for name in ("data", "composed"))
    assert segments_in(tmp_path / "composed") == KEPT
    assert [shard.crc32c for shard in ours.shards] == [shard.crc32c for shard in theirs.shards]
    assert ours.split("train").seconds == pytest.approx(theirs.split("train").seconds)


@pytest.mark.parametrize("block", [7, 100, 1000])
def test_a_fade_is_told_from_a_long_file_by_its_length_and_level(block: int) -> None:
    def kept(levels: list[float], valid: int, hop: int = 100, one_shot_db: float | None = 20) -> list[int]:
        samples = np.repeat(np.float32(levels), 50)[:valid, None]
        blocks = [samples[i : i + block] for i in range(0, len(samples), block)]
        segments = cut_segments(blocks, 100, hop, 1000, Padder())
        return [segment.index for segment, is_kept in worth_keeping(segments, hop, None, one_shot_db) if is_kept]

    assert kept([1, 0.5, 0.09, 0.05], 200) == [0]
    assert kept([1, 0.5, 0.11, 0.05], 200) == [0, 1]
    assert kept([0.01, 0.5, 0.04, 0.01, 0], 201) == [0, 1, 2]  # longer than two segments
    assert kept([1, 0.5, 0.09, 0.05], 200, one_shot_db=None) == [0, 1]
    assert kept([1, 0.5, 0.09, 0.05], 200, hop=50) == [0]
    assert kept([1], 50) == [0]
    assert kept([0, 0, 1, 0], 200) == [0, 1]


@pytest.mark.parametrize("value", [0, 3, -201, "quiet", True])
def test_a_level_is_below_full_scale(value: object, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="min_level_db="):
        preprocess(tmp_path, tmp_path / "data", min_level_db=value)
