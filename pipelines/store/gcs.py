"""Google Cloud Storage, by gcsfs, which repeats requests by itself (six times), and is asked once."""

from __future__ import annotations

import base64
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pipelines.store.buckets import PAGE, Bucket, Page
from pipelines.store.protocol import Item
from pipelines.store.remote import SILENCE_SECONDS

_REMOVED_AT_ONCE = 16


class GoogleStorage(Bucket):
    """Versions are generations."""

    package = "gcs"
    scheme = "gs"
    tries = 1
    no_version = "1"

    def options(self) -> dict[str, Any]:
        from fsspec.config import conf

        logging.getLogger("gcsfs").setLevel(logging.CRITICAL + 1)  # it prints the tracebacks of errors that we tell
        given = conf.get("gs", {}).get("requests_timeout", SILENCE_SECONDS)
        return {"requests_timeout": given, "version_aware": False}  # else `#` and `?` in names are versions

    def page(self, fs: Any, bucket: str, prefix: str, delimiter: str | None, token: str | None) -> Page:
        asked = {"prefix": prefix, "delimiter": delimiter, "maxResults": PAGE, "pageToken": token}
        found = fs.call("GET", "b/{}/o", bucket, json_out=True, **asked)
        items = [
            Item(i["name"], int(i["size"]), str(i["generation"]), digest=self.digest_in(i))
            for i in found.get("items", ())
        ]
        return Page(found.get("prefixes", []), items, found.get("nextPageToken"))

    def digest_in(self, info: dict[str, Any]) -> str | None:
        """The MD5; an object that was composed of others has none."""
        return f"md5:{base64.b64decode(info['md5Hash']).hex()}" if "md5Hash" in info else None

    def put_if(self, fs: Any, bucket: str, key: str, data: bytes, expected: str | None) -> None:
        place = fs.base.removesuffix("storage/v1/") + "upload/storage/v1/b/{}/o"
        fs.call("POST", place, bucket, uploadType="media", name=key, ifGenerationMatch=expected or "0", data=data)

    def holds(self, fs: Any, bucket: str, key: str) -> None:
        fs.call("GET", "b/{}/o/{}", bucket, key)

    def remove_keys(self, fs: Any, uri: str, bucket: str, keys: list[str]) -> None:
        def remove(key: str) -> None:
            with contextlib.suppress(FileNotFoundError):
                self.attempt(uri, lambda: fs.call("DELETE", "b/{}/o/{}", bucket, key))

        with ThreadPoolExecutor(_REMOVED_AT_ONCE) as pool:
            list(pool.map(remove, keys))
