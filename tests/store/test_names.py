"""Names that look like patterns, escapes, queries and versions are names: what is called so is touched, no other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pipelines import store
from pipelines.audio.sources import list_sources
from pipelines.errors import WorkError
from tests.helpers.dataset_state import SMALL, write_small
from tests.helpers.object_stores import GCS_SERVER, Bucket, google_bucket
from tests.helpers.slow import slow

NAMES = [
    *("set1", "set[1]", "a?b", "axb", "a*b", "100%", "100%25", "c#d", "c", "e f", "e%20f", "a?versionId=1", "a#1"),
    *("g::h", "a", "ab", "a**b", "set[!2]", "e+f", "{i,j}", "k~", "l&m=n", "ö", "$o", "p;q", "r'\"s", "t@u", "v:w"),
    *("-x", "z..z"),
]
"""Many of them are patterns of others, or others once something has been stripped or decoded."""


def names_for(place: str) -> list[str]:
    """Those that a test of a store tries: servers take their time, and fsspec's memory has a meaning for `::`."""
    return NAMES[:14] if place.startswith(("s3:", "gs:")) else [n for n in NAMES if "::" not in n or "://" not in place]


@pytest.fixture(params=["local", "memory", slow("s3"), slow("gs")])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A folder of one kind of store."""
    if request.param == "local":
        yield str(tmp_path / "place")
    elif request.param == "memory":
        yield "memory://names"
        fsspec.filesystem("memory").rm("/names", recursive=True)
    elif request.param == "s3":
        yield f"{request.getfixturevalue('s3').uri}/place"
    else:
        yield f"{request.getfixturevalue('google')}/place"


@pytest.fixture(scope="module")
def google_server() -> Iterator[str]:
    """fake-gcs-server's address."""
    if not os.access(GCS_SERVER, os.X_OK):
        pytest.skip(f"no {GCS_SERVER}")
    from tests.helpers.object_stores import gcs_server

    with gcs_server() as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def google(google_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of a new bucket."""
    with google_bucket(google_server, monkeypatch) as uri:
        yield uri


def held(place: str) -> set[str]:
    return {item.name for item in store.files(place)}


def test_each_name_is_a_folder_of_its_own(place: str, tmp_path: Path) -> None:
    tried = names_for(place)
    for name in tried:
        store.make_folder(store.join(place, name, "inner"))
        for file in ("file", "inner/file"):
            store.write_bytes(store.join(place, name, file), f"{name} {file}".encode())
    everything = {f"{name}/{file}" for name in tried for file in ("file", "inner/file")}
    assert held(place) == everything
    assert store.names(place) == sorted(tried)
    for name in tried:
        uri = store.join(place, name, "file")
        assert store.read_bytes(uri) == f"{name} file".encode()
        assert store.read_range(uri, 0, 1) == name.encode()[:1]
        store.get_file(uri, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == f"{name} file".encode()
        assert store.is_file(uri)
        assert not store.is_file(store.join(place, name))
        assert held(store.join(place, name)) == {"file", "inner/file"}
        item = store.one_file(uri)
        assert item is not None
        assert (item.name, item.size) == ("file", len(f"{name} file".encode()))
        store.put_file(tmp_path / "copy", store.join(place, name, "put"))
        store.replace_if_unchanged(uri, b"new", store.version(uri))
        with pytest.raises(store.Conflict):
            store.replace_if_unchanged(uri, b"newer", None)
        assert held(store.join(place, name)) == {"file", "inner/file", "put"}
        store.remove_folder(store.join(place, name, "put"))
    rest = set(everything)
    for name in sorted(tried, key=lambda name: not set(name) & set("[?*")):
        store.remove_folder(store.join(place, name))
        rest -= {f"{name}/file", f"{name}/inner/file"}
        assert store.names(place) == [] if not rest else held(place) == rest, name
        assert not store.exists(store.join(place, name))


def test_files_of_such_names_are_single_sources(place: str, tmp_path: Path) -> None:
    sounds = [f"{name}.wav" for name in names_for(place)]
    path = write_small(tmp_path / "one.wav", 300)
    store.make_folder(place)
    for name in sounds:
        store.put_file(path, store.join(place, name))
    assert list_sources([place]).table["source"].to_pylist() == sorted(sounds)
    for name in sounds:
        table = list_sources([store.join(place, name)]).table
        assert table["source"].to_pylist() == [name]
        assert table["root"].to_pylist() == [place]
        assert table["error"].to_pylist() == [None]


def test_a_whole_bucket_is_never_removed(s3: Bucket) -> None:
    s3.put("file", b"x")
    with pytest.raises(WorkError, match="whole bucket"):
        store.remove_folder(s3.uri)
    assert s3.keys() == ["file"]


Command = Callable[..., dict[str, Any]]


def state(place: str, besides: str) -> dict[str, tuple[int, str]]:
    return {
        item.name: (item.size, item.stamp) for item in store.files(place) if not item.name.startswith(f"{besides}/")
    }


MANY = "s?t[1]* 100%25#1"


@pytest.mark.parametrize(
    ("name", "place"),
    [("set[1]", "local"), (MANY, "local")] + [slow(name, place) for name in ("set[1]", MANY) for place in ("s3", "gs")],
    indirect=["place"],
)
def test_the_life_of_a_dataset_touches_no_neighbour(name: str, place: str, tmp_path: Path, command: Command) -> None:
    sounds = tmp_path / "in [1]*?" / "c#d 100%25"
    for i in range(3):
        write_small(sounds / f"tone[{i}]?.wav", 300 + 100 * i)
    neighbour, own = store.join(place, "set1"), store.join(place, name)
    for dataset in (neighbour, own):
        assert command("preprocess", sounds, "--output", dataset, *SMALL)["status"] == "committed"
    assert command("preprocess", sounds, "--output", own)["status"] == "unchanged"
    # What a killed run left in both, and what pattern would find beside.
    for dataset in (neighbour, own, store.join(place, "sxt1* 100%25#1")):
        left = store.join(dataset, "runs", "000009-20200101T000000Z", "plan")
        store.make_folder(left)
        store.write_bytes(store.join(left, "plan.json"), b"{}")
    before = state(place, name)
    write_small(sounds / "tone[0]?.wav", 900, seconds=0.35)
    assert command("preprocess", sounds, "--output", own)["this_run"]["written"] == 1
    assert not any("000009" in item for item in held(own)), "what a killed run left goes"
    assert command("info", own)["sources"]["written"] == 3
    assert command("prune", own)["removed"] != []
    assert command("verify", own)["ok"]
    assert state(place, name) == before
