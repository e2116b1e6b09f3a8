"""Silence among sounds: the range that all are scaled to is that of the sounds, after every rerun, and on every way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from pipelines import describe_dataset, open_dataset, preprocess
from pipelines.dataset.records import merged_range
from pipelines.dataset.tables import range_of_rows
from tests.helpers.sounds import tone

RATE = 16000
SETTINGS: dict[str, Any] = {"preset": "tiny", "split": "none", "workers": 1}
Command = Callable[..., Any]


def range_of(dataset: Path) -> tuple[float, float]:
    values = json.loads((dataset / "dataset.json").read_text())["global_range"]
    return values["min_db"], values["max_db"]


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    folder.mkdir()
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)
    soundfile.write(folder / "noise.wav", noise, RATE)
    return folder


def test_a_silent_file_stretches_no_range(sounds: Path, tmp_path: Path, command: Command) -> None:
    alone = range_of(Path(preprocess(sounds, tmp_path / "alone", **SETTINGS).dataset.uri))
    assert alone[0] > -90
    soundfile.write(sounds / "nothing.wav", np.zeros(640), RATE)  # 0.04 s
    soundfile.write(sounds / "pause.wav", np.r_[tone(440, 1.02, RATE), np.zeros(2 * RATE, np.float32)], RATE)
    dataset = preprocess(sounds, tmp_path / "with", **SETTINGS).dataset
    rows = {row["source"]: row for row in dataset.manifest().to_pylist()}
    assert rows["nothing.wav"]["max_db"] == pytest.approx(-100)
    assert rows["pause.wav"]["num_segments"] == 3
    assert rows["pause.wav"]["min_db"] > -90
    pause = rows["pause.wav"]["min_db"], rows["pause.wav"]["max_db"]
    assert range_of(tmp_path / "with") == merged_range([alone, pause])
    assert command("verify", tmp_path / "with")["problems"] == []
    lows = [record.min_db for record in dataset.records("train")]
    assert sorted(round(low) for low in lows)[:3] == [-100] * 3  # the records say what is there

    (sounds / "pause.wav").unlink()
    preprocess(sounds, tmp_path / "with")
    assert range_of(tmp_path / "with") == alone


def test_silence_alone_is_its_own_range(sounds: Path, tmp_path: Path) -> None:
    soundfile.write(sounds / "noise.wav", np.zeros(RATE), RATE)
    preprocess(sounds, tmp_path / "data", **SETTINGS)
    assert range_of(tmp_path / "data") == (pytest.approx(-100), pytest.approx(-100))


def test_a_dataset_that_counts_silence_is_whole_and_goes_on(sounds: Path, tmp_path: Path, command: Command) -> None:
    """Earlier versions wrote such ones."""
    soundfile.write(sounds / "nothing.wav", np.zeros(640), RATE)
    data = tmp_path / "data"
    preprocess(sounds, data, **SETTINGS)
    low, high = range_of(data)
    entry = data / "dataset.json"
    counted = min(row["min_db"] for row in open_dataset(data).manifest(["min_db"]).to_pylist())
    entry.write_text(entry.read_text().replace(str(low), str(counted)))
    assert range_of(data) == (counted, high) == (pytest.approx(-100), high)
    assert command("verify", data)["problems"] == []
    assert not preprocess(sounds, data).committed
    soundfile.write(sounds / "tone.wav", tone(440, 0.5, RATE, 0.01), RATE)
    preprocess(sounds, data)
    assert -99 < range_of(data)[0] <= low
    assert describe_dataset(data).max_db == open_dataset(data).max_db == high


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_ranges_are_merged_alike_in_any_order_and_groups(order: tuple[int, ...]) -> None:
    ranges = [(-100.0, -100.0), (-50.0, 20.0), (-100.00001, -100.00001), (-99.0, 10.0)]
    given = [ranges[i] for i in order]
    assert merged_range(given) == (-99.0, 20.0)
    assert merged_range([merged_range(given[:1]), merged_range(given[1:]), (None, None)]) == (-99.0, 20.0)
    table = pa.table({name: [pair[i] for pair in given] for i, name in enumerate(("min_db", "max_db"))})
    assert range_of_rows(table) == (-99.0, 20.0)
    assert merged_range([]) == range_of_rows(table.slice(0, 0)) == (None, None)
