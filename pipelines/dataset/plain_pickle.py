"""A pickle that anybody may have written, read as data: containers, numbers and text come out, and nothing is called.

Only what the course's files hold is known: None, booleans, numbers (NumPy's too), text, lists, tuples, dicts by text.
Python's own unpickler is not used: it would import what a file names, and reserve what memory a file asks for.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

from pipelines import store
from pipelines.errors import SettingError, WorkError, describe, shortened

_MOST_BYTES = 1 << 25
_MARK = object()
_SCALAR, _DTYPE, _ENCODE = object(), object(), object()
_GLOBALS = {
    ("numpy.core.multiarray", "scalar"): _SCALAR,
    ("numpy._core.multiarray", "scalar"): _SCALAR,
    ("numpy", "dtype"): _DTYPE,
    ("_codecs", "encode"): _ENCODE,  # of bytes in the oldest protocols
}
"""What NumPy's numbers are written with; each is done here."""
_NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")


def read_plain_pickle(uri: str) -> Any:
    """What a pickle at a path or URI holds. SettingError when there is none, WorkError when it is more than data."""
    try:
        store.require_plain_file(uri)
        data = store.read_bytes(uri)
    except FileNotFoundError as error:
        raise SettingError(f"{uri}: must be a pickle of the course's, there is no such file") from error
    except OSError as error:
        raise WorkError(f"{uri}: cannot be read: {error.strerror or error}") from error
    if len(data) > _MOST_BYTES:
        raise WorkError(f"{uri}: must be at most {_MOST_BYTES:,} bytes, it has {len(data):,}")
    try:
        return _Reader().read(data)
    except (ValueError, TypeError, LookupError, OverflowError, MemoryError, RecursionError) as error:
        reason = describe(error).removeprefix("ValueError: ")[:200]
        raise WorkError(f"{uri}: must be a pickle of numbers, text and containers alone: {reason}") from error


class _Dtype:
    """A NumPy type that is being read."""

    def __init__(self, code: Any) -> None:
        if code not in _NUMBERS:
            raise ValueError(f"it has a NumPy type {shortened(code)}, which is none of a number")
        self.code, self.order = str(code), "<"


class _Reader:
    """A stack machine for the operations that plain data is written with."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.last: list[str] = []

    def read(self, data: bytes) -> Any:
        """The value of a pickle. ValueError, TypeError or LookupError for what is not plain."""
        for operation, argument, _ in pickletools.genops(data):
            if operation.name == "STOP":
                return _plain(self.stack.pop())
            if (step := _STEPS.get(operation.name)) is None:
                raise ValueError(f"it asks for {operation.name}")
            step(self, argument)
        raise ValueError("it ends too soon")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def since_mark(self) -> list[Any]:
        """All that came after the last mark, which goes."""
        position = len(self.stack) - 1
        while self.stack[position] is not _MARK:
            position -= 1
            if position < 0:
                raise ValueError("it has no mark")
        values = self.stack[position + 1 :]
        del self.stack[position:]
        return values

    def memoize(self, index: Any) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise ValueError("it adds to what is no list")
        target.extend(map(_plain, values))

    def fill(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise ValueError("it adds to what is no dict")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if type(key) is not str:
                raise ValueError("it has a key that is no text")
            target[key] = _plain(value)

    def pop(self, count: int) -> list[Any]:
        """The last values."""
        if len(self.stack) < count:
            raise ValueError("it takes more than there is")
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def find(self, module: Any, name: Any) -> None:
        found = _GLOBALS.get((module, name)) if type(module) is type(name) is str else None
        if found is None:
            raise ValueError(f"it names {shortened(f'{module}.{name}')}, which is code")
        self.push(found)

    def reduce(self) -> None:
        called, arguments = self.pop(2)
        if type(arguments) is not tuple:
            raise ValueError("it calls with no tuple")
        if called is _DTYPE:
            self.push(_Dtype(arguments[0]))
        elif called is _SCALAR:
            dtype, data = arguments
            if type(dtype) is not _Dtype or type(data) is not bytes:
                raise ValueError("it has a NumPy number without its bytes")
            self.push(np.frombuffer(data, dtype.order + dtype.code, count=1)[0].item())
        elif called is _ENCODE and arguments[1] == "latin1":
            self.push(arguments[0].encode("latin1"))
        else:
            raise ValueError("it calls what is no number's")

    def build(self) -> None:
        dtype, state = self.pop(2)
        if type(dtype) is not _Dtype or type(state) is not tuple or state[1] not in ("<", ">", "|"):
            raise ValueError("it changes what is no number's type")
        dtype.order = state[1]
        self.push(dtype)


def _plain(value: Any) -> Any:
    if value is _MARK or type(value) in (_Dtype, object):
        raise ValueError("it has a part of a number where a value is to be")
    return value


def _made(kind: Callable[[list[Any]], Any], count: int | None = None) -> Callable[[_Reader, Any], None]:
    """A container of the last `count` values, or of those since the mark."""

    def step(reader: _Reader, argument: Any) -> None:
        reader.push(kind(reader.since_mark() if count is None else reader.pop(count)))

    return step


def _dict(values: list[Any]) -> dict[str, Any]:
    reader = _Reader()
    reader.push({})
    reader.fill(values)
    filled: dict[str, Any] = reader.stack[0]
    return filled


_VALUES = """
    BININT BININT1 BININT2 LONG1 INT LONG BINFLOAT FLOAT BINUNICODE SHORT_BINUNICODE BINUNICODE8 UNICODE
    SHORT_BINBYTES BINBYTES
"""
_STEPS: dict[str, Callable[[_Reader, Any], None]] = {
    **dict.fromkeys(_VALUES.split(), lambda reader, argument: reader.push(argument)),
    **dict.fromkeys(("PROTO", "FRAME"), lambda reader, argument: None),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), lambda reader, argument: reader.memoize(argument)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda reader, argument: reader.push(reader.memo[argument])),
    "NONE": lambda reader, argument: reader.push(None),
    "NEWTRUE": lambda reader, argument: reader.push(True),
    "NEWFALSE": lambda reader, argument: reader.push(False),
    "MARK": lambda reader, argument: reader.push(_MARK),
    "EMPTY_LIST": lambda reader, argument: reader.push([]),
    "EMPTY_DICT": lambda reader, argument: reader.push({}),
    "EMPTY_TUPLE": lambda reader, argument: reader.push(()),
    "LIST": _made(list),
    "TUPLE": _made(tuple),
    "DICT": _made(_dict),
    "TUPLE1": _made(tuple, 1),
    "TUPLE2": _made(tuple, 2),
    "TUPLE3": _made(tuple, 3),
    "APPEND": lambda reader, argument: reader.extend(reader.pop(1)),
    "APPENDS": lambda reader, argument: reader.extend(reader.since_mark()),
    "SETITEM": lambda reader, argument: reader.fill(reader.pop(2)),
    "SETITEMS": lambda reader, argument: reader.fill(reader.since_mark()),
    "GLOBAL": lambda reader, argument: reader.find(*str(argument).split(" ", 1)),
    "STACK_GLOBAL": lambda reader, argument: reader.find(*reader.pop(2)),
    "REDUCE": lambda reader, argument: reader.reduce(),
    "BUILD": lambda reader, argument: reader.build(),
}
"""What each operation that is known does."""
