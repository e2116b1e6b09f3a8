"""NumPy files that anybody may have written: arrays of floating-point numbers, and nothing that is run."""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def parse_npy(data: bytes) -> NDArray[np.float32]:
    """The array of a `.npy` file's bytes, as float32. ValueError says what is wrong with it."""
    file = io.BytesIO(data)
    try:
        version = npy.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"it is of version {version} of NumPy's format")
        shape, is_fortran, dtype = _HEADERS[version](file)
    except (TypeError, LookupError, OverflowError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"its header can't be read: {type(error).__name__}") from error
    if dtype.kind != "f":
        raise ValueError(f"it holds {dtype}, not floating-point numbers")
    rest = data[file.tell() :]
    if len(rest) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"it has {len(rest):,} bytes of numbers, its shape {shape} another number of them")
    flat = np.frombuffer(rest, dtype)
    return flat.reshape(shape, order="F" if is_fortran else "C").astype(np.float32)
