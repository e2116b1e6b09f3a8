"""Stores that fail: what passes is tried again, what does not is told in a line, a dataset is whole or as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipelines import store
from pipelines.audio.loading import loader_of
from pipelines.config import AudioConfig
from pipelines.dataset.folder import open_dataset
from pipelines.errors import Unreachable
from pipelines.runs.fate import settling
from tests.helpers.dataset_state import SMALL, write_small
from tests.helpers.object_stores import Bucket, comparable
from tests.helpers.slow import slow
from vae_model import cli


def sounds(folder: Path, count: int = 6) -> Path:
    for i in range(count):
        write_small(folder / f"tone_{i}.wav", 300 + 100 * i)
    long = np.random.default_rng(0).normal(0, 0.1, 200_000)  # more than a builder asks for ahead
    soundfile.write(folder / "long.wav", long, 11025)
    return folder


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is silent for a second does not answer, as fsspec's configuration may say."""
    monkeypatch.setenv("FSSPEC_S3", json.dumps({"config_kwargs": {"read_timeout": 1}}))


@pytest.mark.slow
def test_faults_that_pass_leave_no_trace(s3: Bucket, tmp_path: Path) -> None:
    folder = sounds(tmp_path / "in")
    source = s3.upload(folder, "in")
    fails = s3.proxy.fails
    faults = [
        fails(r"^GET .*prefix=in/", status=503),
        fails(r"^GET .*continuation-token.*prefix=in/|^GET .*prefix=in/.*continuation-token", cut_after=50),
        fails(r"^GET /\S+/in/tone_1.wav", times=3, status=500),
        fails(r"^GET /\S+/in/tone_2.wav", times=2, cut_after=100),
        fails(r"^GET /\S+/in/tone_3.wav", delay_seconds=0.5),
        fails(r"^GET /\S+/in/long.wav", times=2, cut_after=100_000),
        fails(r"^PUT /\S+/plan/tasks.jsonl", lost=True),
        fails(r"^PUT /\S+/train-00000.tfrecord", times=2, status=503),
        fails(r"^PUT /\S+/manifest.parquet", lost=True),
        fails(r"^PUT /\S+/plan/fate", lost=True),
        fails(r"^PUT /\S+/dataset.json", lost=True),
        fails(r"^POST /\S+delete", status=500),
    ]
    assert cli.main(["preprocess", source, "--output", f"{s3.uri}/ds", *SMALL]) == 0
    assert [fault.pattern for fault in faults if fault.seen < fault.times] == []
    assert cli.main(["preprocess", str(folder), "--output", str(tmp_path / "local"), *SMALL]) == 0
    unlike = ("stamp", "digest")  # of a file that comes in pieces from a store there is none
    assert comparable(s3.download("ds", tmp_path / "copy"), unlike) == comparable(tmp_path / "local", unlike)


