"""Passwords, keys and tokens in URIs open doors, and stand in nothing that is told or stored."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from pipelines import store
from pipelines.errors import SourceError, StoreError, WorkError, describe
from tests.helpers.dataset_state import SMALL, write_small
from tests.helpers.servers import WholeFiles, over_http
from vae_model import cli

SECRETS = ("hunter2", "s3cr3t")


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("http://user:hunter2@host/a/b.wav?token=s3cr3t", "http://host/a/b.wav"),
        ("https://hunter2@host:8080/a@b.wav", "https://host:8080/a@b.wav"),
        ("http://host:8080/a@b.wav", "http://host:8080/a@b.wav"),
        ("http://user:hun@ter2@host/x", "http://host/x"),
        ("http://user:12345@host/x", "http://host/x"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
        ("s3://AKIA:hunter2/with/slashes+@bucket/set[1]/a?b.wav", "s3://bucket/set[1]/a?b.wav"),
        ("s3://bucket/a@b/c:d@e.wav", "s3://bucket/a@b/c:d@e.wav"),
        ("s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/ap/a@b", None),
        ("sftp://user:hunter2@host:22/x", "sftp://host:22/x"),
        ("abfs://box/a?sig=s3cr3t", "abfs://box/a"),
        ("simplecache::s3://AKIA:hunter2@bucket/x", "simplecache::s3://bucket/x"),
        ("gs://bucket/a?b#c", None),
        ("memory://a@b/c?d", None),
        ("/a/b@c:d?e=f", None),
        ("file:///a/b@c?token=x", None),
    ],
)
def test_what_is_shown_of_a_uri(uri: str, told: str | None) -> None:
    assert store.shown(uri) == (told or uri)


def test_every_error_tells_what_is_shown() -> None:
    web = "http://user:hunter2@host/my file.wav?token=s3cr3t&X-Amz-Signature=s3cr3t"
    told = [
        WorkError(f"{web}: cannot be read: url='{web}'"),
        WorkError("s3://AKIA:hunter2@bucket/x?token=s3cr3t: not found"),
        StoreError(5, f"404, message='gone', url='{web}'", web),
        SourceError(web, "open", f"cannot reach {web}"),
    ]
    for text in [*map(str, told), describe(ValueError(web)), describe(OSError(5, web))]:
        assert not any(secret in text for secret in SECRETS), text
    assert str(WorkError("s3://b/a?b=1: what? where=here")) == "s3://b/a?b=1: what? where=here"
    assert str(WorkError("a/b?token=1")) == "a/b?token=1", "no URI"


class Guarded(WholeFiles):
    """Lets in who has the password and a token."""

    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(b"user:hunter2").decode()
        if self.headers.get("Authorization") != wanted or "?token=s3cr3t" not in self.path:
            self.send_error(403, "not for you")
            return
        super().do_GET()

    do_HEAD = do_GET


def nothing_told(*folders: Path) -> bool:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return files != [] and not any(secret.encode() in path.read_bytes() for path in files for secret in SECRETS)


@pytest.mark.parametrize("what", ["sounds/", "sounds", "sounds/tone_1.wav"])
def test_a_dataset_of_a_guarded_server_tells_nothing(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(2):
        write_small(tmp_path / "served" / "sounds" / f"tone_{i}.wav", 300 + 100 * i)
    dataset = str(tmp_path / "dataset")
    with over_http(tmp_path / "served", Guarded) as url:
        source = f"{url.replace('://', '://user:hunter2@')}/{what}?token=s3cr3t"
        assert cli.main(["preprocess", source, "--output", dataset, *SMALL]) == 0
        assert nothing_told(tmp_path / "dataset")
        assert f'"{url}/{what.rstrip("/")}"' in (tmp_path / "dataset" / "dataset.json").read_text()
        capsys.readouterr()
        assert cli.main(["preprocess", source + "-and-another", "--output", dataset]) == 0
        assert "nothing new" in capsys.readouterr().err, "another token, the same input"
        refused = source.replace("hunter2", "hunter22")
        assert cli.main(["preprocess", refused, "--output", dataset]) in (1, 2)
        said = capsys.readouterr()
        assert not any(secret in said.err + said.out for secret in SECRETS), said.err
        assert url in said.err


def test_uris_with_keys_in_errors_of_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sounds = write_small(tmp_path / "in" / "tone.wav", 300).parent
    commands = [
        ["info", "nosuch://AKIA:hunter2@bucket/ds?token=s3cr3t"],
        ["preprocess", "nosuch://AKIA:hunter2@bucket/in", "--output", str(tmp_path / "ds"), *SMALL],
        ["preprocess", str(sounds), "--output", "nosuch://AKIA:hunter2@bucket/ds?sig=s3cr3t", *SMALL],
        ["preprocess", str(sounds), "--output", "http://user:hunter2@127.0.0.1:9/ds?token=s3cr3t", *SMALL],
        ["generate", "http://user:hunter2@127.0.0.1:9/model", "--count", "1", "--output", "http://u:hunter2@host/x"],
        ["browse", "nosuch://AKIA:hunter2@bucket/ds", "--output", str(tmp_path / "page.html")],
        ["prune", "nosuch://AKIA:hunter2@bucket/ds"],
    ]
    for command in commands:
        capsys.readouterr()
        assert cli.main(command) in (1, 2)
        said = capsys.readouterr()
        assert said.err.startswith(f"audio-vae {command[0]}: ")
        assert not any(secret in said.err + said.out for secret in SECRETS), said.err
