"""S3, by s3fs."""

from __future__ import annotations

import logging
import re
from typing import Any

from pipelines.errors import StoreError
from pipelines.store.buckets import Bucket, Page
from pipelines.store.paths import shown
from pipelines.store.protocol import Item
from pipelines.store.remote import CONNECT_SECONDS, SILENCE_SECONDS

_ETAG = re.compile(r"[0-9a-f]{32}(-[0-9]{1,5})?")
_SENT = {"chunksize": 1 << 24, "max_concurrency": 4}


class S3(Bucket):
    """Versions are ETags."""

    package = scheme = "s3"
    no_version = "00000000000000000000000000000000"

    def options(self) -> dict[str, Any]:
        """A single try a request: `remote.attempt` makes the others."""
        from fsspec.config import conf

        given = conf.get("s3", {}).get("config_kwargs", {})
        limits = {"connect_timeout": CONNECT_SECONDS, "read_timeout": SILENCE_SECONDS}
        return {"config_kwargs": limits | {"retries": {"total_max_attempts": 1}} | given}

    def filesystem(self, uri: str) -> tuple[Any, str]:
        fs, path = super().filesystem(uri)
        fs.retries = 1
        if "split_path" not in vars(fs):
            by_s3fs = fs.split_path

            def literal(path: str) -> tuple[str, str, None]:  # s3fs cuts a name at ?versionId=
                path = path.removeprefix("s3://")
                bucket = by_s3fs(path)[0]
                return bucket, path[len(bucket) + 1 :], None

            fs.split_path = literal
        return fs, path

    def put(self, local: str, uri: str) -> None:
        fs, path = self.filesystem(uri)
        self.attempt(uri, lambda: fs.put_file(local, path, **_SENT))

    def page(self, fs: Any, bucket: str, prefix: str, delimiter: str | None, token: str | None) -> Page:
        asked = {"Delimiter": delimiter, "ContinuationToken": token}
        given = {name: value for name, value in asked.items() if value}
        found = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, **given)
        items = [
            Item(item["Key"], item["Size"], item["ETag"], digest=self.digest_in(item))
            for item in found.get("Contents", ())
        ]
        folders = [folder["Prefix"] for folder in found.get("CommonPrefixes", ())]
        return Page(folders, items, found.get("NextContinuationToken"))

    def digest_in(self, info: dict[str, Any]) -> str | None:
        """The ETag: the MD5, or that of the MD5s of the parts, and of an encrypted object nothing that another has."""
        found = str(info.get("ETag", "")).strip('"')
        return f"etag:{found}" if _ETAG.fullmatch(found) else None

    def put_if(self, fs: Any, bucket: str, key: str, data: bytes, expected: str | None) -> None:
        condition = {"IfNoneMatch": "*"} if expected is None else {"IfMatch": expected}
        fs.call_s3("put_object", Bucket=bucket, Key=key, Body=data, **condition)

    def holds(self, fs: Any, bucket: str, key: str) -> None:
        fs.call_s3("head_object", Bucket=bucket, Key=key)

    def remove_keys(self, fs: Any, uri: str, bucket: str, keys: list[str]) -> None:
        objects = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        answer = self.attempt(uri, lambda: fs.call_s3("delete_objects", Bucket=bucket, Delete=objects))
        for error in answer.get("Errors", ()):
            raise StoreError(5, f"{error.get('Message') or error.get('Code')}", shown(f"s3://{bucket}/{error['Key']}"))

    def remove(self, uri: str) -> None:
        """Uploads into it that nobody finished go as well."""
        fs, bucket, key = self.place(uri)
        if key:
            self._abort_uploads(fs, uri, bucket, key)
        super().remove(uri)

    def _abort_uploads(self, fs: Any, uri: str, bucket: str, key: str) -> None:
        prefix = f"{key}/"
        try:
            page = self.attempt(uri, lambda: fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix))
            for upload in page.get("Uploads", ()):
                fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        except OSError:  # it costs space until the bucket's own rule removes it, and needs a permission of its own
            logging.getLogger(__name__).info("%s: unfinished uploads cannot be removed", shown(uri))
