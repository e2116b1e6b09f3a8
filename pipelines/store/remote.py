"""Requests to other stores than this machine's disk: what is tried again, and errors in plain words.

Every request of this package goes through `attempt`. The libraries' own repetitions are turned off where they can be,
so that TRIES is what happens.
"""

from __future__ import annotations

import contextlib
import errno
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pipelines.errors import AudioVaeError, NotPermitted, NotThere, SettingError, StoreError, Unreachable, masked, shown

TRIES = 5
"""How often a request is made before it fails."""
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 8.0
CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 30.0
"""A server that sends nothing for so long does not answer."""
_TRANSIENT = {
    *("HTTPClientError", "ConnectionError", "IncompleteReadError", "ResponseStreamingError"),  # botocore
    *("ClientError", "FSTimeoutError", "TimeoutError"),  # aiohttp, fsspec, asyncio
}
_NO_CREDENTIALS = {
    *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound"),
    *("TokenRetrievalError", "SSOError", "GoogleAuthError"),
}
T = TypeVar("T")


@contextlib.contextmanager
def told(uri: str, package: str | None) -> Iterator[None]:
    """Whatever goes wrong when a store's file system is made, in one line; package: the extra that it needs."""
    try:
        yield
    except ImportError as error:
        needed = f"needs more packages: pip install 'audio-vae[{package}]'" if package else f"cannot be used: {error}"
        raise SettingError(f"{uri}: {needed}") from error
    except ValueError as error:
        raise SettingError(f"{uri}: must be a path or URI of a known file system: {error}") from error
    except Exception as error:
        raise _plain(error, uri) from error


def attempt(uri: str, action: Callable[[], T], tries: int | None = None) -> T:
    """Do something with a store, again after a growing pause while it fails for a reason that may pass.

    tries: instead of TRIES. Raises StoreError, an OSError, with the reason on one line: NotThere, NotPermitted,
    Unreachable when the tries ran out, or plainly that; SettingError when there are no credentials.
    """
    for number in range(tries or TRIES):
        if number:
            pause = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2 ** (number - 1))
            time.sleep(pause * random.uniform(0.5, 1.0))  # so that many workers do not come back at once
        try:
            return action()
        except AudioVaeError:
            raise
        except Exception as error:  # noqa: BLE001 - libraries raise errors of their own; all become OSError below
            failed = error
        if not _is_transient(failed):
            break
    raise _plain(failed, uri) from failed


def _families(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def answer_of(error: BaseException) -> dict[str, Any]:
    """What S3 said: its error's code and the status of the answer; empty for another store."""
    for found in (error, error.__cause__, error.__context__):
        answer = getattr(found, "response", None)
        if isinstance(answer, dict):
            return answer
    return {}


def status_of(error: BaseException | None) -> int | None:
    """The HTTP status that an error came with."""
    if error is None:
        return None
    status = answer_of(error).get("ResponseMetadata", {}).get("HTTPStatusCode")
    for name in ("status", "code"):
        status = status or getattr(error, name, None)
    return int(status) if str(status).isdecimal() else None


def _is_transient(error: BaseException) -> bool:
    status = status_of(error)
    if status is not None:
        return status in (408, 425, 429) or status >= 500
    if isinstance(error, (FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError)):
        return False
    return isinstance(error, OSError) or bool(_families(error) & _TRANSIENT)


def _plain(error: BaseException, uri: str) -> Exception:
    """An error of a library as one of ours, with a reason on one line."""
    uri = shown(uri)
    text = masked(" ".join(str(error.strerror if isinstance(error, OSError) and error.strerror else error).split()))
    status = status_of(error)
    if _families(error) & _NO_CREDENTIALS or "Anonymous caller" in text:
        return SettingError(f"{uri}: needs credentials, which were not found ({text or type(error).__name__})")
    reason = text or type(error).__name__
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        said = answer_of(error).get("Error", {}).get("Message") or "not found"
        return NotThere(errno.ENOENT, said.rstrip("."), uri)
    if isinstance(error, PermissionError) or status in (401, 403) or reason.startswith("Forbidden"):
        return NotPermitted(errno.EACCES, reason, uri)
    if _is_transient(error):
        return Unreachable(errno.EIO, reason, uri)
    return StoreError(errno.EIO, reason, uri)
