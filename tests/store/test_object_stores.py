"""Datasets on S3: the same life as on a disk, the same bytes, and two writers who can't lose each other's work."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import store
from pipelines.audio.sources import list_sources
from pipelines.dataset.folder import open_dataset
from pipelines.dataset.tables import read_tables
from pipelines.errors import SettingError, Unreachable, WorkError
from tests.helpers.console import audio_vae
from tests.helpers.dataset_state import SMALL, write_small
from tests.helpers.object_stores import Bucket, comparable, orphans
from tests.helpers.places import ROOT
from vae_model import cli
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.outputs import output_file, output_folder

Command = Callable[..., dict[str, Any]]


def sounds(folder: Path, count: int = 7) -> Path:
    for i in range(count):
        write_small(folder / f"speaker{i % 2}" / f"tone {i}.wav", 300 + 100 * i)
    (folder / "bad.wav").write_bytes(b"text" * 100)
    return folder


def both_the_same(s3: Bucket, tmp_path: Path, local: Path) -> bool:
    """Whether the dataset at ds in the bucket holds what the local one does, and nothing that it does not name."""
    copy = s3.download("ds", tmp_path / f"copy-{len(list(tmp_path.iterdir()))}")
    return comparable(copy) == comparable(local)


def test_the_life_of_a_dataset_on_s3_is_that_of_a_local_one(s3: Bucket, tmp_path: Path, command: Command) -> None:
    folder, local = sounds(tmp_path / "in"), tmp_path / "local"
    remote_in, remote = s3.upload(folder, "in"), f"{s3.uri}/ds"
    first = command("preprocess", remote_in, "--output", remote, *SMALL)
    command("preprocess", folder, "--output", local, *SMALL)
    assert first["sources"] == {"found": 8, "written": 7, "failed": 1, "removed": 0, "ignored": 0}
    assert both_the_same(s3, tmp_path, local)
    assert len(s3.proxy.matching(r"^HEAD /\S+/in/")) == 0, "sizes come from the listing or the first answer"

    # Nothing new: the listing in pages of five, and a few files that say what there is.
    state = s3.state("ds/")
    s3.proxy.forget()
    assert command("preprocess", remote_in, "--output", remote)["status"] == "unchanged"
    assert s3.state("ds/") == state
    assert len(s3.proxy.matching(r"^GET .*prefix=in/")) == 2
    assert len(s3.proxy.requests) <= 12

    # One new, one changed, one gone; inputs of both kinds at once.
    more = write_small(tmp_path / "more" / "tone 10.wav", 440).parent
    write_small(folder / "speaker1" / "tone 1.wav", 500, seconds=0.35)
    (folder / "speaker0" / "tone 2.wav").unlink()
    s3.upload(folder, "in")
    s3.remove("in/speaker0/tone 2.wav")
    second = command("preprocess", remote_in, more, "--output", remote, "--direct_num_workers=1")  # on Beam
    command("preprocess", folder, more, "--output", local)
    assert second["this_run"] == {"found": 2, "written": 2, "failed": 0, "removed": 1, "ignored": 0}
    assert both_the_same(s3, tmp_path, local)

    assert command("info", remote)["sources"] == command("info", local)["sources"]
    assert command("verify", remote)["ok"]
    assert len(command("prune", remote)["removed"]) == len(command("prune", local)["removed"]) > 0
    assert both_the_same(s3, tmp_path, local)
    assert orphans(s3.keys(), "ds", json.loads(s3.get("ds/dataset.json"))) == set()


@pytest.mark.slow
def test_equal_and_moved_objects_are_known_without_being_read(s3: Bucket, tmp_path: Path, command: Command) -> None:
    folder, remote = tmp_path / "in", f"{s3.uri}/ds"
    for number in range(4):
        write_small(folder / f"tone_{number}.wav", 300 + 70 * number)
    source = s3.upload(folder, "in")
    first = command("preprocess", source, "--output", remote, *SMALL, "--split", "test=0.5")
    assert (first["sources"]["written"], first["duplicates"]) == (4, 0)
    before = {row["digest"]: row["split"] for row in open_dataset(remote).manifest(["digest", "split"]).to_pylist()}
    s3.upload(folder, "in/sub")
    for number in (0, 1, 2):
        s3.remove(f"in/tone_{number}.wav")
    s3.proxy.forget()
    second = command("preprocess", source, "--output", remote)
    assert (second["this_run"]["found"], second["this_run"]["removed"]) == (0, 0)
    assert (second["moved"], second["duplicates"]) == (3, 1)
    assert s3.proxy.matching(r"^GET /\S+/in/") == []
    now = {row["digest"]: row["split"] for row in open_dataset(remote).manifest(["digest", "split"]).to_pylist()}
    assert now == before
    assert command("preprocess", source, "--output", remote)["status"] == "unchanged"
    assert command("verify", remote)["ok"]


@pytest.mark.slow
def test_two_runs_that_commit_at_the_same_moment(
    s3: Bucket, tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sounds(tmp_path / "in", 3)
    source, remote = s3.upload(folder, "in"), f"{s3.uri}/ds"
    command("preprocess", source, "--output", remote, *SMALL)
    named = (("one", 710), ("two", 720))
    inputs = [write_small(tmp_path / name / f"{name}.wav", hz).parent for name, hz in named]

    # Both write their plans, and later dataset.json, only when the other is as far.
    started, committing = threading.Barrier(2), threading.Barrier(2)
    s3.proxy.fails(r"^PUT /\S+/plan/tasks.jsonl", times=2, before=lambda: started.wait(60))
    s3.proxy.fails(r"^PUT /\S+/dataset.json", times=2, before=lambda: committing.wait(60))
    done: dict[int, Any] = {}

    def run(number: int) -> None:
        done[number] = audio_vae("preprocess", inputs[number], "--output", remote)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = (number for number in done if done[number].returncode == 0)
    loser = 1 - winner
    assert done[loser].returncode == 1
    assert "another run committed meanwhile; run again" in done[loser].stderr
    assert len(done[loser].stderr.strip().splitlines()) <= 2, done[loser].stderr
    sources = set(store_sources(remote))
    assert f"{inputs[winner].name}.wav" in sources
    assert f"{inputs[loser].name}.wav" not in sources

    command("preprocess", inputs[loser], "--output", remote)
    assert store_sources(remote) == sorted([*sources, f"{inputs[loser].name}.wav"])
    assert command("verify", remote)["ok"]
    assert orphans(s3.keys(), "ds", json.loads(s3.get("ds/dataset.json"))) == set()


def store_sources(dataset: str) -> list[str]:
    return sorted(open_dataset(dataset).manifest(["source"])["source"].to_pylist())


def test_conditional_replace(s3: Bucket) -> None:
    for uri in (f"{s3.uri}/state.json", "memory://place/state.json"):
        assert store.version(uri) is None
        store.replace_if_unchanged(uri, b"one", None)
        with pytest.raises(store.Conflict):
            store.replace_if_unchanged(uri, b"other", None)
        version = store.version(uri)
        assert version is not None
        store.replace_if_unchanged(uri, b"two", version)
        with pytest.raises(store.Conflict):
            store.replace_if_unchanged(uri, b"three", version)
        assert store.read_bytes(uri) == b"two"
        store.remove_folder(uri)
        with pytest.raises(store.Conflict):
            store.replace_if_unchanged(uri, b"four", version)
        assert not store.exists(uri)


def test_a_missing_bucket_is_not_made(s3: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sounds(tmp_path / "in", 1)
    assert cli.main(["preprocess", str(folder), "--output", "s3://no-such-bucket/ds", *SMALL]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("audio-vae preprocess: s3://no-such-bucket/ds: must be in a bucket that exists")
    assert "no-such-bucket" not in [bucket["Name"] for bucket in s3.client.list_buckets()["Buckets"]]
    with pytest.raises(SettingError, match="must exist"):
        list_sources(["s3://no-such-bucket/in"])


@pytest.mark.parametrize(
    ("environment", "status", "said"),
    [
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, 2, "needs credentials, which were not found"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, 1, "Could not connect to the endpoint URL"),
    ],
)
def test_what_keeps_a_store_from_being_used_is_one_line(
    environment: dict[str, str],
    status: int,
    said: str,
    s3: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = sounds(tmp_path / "in", 1)
    for name, value in environment.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    monkeypatch.setattr("pipelines.store.remote.TRIES", 2)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    for command in (["preprocess", str(folder), "--output", f"{s3.uri}/ds"], ["info", f"{s3.uri}/ds"]):
        capsys.readouterr()
        assert cli.main(command) == status
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith(f"audio-vae {command[0]}: {s3.uri}/ds")
        assert said in line
    assert s3.keys() == []


def test_a_folder_that_may_not_be_written_is_told_before_any_work(
    s3: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    s3.proxy.fails(r"^(PUT|POST|DELETE) ", times=1000, status=403, message="not for you")
    folder = sounds(tmp_path / "in", 1)
    assert cli.main(["preprocess", str(folder), "--output", f"{s3.uri}/ds", *SMALL]) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line == f"audio-vae preprocess: {s3.uri}/ds: cannot be written: not for you"
    assert len(s3.proxy.requests) == 1


@pytest.mark.parametrize("place", [output_folder, output_file])
def test_an_output_that_may_not_be_written_is_told_before_any_work(place: Callable[..., Any], s3: Bucket) -> None:
    s3.proxy.fails(r"^(PUT|POST|DELETE) ", times=1000, status=403, message="not for you")
    with pytest.raises(WorkError, match=rf"^{s3.uri}/out: cannot be written: not for you$"), place(f"{s3.uri}/out"):
        raise AssertionError("not reached")
    s3.proxy.forget()
    missing = "--output s3://no-such-bucket/out: must be in a bucket that exists"
    with pytest.raises(SettingError, match=missing), place("s3://no-such-bucket/out"):
        raise AssertionError("not reached")


def test_a_store_that_is_away_is_not_a_folder_that_is_not_there(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.store.remote._FIRST_WAIT_SECONDS", 0.01)
    s3.proxy.fails(r"^(HEAD|GET) ", times=1000, status=503)
    for look in (store.is_file, store.exists, store.names, Bundle.load):
        with pytest.raises(Unreachable, match=f"^{s3.uri}/model"):
            look(f"{s3.uri}/model")
    with pytest.raises(Unreachable, match=r"^http://127\.0\.0\.1:9/model/bundle\.json"):
        Bundle.load("http://127.0.0.1:9/model")


def test_a_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    (tmp_path / "s3fs.py").write_text("raise ImportError('not here')")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = audio_vae("info", "s3://b/ds", environment=dict(os.environ, PYTHONPATH=path))
    assert done.returncode == 2
    assert done.stderr == "audio-vae info: s3://b/ds/dataset.json: needs more packages: pip install 'audio-vae[s3]'\n"


def test_a_store_within_one_process_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sounds(tmp_path / "in", 1)
    assert cli.main(["preprocess", str(folder), "--output", "memory://ds", *SMALL]) == 2
    assert "'memory://ds' must be on a store that other processes can reach" in capsys.readouterr().err


def test_many_tables_on_a_store_are_read_in_order_small_and_large(s3: Bucket) -> None:
    tables = [pa.table({"text": [f"{i} " * 10, os.urandom(1 << 19).hex() if i == 65 else ""]}) for i in range(70)]
    for i, table in enumerate(tables):
        with store.open_atomic(f"{s3.uri}/{i}.parquet") as file:
            pq.write_table(table, file)
    assert list(read_tables(f"{s3.uri}/{i}.parquet" for i in range(70))) == tables
    with pytest.raises(FileNotFoundError, match="missing"):
        list(read_tables([f"{s3.uri}/0.parquet", f"{s3.uri}/missing.parquet"]))
