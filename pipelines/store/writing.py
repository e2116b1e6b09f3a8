"""Files written to other stores: whole or not at all, and only over what the writer knows where it says so."""

from __future__ import annotations

import hashlib
import logging
import threading
from typing import Any

from pipelines.errors import Conflict, SettingError, WorkError
from pipelines.store.listing import bucket_and_prefix, stamp_of
from pipelines.store.remote import BUCKETS, HTTP, S3, answer_of, attempt, filesystem, scheme_of, status_of

_NO_ETAG = "00000000000000000000000000000000"  # that of no file
_NO_GENERATION = "1"
_one_writer = threading.Lock()


def put(local: str, uri: str) -> None:
    """Send a local file, which appears whole under its name."""
    fs, path = filesystem(uri)
    options: dict[str, Any] = {"chunksize": 1 << 24, "max_concurrency": 4} if scheme_of(uri) in S3 else {}
    attempt(uri, lambda: fs.put_file(local, path, **options))


def version(uri: str) -> str | None:
    """Names the content that a file has now, for `replace_if_unchanged`; None when there is no file."""
    fs, path = filesystem(uri)
    try:
        if scheme_of(uri) in BUCKETS:
            return stamp_of(attempt(uri, lambda: fs.info(path)))
        content: bytes = attempt(uri, lambda: fs.cat_file(path))
    except FileNotFoundError:
        return None
    return hashlib.sha256(content).hexdigest()


def replace_if_unchanged(uri: str, data: bytes, expected: str | None) -> None:
    """Replace a file that still has this version, None: that does not exist. Conflict when it has another.

    S3 and Google Cloud Storage decide that themselves. In memory a lock does; another store is compared, then written.
    """
    fs, path = filesystem(uri)
    if scheme_of(uri) not in BUCKETS:
        with _one_writer:
            if version(uri) != expected:
                raise Conflict(uri)
            attempt(uri, lambda: fs.pipe_file(path, data))
        return
    try:
        attempt(uri, lambda: _put_if(fs, path, scheme_of(uri), data, expected))
    except OSError as error:
        if not _is_refusal(error.__cause__, expected):
            raise
        # The answer to a try that had succeeded may have been lost; then it is our own data that is in the way.
        if version(uri) is None or attempt(uri, lambda: fs.cat_file(path)) != data:
            raise Conflict(uri) from error


def _put_if(fs: Any, path: str, scheme: str, data: bytes, expected: str | None) -> None:
    bucket, key, *_ = fs.split_path(path)
    if scheme in S3:
        condition = {"IfNoneMatch": "*"} if expected is None else {"IfMatch": expected}
        fs.call_s3("put_object", Bucket=bucket, Key=key, Body=data, **condition)
        return
    place = fs.base.removesuffix("storage/v1/") + "upload/storage/v1/b/{}/o"
    fs.call("POST", place, bucket, uploadType="media", name=key, ifGenerationMatch=expected or "0", data=data)


def _is_refusal(error: BaseException | None, expected: str | None) -> bool:
    """Whether a store refused a write because its condition did not hold."""
    status = status_of(error)
    is_gone = status == 404 and expected is not None and answer_of(error or OSError())["Error"]["Code"] == "NoSuchKey"
    return status in (409, 412) or is_gone or isinstance(error, FileExistsError)  # which is gcsfs's 412


def require_writable(uri: str) -> None:
    """Find out early whether a folder can be written, by a write whose condition never holds.

    SettingError when its bucket does not exist or nothing can be written to such a store, WorkError without permission.
    """
    scheme = scheme_of(uri)
    if scheme in HTTP:
        raise SettingError(f"{uri}: must be on a store that can be written")
    if scheme not in BUCKETS:
        return
    probe = f"{uri.rstrip('/')}/.tmp-may-be-removed"
    fs, path = filesystem(probe)
    expected = _NO_ETAG if scheme in S3 else _NO_GENERATION
    try:
        attempt(probe, lambda: _put_if(fs, path, scheme, b"may be removed", expected))
    except FileNotFoundError as error:
        if not _is_refusal(error.__cause__, expected):
            raise SettingError(f"{uri}: must be in a bucket that exists: {error.strerror}") from error
    except OSError as error:
        if not _is_refusal(error.__cause__, expected):
            raise WorkError(f"{uri}: cannot be written: {error.strerror}") from error
    else:
        attempt(probe, lambda: fs.rm_file(path))
        logging.getLogger(__name__).error("%s: its server ignores conditions: never let two runs write at once", uri)


def remove(uri: str) -> None:
    """Remove a file, or a folder and all in it, and uploads into it that nobody finished. FileNotFoundError if none."""
    fs, path = filesystem(uri)
    if scheme_of(uri) in S3:
        _abort_uploads(fs, uri, path)
    attempt(uri, lambda: fs.rm(path, recursive=True))


def _abort_uploads(fs: Any, uri: str, path: str) -> None:
    bucket, prefix = bucket_and_prefix(fs, path)
    try:
        page = attempt(uri, lambda: fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix))
        for upload in page.get("Uploads", ()):
            fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    except OSError:  # it costs space until the bucket's own rule removes it, and needs a permission of its own
        logging.getLogger(__name__).info("%s: unfinished uploads cannot be removed", uri)
