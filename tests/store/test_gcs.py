"""Datasets on Google Cloud Storage, against fake-gcs-server on the loopback."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import store
from tests.helpers.dataset_state import SMALL, write_small
from tests.helpers.faulty_store import FaultyStore, running
from tests.helpers.object_stores import GCS_SERVER, comparable, gcs_server, google_bucket
from vae_model import cli

UNLIKE = ("stamp", "digest")
"""What a store says of itself: generations, and MD5s."""


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyStore]:
    """The server, behind a proxy that can fail."""
    if not os.access(GCS_SERVER, os.X_OK):
        pytest.skip(f"no {GCS_SERVER}: GOBIN=$PWD/.cache go install github.com/fsouza/fake-gcs-server@latest")
    with gcs_server() as port, running(port) as proxy:
        yield proxy


@pytest.fixture
def bucket(server: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of a new bucket; gs:// means that server while the test runs."""
    with google_bucket(server.url, monkeypatch) as uri:
        server.forget()
        yield uri


def upload(folder: Path, uri: str) -> str:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.put_file(path, f"{uri}/{path.relative_to(folder)}")
    return uri


def download(uri: str, folder: Path) -> Path:
    for name, *_ in store.files(uri):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(store.read_bytes(f"{uri}/{name}"))
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    status = cli.main([*map(str, arguments), "--json"])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    values: dict[str, Any] = json.loads(printed.out)
    return values


@pytest.mark.slow
def test_the_life_of_a_dataset_is_that_of_a_local_one(
    bucket: str, server: FaultyStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, local, remote = tmp_path / "in", tmp_path / "local", f"{bucket}/ds"
    for i in range(5):
        write_small(folder / f"speaker{i % 2}" / f"tone {i}.wav", 300 + 100 * i)
    source = upload(folder, f"{bucket}/in")
    faults = [
        server.fails(r"^GET \S+/o\?.*prefix=in/", status=503),
        server.fails(r"^GET .*/speaker0/tone 2.wav", cut_after=100),
        server.fails(r"^POST .*dataset.json", lost=True),
    ]
    run(capsys, "preprocess", source, "--output", remote, *SMALL)
    assert [fault.pattern for fault in faults if fault.seen < fault.times] == []
    run(capsys, "preprocess", folder, "--output", local, *SMALL)
    assert comparable(download(remote, tmp_path / "copy1"), UNLIKE) == comparable(local, UNLIKE)
    assert run(capsys, "preprocess", source, "--output", remote)["status"] == "unchanged"

    for name, hz in (("speaker1/tone 1.wav", 510), ("another.wav", 520)):
        store.put_file(write_small(folder / name, hz, seconds=0.35), f"{source}/{name}")
    (folder / "speaker0" / "tone 0.wav").unlink()
    store.remove_folder(f"{source}/speaker0/tone 0.wav")
    second = run(capsys, "preprocess", source, "--output", remote)
    assert second["this_run"] == {"found": 2, "written": 2, "failed": 0, "removed": 1, "ignored": 0}
    run(capsys, "preprocess", folder, "--output", local)
    assert comparable(download(remote, tmp_path / "copy2"), UNLIKE) == comparable(local, UNLIKE)
    assert run(capsys, "info", remote)["sources"] == run(capsys, "info", local)["sources"]
    assert len(run(capsys, "prune", remote)["removed"]) == 1


def test_conditional_replace(bucket: str) -> None:
    uri = f"{bucket}/state.json"
    assert store.version(uri) is None
    store.replace_if_unchanged(uri, b"one", None)
    with pytest.raises(store.Conflict):
        store.replace_if_unchanged(uri, b"other", None)
    version = store.version(uri)
    store.replace_if_unchanged(uri, b"two", version)
    with pytest.raises(store.Conflict):
        store.replace_if_unchanged(uri, b"three", version)
    assert store.read_bytes(uri) == b"two"


def test_a_missing_bucket_is_named(bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_small(tmp_path / "in" / "tone.wav", 300)
    assert cli.main(["preprocess", str(tmp_path / "in"), "--output", "gs://no-such-bucket/ds", *SMALL]) == 2
    assert "gs://no-such-bucket/ds: must be in a bucket that exists" in capsys.readouterr().err
