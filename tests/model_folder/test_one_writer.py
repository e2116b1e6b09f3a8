"""A MODEL folder has one writer: who comes second is told so, and touches nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from pipelines import store
from pipelines.errors import WorkError
from pipelines.store.holding import LEASE_FILE, hold_model
from tests.helpers.dataset_state import snapshot
from tests.helpers.dataset_writer import noises, write_dataset
from tests.helpers.places import ROOT
from tests.helpers.resuming import CONFIG
from vae_model import cli
from vae_model.model_folder.outputs import opened_output, require_empty

BUSY = "another run is writing to it"


@pytest.fixture
def remote() -> Iterator[str]:
    """A folder in fsspec's memory."""
    yield "memory://writers/model[1]"
    memory = fsspec.filesystem("memory")
    if memory.exists("/writers"):
        memory.rm("/writers", recursive=True)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Records of 32 x 16 x 1."""
    return write_dataset(tmp_path_factory.mktemp("data") / "dataset", {"train": noises(4)}, CONFIG)


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_second_training_into_one_folder_ends_and_touches_nothing(
    resume: list[str], dataset: str, remote: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (str(tmp_path / "model"), remote):
        with hold_model(folder):
            store.make_folder(store.join(folder, "checkpoints"))
            store.write_bytes(store.join(folder, "checkpoints", "epoch-00001.keras"), b"of the first")
            before = {item.name: store.read_bytes(store.join(folder, item.name)) for item in store.files(folder)}
            capsys.readouterr()
            assert cli.main(["train", dataset, "--output", folder, "--preset", "tiny", "--epochs", "1", *resume]) == 1
            (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("audio-vae")]
            assert line.startswith(f"audio-vae train: MODEL {folder}: {BUSY}")
            assert {i.name: store.read_bytes(store.join(folder, i.name)) for i in store.files(folder)} == before


def test_a_folder_that_was_made_to_be_held_goes_when_it_stays_empty(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "model"
    with opened_output(str(folder), alone=True):
        assert folder.is_dir()
        with pytest.raises(WorkError, match=BUSY), hold_model(str(folder)):
            raise AssertionError("not reached")
        assert folder.is_dir(), "it is the first one's"
    assert not folder.exists()
    folder.mkdir(parents=True)
    (folder / "file").write_text("stays")
    state = snapshot(folder)
    with hold_model(str(folder)):
        pass
    assert snapshot(folder) == state


def test_a_lease_is_no_content_and_goes(remote: str) -> None:
    with opened_output(remote, alone=True) as output:
        require_empty(remote)
        (output.path / "file").write_text("new")
        assert store.names(remote) == [LEASE_FILE]
    assert store.names(remote) == ["file"]


def test_the_lease_of_a_process_that_is_gone_is_taken_over_at_once(remote: str) -> None:
    lease = store.join(remote, LEASE_FILE)
    code = f"""
import fsspec, pathlib, sys
from pipelines import store
from pipelines.store.holding import hold_model
hold_model({remote!r}).__enter__()
print(store.read_bytes({lease!r}).decode())
"""
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    values = json.loads(done.stdout)
    for process, is_free in ((values["process"], True), (["another machine", *values["process"][1:]], False)):
        store.write_bytes(lease, json.dumps(values | {"process": process}).encode())
        if is_free:
            with hold_model(remote):
                assert f"process {os.getpid()} of" in store.read_bytes(lease).decode()
        else:
            with pytest.raises(WorkError, match=rf"{BUSY}, process \d+ of .*, until 20"), hold_model(remote):
                raise AssertionError("not reached")


def test_what_a_model_no_longer_has_goes_and_no_neighbours_file(remote: str) -> None:
    neighbour = "memory://writers/model1/checkpoints/a.keras"
    for uri in (neighbour, f"{remote}/checkpoints/a.keras"):
        store.write_bytes(uri, b"old")
    with opened_output(remote) as output:
        output.own(["checkpoints/a.keras"])
        (output.path / "new").write_text("new")
    assert store.read_bytes(neighbour) == b"old"
    assert [item.name for item in store.files(remote)] == ["new"]
