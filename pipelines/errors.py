"""Errors that a user can act on. The console command prints them as one line and exits with `exit_status`."""

from __future__ import annotations

import errno
import importlib.util
import re
import reprlib
from itertools import islice
from typing import Any

_USER = re.compile(
    r"(?<=://)(?!\[|arn:)(?:[^\s/@:\"']*:(?!\d{1,5}(?:[/?#\s\"']|$))[^\s@\"']*|[^\s/@:\"']+)@(?:[^\s/@\"']*@)*"
)
"""What stands before the host: a name, a name and a password, a key and a secret. No port, no name of Amazon's."""
_WEB_QUERY = re.compile(r"(https?://[^\s?'\"<>]*)\?[^\s'\"<>]*?(?=[:;,.)]*(?:[\s'\"<>]|$))", re.IGNORECASE)
_SECRET = re.compile(r"[?&][\w.~%-]*(?:token|sig|secret|passw|credential|key|auth)[\w.~%-]*=[^\s'\"&]*", re.IGNORECASE)
_NO_QUERY = ("s3", "s3a", "gs", "gcs", "memory", "file")  # where a question mark is part of a name


def shown(uri: str) -> str:
    """A URI as it may be told and stored: without user, password, keys and query. Of a path, the path."""
    scheme, separator, rest = uri.partition("://")
    kind = scheme.rpartition("::")[2].lower()
    if not separator or kind in ("memory", "file"):
        return uri
    uri = _USER.sub("", f"{scheme}://{rest}", count=1)
    return uri if kind in _NO_QUERY else uri.partition("?")[0]


def masked(text: str) -> str:
    """A text with every URI in it `shown`."""
    if "://" not in text:
        return text
    return _SECRET.sub("", _WEB_QUERY.sub(r"\1", _USER.sub("", text)))


class AudioVaeError(Exception):
    """An expected failure. Its message names the argument or file, the rule and the value, and tells no secret."""

    exit_status = 1

    def __str__(self) -> str:
        return masked(super().__str__())


class SettingError(AudioVaeError):
    """The command line, a setting or an argument is wrong (exit status 2)."""

    exit_status = 2


class WorkError(AudioVaeError):
    """The work itself failed; what is committed is untouched (exit status 1)."""


class StoreError(OSError, WorkError):
    """A store did not do what it was asked for. Made of an error number, the reason and the URI."""

    def __str__(self) -> str:
        return masked(f"{shown(str(self.filename))}: {self.strerror}")


class NotThere(StoreError, FileNotFoundError):
    """There is no such file, or no such bucket."""


class NotPermitted(StoreError, PermissionError):
    """The credentials do not allow it."""


class Unreachable(StoreError):
    """A store did not answer, or not properly, in all tries. Later it may."""


class Conflict(WorkError):
    """A file has changed since it was read, so it was not replaced."""


class Interrupted(WorkError):
    """A work was asked to stop, all of it is saved, and the message says how to go on. place: how far it came."""

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(message)
        self.place = place


class TooManyFailures(AudioVaeError):
    """More sources failed than allowed, so nothing was committed (exit status 3)."""

    exit_status = 3


class SourceError(WorkError):
    """One audio file could not be used. `stage` says where (list, read, open, decode, extract), `reason` why.

    read: what failed lies outside the file (its store did not answer, no permission, a deadline); so the next run tries
    this source again.
    """

    def __init__(self, source: str, stage: str, reason: str) -> None:
        super().__init__(source, stage, reason)
        self.source = source
        self.stage = stage
        self.reason = reason

    def __str__(self) -> str:
        return masked(f"{shown(self.source)}: {self.stage} failed: {self.reason}")


def require(condition: bool, name: str, value: Any, rule: str) -> None:
    """Raise SettingError `name=value must be rule` unless `condition` holds."""
    if not condition:
        raise SettingError(f"{name}={shortened(value)} must be {rule}")


def is_installed(package: str) -> bool:
    """Whether a package that not every installation has is there; it is not imported."""
    return importlib.util.find_spec(package) is not None


def require_package(package: str, extra: str, needer: str) -> None:
    """Raise SettingError with what to install unless a package is there."""
    if not is_installed(package):
        raise SettingError(f"{needer} needs {package}, which is not installed: pip install 'audio-vae[{extra}]'")


_SHOWN_CHARACTERS = 400


class _Shortened(reprlib.Repr):
    """`repr` that ends soon whatever it is given: a text of megabytes, lists in lists in lists, 10 ** 400."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 24
        self.maxstring = self.maxother = self.maxlong = _SHOWN_CHARACTERS // 2

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        """In its own order."""
        if level <= 0 and x:
            return "{...}"
        pairs = [f"{self.repr1(k, level - 1)}: {self.repr1(v, level - 1)}" for k, v in islice(x.items(), self.maxdict)]
        return "{" + ", ".join([*pairs, *(["..."] if len(x) > self.maxdict else [])]) + "}"

    def repr_int(self, x: int, level: int) -> str:
        """Python writes no integer of more than 4,300 digits."""
        return repr(x) if x.bit_length() < 400 else f"an integer of {x.bit_length():,} bits"


def shortened(value: Any) -> str:
    """`repr` of a value for a message, shortened where it is long."""
    text = _Shortened().repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def stage_of(error: BaseException, stage: str) -> str:
    """Where a source failed: `read`, not at this stage, when that lies outside the file and may be mended there."""
    if hasattr(error, "error_string"):  # of libsndfile, which is not imported for this
        return "read" if getattr(error, "code", None) == _SYSTEM_ERROR else stage
    if isinstance(error, FileNotFoundError) or type(error).__module__.startswith("av."):
        return stage  # of a file that is there again, the listing will say so
    return "read" if isinstance(error, StoreError) or (isinstance(error, OSError) and error.errno) else stage


_SYSTEM_ERROR = 2
_CODES_OF_FFMPEG = (errno.EPERM, errno.EIO, errno.EINVAL)  # what it says of odd headers; no fault of the system's
_LIBSNDFILE_SAYS = {
    "System error": "the system could not read it",
    "Unspecified internal error": "libsndfile can't follow it",
    "File does not exist or is not a regular file (possibly a pipe?)": "the system could not open it",
}


def describe(error: BaseException) -> str:
    """What went wrong, on one line, without the path that the caller names anyway."""
    if isinstance(text := getattr(error, "error_string", None), str):  # of libsndfile, which is not imported for this
        said = text.strip().rstrip(".")
        return _LIBSNDFILE_SAYS.get(said, said)
    if type(error).__module__.startswith("av.") and getattr(error, "errno", None) in _CODES_OF_FFMPEG:
        return "FFmpeg can't follow it"
    if text := getattr(error, "strerror", None):  # of OSError, and of FFmpeg's errors
        return masked(" ".join(str(text).split()))
    return masked(" ".join(f"{type(error).__name__}: {error}".split()).rstrip(":"))
