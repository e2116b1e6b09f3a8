"""`compact:` in a rerun's file: small shards are merged when there are many, and nobody trains for it."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pytest

from pipelines import compact_dataset, preprocess, verify_dataset
from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.errors import SettingError
from tests.helpers.dataset_state import problems, serialized_records
from tests.helpers.reruns import run, write_config, write_sounds
from vae_model.rerun import known_sources, retraining
from vae_model.rerun.config import read_config
from vae_model.rerun.state import PROMOTED, ModelEntry, State


def shards(dataset: Path) -> dict[str, int]:
    return {name: len(split.shards) for name, split in open_dataset(str(dataset)).splits.items()}


def test_a_rerun_compacts_when_a_split_has_more_small_shards_than_it_may(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, dataset = write_config(tmp_path, compact={"small_shards": 2}), tmp_path / "work" / "dataset"
    for night in range(3):
        write_sounds(tmp_path / "sounds", 10 * night, 10)
        found = run(capsys, config, "--stage", "preprocess")["stages"]["preprocess"]
        assert ("compaction" in found) == (night == 2)
    assert found["this_run"]["written"] == 10
    assert found["reason"] == "10 new, 0 changed and 0 removed sources, 0 failed; 6 small shards became 2"
    assert found["compaction"]["splits"]["train"]["num_examples"] == 24
    assert shards(dataset) == {"train": 1, "test": 1}
    assert problems(dataset) == []
    again = run(capsys, config, "--stage", "preprocess")["stages"]["preprocess"]
    assert (again["status"], again["reason"]) == ("skipped", "nothing new among 30 sources")


@pytest.mark.slow
def test_what_was_left_undone_is_made_up_for_when_nothing_is_new(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    never, dataset = write_config(tmp_path, compact={"small_shards": "never"}), tmp_path / "work" / "dataset"
    for night in range(4):
        write_sounds(tmp_path / "sounds", 10 * night, 10)
        run(capsys, never, "--stage", "preprocess")
    assert shards(dataset) == {"train": 4, "test": 4}
    records = serialized_records(dataset)
    late = run(capsys, write_config(tmp_path), "--stage", "preprocess")["stages"]["preprocess"]
    assert (late["status"], "compaction" in late) == ("skipped", False)  # 16 are allowed when nothing is said
    late = run(capsys, write_config(tmp_path, compact={"small_shards": 3}), "--stage", "preprocess")
    found = late["stages"]["preprocess"]
    assert (found["status"], found["reason"]) == (
        "done",
        "nothing new among 40 sources; 8 small shards became 2",
    )
    assert serialized_records(dataset) == records


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("sometimes", "compact: small_shards='sometimes' must be an integer, or never"),
        (0, "compact: small_shards=0 must be a positive integer"),
        (True, "compact: small_shards=True must be an integer, or never"),
        (1.5, "compact: small_shards=1.5 must be an integer, or never"),
    ],
)
def test_another_rule_is_refused(value: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError) as error:
        read_config(str(write_config(tmp_path, compact={"small_shards": value})))
    assert said in str(error.value)


def test_a_compaction_is_no_reason_to_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even where any change at all is one, after `max_age`."""
    path, dataset = write_config(tmp_path, retrain={"max_age": "1h"}), str(tmp_path / "work" / "dataset")
    for night in range(2):
        write_sounds(tmp_path / "sounds", 10 * night, 10)
        run(capsys, path, "--stage", "preprocess")
    config, opened = read_config(str(path)), open_dataset(dataset)
    name = "000001-20260101T000000Z"
    entry = ModelEntry(name, None, opened.digest, config.settings_digest, "2026-01-01T00:00:00+00:00", PROMOTED)
    known_sources.write(known_sources.uri_of(config.workspace, name), known_sources.sources_of(opened))
    now = datetime.datetime(2026, 2, 1, tzinfo=datetime.timezone.utc)

    def decision() -> tuple[str, str]:
        state = State(None, (entry,))
        found = retraining.decide(state, config, open_dataset(dataset), None, now, is_there=True)
        return found.action, found.reason

    assert decision() == ("skip", f"nothing changed since model {name}")
    assert compact_dataset(dataset).run
    assert open_dataset(dataset).digest != opened.digest
    assert decision() == ("skip", f"nothing changed since model {name}")
    (tmp_path / "sounds" / "noise_001.wav").unlink()
    run(capsys, path, "--stage", "preprocess")
    assert decision() == ("begin", "the last training was 31 days ago, 1h allowed")


@pytest.mark.slow
def test_who_reads_an_earlier_state_reads_on_and_everything_takes_the_new_one(tmp_path: Path) -> None:
    from vae_model.model_folder.value_range import ValueRange
    from vae_model.pages.dataset_page import write_dataset_page
    from vae_model.training.data import Examples, Order

    settings = {"preset": "tiny", "sample_rate": 4000, "segment_seconds": 0.25, "frame_size": 64, "hop_length": 64}
    for night in range(3):
        write_sounds(tmp_path / "sounds", 6 * night, 6)
        preprocess(tmp_path / "sounds", tmp_path / "ds", workers=1, split="none", **settings)

    def epoch(dataset: Dataset) -> np.ndarray:
        found = Examples(dataset, "train").batches(ValueRange(dataset.min_db, dataset.max_db), 4, Order(1))
        return np.concatenate(list(found.as_numpy_iterator()))

    def in_order(records: np.ndarray) -> np.ndarray:
        flat = records.reshape(len(records), -1)
        return flat[np.lexsort(flat.T)]

    before = open_dataset(tmp_path / "ds")
    first = epoch(before)
    after = compact_dataset(before).dataset
    assert len(first) == 18
    np.testing.assert_array_equal(epoch(before), first)
    np.testing.assert_array_equal(in_order(epoch(after)), in_order(first))
    assert verify_dataset(after).ok
    assert write_dataset_page(after, tmp_path / "page.html", count=2).num_sounds > 0
    assert not preprocess(tmp_path / "sounds", tmp_path / "ds").committed