def test_an_object_that_vanishes_between_listing_and_reading(
    s3: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = s3.upload(sounds(tmp_path / "in"), "in")
    s3.proxy.fails(r"^PUT /\S+/plan/tasks.jsonl", before=lambda: s3.remove("in/tone_4.wav"))
    assert cli.main(["preprocess", source, "--output", f"{s3.uri}/ds", "--json", *SMALL]) == 0
    assert json.loads(capsys.readouterr().out)["sources"]["failed"] == 1
    (row,) = (row for row in rows(f"{s3.uri}/ds") if row["status"] == "failed")
    assert (row["source"], row["error_stage"], row["error"]) == (
        "tone_4.wav",
        "open",
        "The specified key does not exist",
    )


def rows(dataset: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = open_dataset(dataset).manifest().to_pylist()
    return found


@pytest.mark.slow
def test_a_source_that_never_comes_fails_and_is_tried_by_the_next_run(
    s3: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, dataset = s3.upload(sounds(tmp_path / "in"), "in"), f"{s3.uri}/ds"
    s3.proxy.fails(r"^GET /\S+/in/tone_5.wav", times=1000, status=503)
    assert cli.main(["preprocess", source, "--output", dataset, *SMALL]) == 0
    (row,) = (row for row in rows(dataset) if row["status"] == "failed")
    assert (row["source"], row["error_stage"], row["error"]) == ("tone_5.wav", "read", "made by the test")
    s3.proxy.forget()
    assert cli.main(["preprocess", source, "--output", dataset]) == 0
    assert {row["status"] for row in rows(dataset)} == {"written"}


@pytest.mark.parametrize(
    "pattern",
    [
        r"PUT /\S+\.tfrecord",
        slow(r"PUT /\S+/manifest.parquet"),
        slow(r"PUT /\S+/dataset.json"),
    ],
)
def test_a_dataset_is_as_it_was_when_its_files_cannot_be_written(
    pattern: str, s3: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sounds(tmp_path / "in", 1)
    source, dataset = s3.upload(folder, "in"), f"{s3.uri}/ds"
    assert cli.main(["preprocess", source, "--output", dataset, *SMALL]) == 0
    state = s3.state("ds/")
    s3.upload(write_small(tmp_path / "more" / "more.wav", 900).parent, "in")
    s3.proxy.fails(pattern, times=1000, status=403, message="not for you")
    capsys.readouterr()
    assert cli.main(["preprocess", source, "--output", dataset]) == 1
    said = last_line(capsys)
    assert said.startswith(f"audio-vae preprocess: {dataset}/")
    assert said.endswith("cannot be written: not for you")
    assert s3.state("ds/") == state


def test_a_silent_server_does_not_hang_a_run(
    quick: None, s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec import config

    monkeypatch.setitem(config.conf, "s3", {"config_kwargs": {"read_timeout": 1}})
    monkeypatch.setattr("pipelines.store.remote.TRIES", 2)
    s3.put("file", b"content")
    fault = s3.proxy.fails(r"^GET /\S+/file", times=2, delay_seconds=2.5)
    with pytest.raises(Unreachable, match=r"s3://\S+/file: .*[Tt]imeout"):
        store.read_bytes(f"{s3.uri}/file")
    assert fault.seen == 2
    assert store.read_bytes(f"{s3.uri}/file") == b"content"


def test_only_the_bytes_that_are_needed_are_read(s3: Bucket, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    samples = np.random.default_rng(0).normal(0, 0.1, 2_500_000).astype(np.float32)
    soundfile.write(path, samples, 16000)  # 5 MB, two and a half minutes
    s3.put("in/long.wav", path.read_bytes())
    first = AudioConfig(sample_rate=16000, segments="first", segment_seconds=0.74)
    waveform = loader_of(first).load(f"{s3.uri}/in/long.wav")
    np.testing.assert_array_equal(waveform, loader_of(first).load(str(path)))
    assert sum(r.num_bytes for r in s3.proxy.matching(r"^GET .*long.wav")) <= 300_000

    s3.proxy.forget()
    whole = AudioConfig(sample_rate=16000, segments="all", segment_seconds=0.74)
    waveform = loader_of(whole).load(f"{s3.uri}/in/long.wav")
    np.testing.assert_array_equal(waveform, loader_of(whole).load(str(path)))
    assert sum(r.num_bytes for r in s3.proxy.matching(r"^GET .*long.wav")) == path.stat().st_size
    assert len(s3.proxy.matching("long.wav")) == 3, "the first four megabytes, the size, the rest"


@pytest.mark.slow
def test_what_killed_uploads_left_is_cleared_away(s3: Bucket, tmp_path: Path) -> None:
    source, dataset = s3.upload(sounds(tmp_path / "in", 1), "in"), f"{s3.uri}/ds"
    assert cli.main(["preprocess", source, "--output", dataset, *SMALL]) == 0
    run = "ds/runs/000002-20200101T000000Z"
    s3.client.create_multipart_upload(Bucket=s3.name, Key=f"{run}/train-00000.tfrecord")
    s3.put(f"{run}/plan/plan.json", b"{}")
    s3.put(f"{run}/train-00001.tfrecord", b"half")
    assert cli.main(["preprocess", source, "--output", dataset]) == 0
    assert s3.keys(run) == []
    assert s3.client.list_multipart_uploads(Bucket=s3.name).get("Uploads", []) == []


@pytest.mark.slow
def test_a_run_that_is_being_committed_is_not_cleared_away(s3: Bucket, tmp_path: Path) -> None:
    source, dataset = s3.upload(sounds(tmp_path / "in", 1), "in"), f"{s3.uri}/ds"
    assert cli.main(["preprocess", source, "--output", dataset, *SMALL]) == 0
    run = "ds/runs/000002-20200101T000000Z"
    s3.put(f"{run}/plan/plan.json", b"{}")
    s3.put(f"{run}/train-00000.tfrecord", b"whole")
    with settling(f"{s3.uri}/{run}") as is_there:
        assert is_there
        state = s3.state(run)
        assert cli.main(["preprocess", source, "--output", dataset]) == 0
        assert cli.main(["prune", dataset]) == 0
        assert s3.state(run) == state
    s3.remove(f"{run}/plan/fate")
    assert cli.main(["prune", dataset]) == 0
    assert s3.keys(run) == []


@pytest.mark.slow
def test_a_run_that_another_has_cleared_away_says_so(
    s3: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, dataset = s3.upload(sounds(tmp_path / "in", 1), "in"), f"{s3.uri}/ds"
    s3.proxy.fails(r"^PUT /\S+\.rows.parquet", before=lambda: cleared_by_another(dataset))
    assert cli.main(["preprocess", source, "--output", dataset, *SMALL]) == 1
    assert "was cleared away meanwhile" in last_line(capsys)
    assert s3.keys("ds/runs") == []


def cleared_by_another(dataset: str) -> None:
    from pipelines.runs.folder import clear_leftovers

    assert len(clear_leftovers(dataset, None)) == 1
