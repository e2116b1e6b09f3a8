"""A folder of drum hits stays what it is: a record a hit, and neither silence nor the ends of fades."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import soundfile

from pipelines import open_dataset, preprocess
from tests.helpers.places import ROOT

KINDS = {"kick", "snare", "hat", "cymbal", "tom", "clap"}


@pytest.fixture(scope="module")
def drum_kit() -> Any:
    """examples/drum_kit.py as a module."""
    spec = importlib.util.spec_from_file_location("drum_kit", ROOT / "examples" / "drum_kit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["drum_kit"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_hits_are_taken_whole(drum_kit: Any, tmp_path: Path) -> None:
    count = drum_kit.write_kit(tmp_path / "kit", part=0.1)
    lengths = {path.name: soundfile.info(path).duration for path in (tmp_path / "kit").rglob("*.wav")}
    assert len(lengths) == count
    done = preprocess(
        tmp_path / "kit", tmp_path / "data", preset="music", workers=1, split="none", label_pattern=r"^(?P<kind>\w+)/"
    )
    sources = done.dataset.sources
    assert (sources.written, sources.failed, done.silent) == (count - drum_kit.SILENT, 0, drum_kit.SILENT)
    records = list(open_dataset(tmp_path / "data").records("train"))
    of = Counter(record.source for record in records)
    assert {record.labels["kind"] for record in records} == KINDS
    assert set(of) == {row["source"] for row in done.dataset.manifest().to_pylist() if row["status"] == "written"}
    assert {record.spectrogram.shape for record in records} == {done.dataset.config.record_shape}
    hop = done.dataset.config.audio.segment_seconds
    plainly = sum(-(-length // hop) for length in lengths.values())
    assert len(records) <= 1.5 * count < plainly
    long_ones = [name for name, number in of.items() if number > 1]
    assert all(lengths[name.split("/")[1]] > hop for name in long_ones)
