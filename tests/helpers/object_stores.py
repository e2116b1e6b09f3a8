"""Object stores on the loopback for tests: moto's server for S3, fake-gcs-server for Google Cloud Storage."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest

from pipelines.dataset.folder import open_dataset
from tests.helpers.dataset_state import contents
from tests.helpers.faulty_store import FaultyStore
from tests.helpers.servers import free_port, program

AWS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


@contextlib.contextmanager
def moto_server(max_keys: int) -> Iterator[int]:
    """moto's server with listings of so many names a page; yields its port."""
    port = free_port()
    command = [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)]
    with program(command, port, MOTO_S3_DEFAULT_MAX_KEYS=str(max_keys)):
        yield port


GCS_SERVER = Path(__file__).resolve().parents[2] / ".cache" / "fake-gcs-server"
GCS = {"FSSPEC_GS_TOKEN": "anon", "FSSPEC_GCS_TOKEN": "anon", "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}


@contextlib.contextmanager
def gcs_server() -> Iterator[int]:
    """fake-gcs-server with its objects in memory; yields its port."""
    port = free_port()
    where = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
    with program([str(GCS_SERVER), *where, "-backend", "memory", "-log-level", "error"], port):
        yield port


@contextlib.contextmanager
def google_bucket(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of a new bucket of the server at an address; gs:// means that server in this block."""
    import fsspec
    import gcsfs

    for name, value in (GCS | {"STORAGE_EMULATOR_HOST": url, "PYTHONPATH": str(GCS_SERVER.parents[1])}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
    monkeypatch.setitem(fsspec.config.conf, "gcs", {"token": "anon"})
    fsspec.register_implementation("gs", gcsfs.core.GCSFileSystem, clobber=True)
    gcsfs.core.GCSFileSystem.clear_instance_cache()
    name = f"bucket-{secrets.token_hex(6)}"
    fsspec.filesystem("gs").call("POST", "b", json={"name": name}, project="test")
    yield f"gs://{name}"
    gcsfs.core.GCSFileSystem.clear_instance_cache()


@dataclass
class Bucket:
    """A bucket of a test, reached through the proxy by the package and directly by the test."""

    name: str
    proxy: FaultyStore
    client: Any

    @property
    def uri(self) -> str:
        """The bucket's URI."""
        return f"s3://{self.name}"

    def put(self, key: str, data: bytes) -> None:
        """Put an object."""
        self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def upload(self, folder: Path, prefix: str) -> str:
        """Put all files of a folder; returns the URI."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder)}", path.read_bytes())
        return f"{self.uri}/{prefix}"

    def get(self, key: str) -> bytes:
        """The content of an object."""
        data: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return data

    def remove(self, key: str) -> None:
        """Remove an object."""
        self.client.delete_object(Bucket=self.name, Key=key)

    def keys(self, prefix: str = "") -> list[str]:
        """The names of all objects below a prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def state(self, prefix: str) -> dict[str, str]:
        """The ETag of each object below a prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return {item["Key"]: item["ETag"] for page in pages for item in page.get("Contents", ())}

    def download(self, prefix: str, folder: Path) -> Path:
        """Copy all objects below a prefix into a folder."""
        for key in self.keys(prefix + "/"):
            path = folder / key.removeprefix(prefix + "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.get(key))
        return folder


def s3_client(port: int) -> Any:
    """A client of moto's server itself."""
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", **keys)


def comparable(dataset: Path, unlike: Sequence[str] = ("stamp",)) -> dict[str, Any]:
    """What a dataset at a local path holds, without what depends on where its sounds came from: inputs, and these
    columns of the manifests."""
    found: dict[str, Any] = contents(dataset)
    entry = json.loads(found["dataset.json"])
    for run in entry["runs"]:
        del run["inputs"]
    found["dataset.json"] = entry
    for run in open_dataset(str(dataset)).runs:
        table = pq.read_table(dataset / "runs" / run.name / "manifest.parquet").drop_columns(list(unlike))
        found[f"{run.number}/manifest.parquet"] = table.to_pylist()
    return found


def orphans(keys: list[str], prefix: str, entry: dict[str, Any]) -> set[str]:
    """Objects of a dataset that `dataset.json` does not name."""
    named = {f"{prefix}/dataset.json", f"{prefix}/schema.pbtxt"}
    named |= {f"{prefix}/runs/{run['name']}/manifest.parquet" for run in entry["runs"]}
    named |= {f"{prefix}/{shard['path']}" for split in entry["splits"].values() for shard in split["shards"]}
    return {key for key in keys if key.startswith(f"{prefix}/")} - named


def plain(text: str) -> str:
    """A line without the moments in runs' names."""
    return re.sub(r"(\d{6})-\d{8}T\d{6}Z", r"\1", text)
