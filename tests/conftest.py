"""Sounds and datasets that the tests share, made once a session."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from tests.helpers.console import audio_vae_json
from tests.helpers.faulty_store import FaultyStore, running
from tests.helpers.places import FSDD, ROOT
from tests.helpers.sounds import write_tones

if TYPE_CHECKING:
    from tests.helpers.object_stores import Bucket


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on real recordings skip where the recordings are not."""
    if not FSDD.is_dir():
        for item in items:
            if item.get_closest_marker("fsdd"):
                item.add_marker(pytest.mark.skip(reason=f"no recordings in {FSDD}"))


@pytest.fixture(scope="session")
def fsdd() -> Path:
    """The folder of real recordings."""
    return FSDD


@pytest.fixture(scope="session")
def tone_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve sines of one second at 16 kHz. Read only."""
    return write_tones(tmp_path_factory.mktemp("sounds") / "tones")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """`audio-vae … --json` in this process; what it prints."""

    def run(*arguments: object) -> dict[str, Any]:
        from vae_model import cli

        capsys.readouterr()
        status = cli.main([*map(str, arguments), "--json"])
        printed = capsys.readouterr()
        assert status == 0, printed.err
        values: dict[str, Any] = json.loads(printed.out)
        return values

    return run


@pytest.fixture(scope="session")
def tone_dataset(tone_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The twelve sines as a dataset of preset tiny, 256 x 64 x 1, with three in `validation`. Read only."""
    dataset = tmp_path_factory.mktemp("dataset") / "tones"
    split = "validation=tone_0[369]"
    audio_vae_json("preprocess", tone_folder, "--output", dataset, "--preset", "tiny", "--split-pattern", split)
    return dataset


@pytest.fixture(scope="session")
def s3_server() -> Iterator[tuple[FaultyStore, int]]:
    """moto's S3 server, five names a page, behind a proxy that can fail; and the server's own port."""
    pytest.importorskip("moto", reason="moto is not installed: pip install -e '.[dev]'")
    from tests.helpers.object_stores import moto_server

    with moto_server(max_keys=5) as port, running(port) as proxy:
        yield proxy, port


@pytest.fixture
def s3(
    s3_server: tuple[FaultyStore, int], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Bucket]:
    """A new bucket; s3:// means that server while the test runs."""
    from tests.helpers.object_stores import AWS, Bucket, s3_client

    proxy, port = s3_server
    for name, value in (AWS | {"AWS_ENDPOINT_URL": proxy.url, "PYTHONPATH": str(ROOT)}).items():
        monkeypatch.setenv(name, value)
    client = s3_client(port)
    bucket = Bucket("test-" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12], proxy, client)
    client.create_bucket(Bucket=bucket.name)
    proxy.forget()
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # those of other servers and credentials
    yield bucket
    fsspec.get_filesystem_class("s3").clear_instance_cache()
