"""How records stand in a TFRecord file: the length, its checksum, the bytes, their checksum; written and read."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import IO

import google_crc32c

from pipelines import store
from pipelines.errors import WorkError

_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_MAX_RECORD_BYTES = 1 << 31


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def frame(serialized: bytes) -> bytes:
    """One TFRecord entry: length, its masked CRC32C, the data, its masked CRC32C (all little-endian)."""
    length = _LENGTH.pack(len(serialized))
    return b"".join((length, _CRC.pack(_masked_crc(length)), serialized, _CRC.pack(_masked_crc(serialized))))


def read_frames(file: IO[bytes], name: str) -> Iterator[bytes]:
    """Yield the data of each TFRecord entry of a file open for reading.

    WorkError names the file and the byte where it is truncated or where a checksum does not fit.
    """
    position = 0
    while header := file.read(_LENGTH.size + _CRC.size):
        if len(header) < _LENGTH.size + _CRC.size:
            raise WorkError(f"{name}: truncated at byte {position}")
        (length,) = _LENGTH.unpack_from(header)
        (length_crc,) = _CRC.unpack_from(header, _LENGTH.size)
        if _masked_crc(header[: _LENGTH.size]) != length_crc:
            raise WorkError(f"{name}: the checksum of a record's length does not fit at byte {position}")
        if length > _MAX_RECORD_BYTES:
            raise WorkError(f"{name}: a record of {length:,} bytes cannot be in it, at byte {position}")
        data = file.read(length)
        trailer = file.read(_CRC.size)
        if len(data) < length or len(trailer) < _CRC.size:
            raise WorkError(f"{name}: truncated at byte {position}")
        if _CRC.unpack(trailer)[0] != _masked_crc(data):
            raise WorkError(f"{name}: the checksum of a record does not fit at byte {position}")
        yield data
        position += len(header) + length + _CRC.size


def check_lengths(path: str, num_bytes: int, num_examples: int, name: str) -> None:
    """WorkError naming a shard whose records' lengths do not add up to its file, or which is another than is said.

    TensorFlow asks for as much memory as a length says, before it reads: what passes here never makes it ask for more
    than the file has. Only the lengths are read, about a microsecond each.
    """
    header = _LENGTH.size + _CRC.size
    try:
        store.require_plain_file(path)
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise WorkError(f"{name}: must be a readable shard: {error.strerror or error}") from error
    try:
        size = os.fstat(descriptor).st_size
        if size != num_bytes:
            raise WorkError(f"{name}: has {size} bytes, dataset.json says {num_bytes}")
        position = count = 0
        while position < size:
            data = os.pread(descriptor, _LENGTH.size, position)
            end = position + header + _CRC.size
            length = _LENGTH.unpack(data)[0] if len(data) == _LENGTH.size else size
            if end + length > size:
                raise WorkError(f"{name}: the record at byte {position} does not fit into its {size} bytes")
            position, count = end + length, count + 1
    finally:
        os.close(descriptor)
    if count != num_examples:
        raise WorkError(f"{name}: has {count} records, dataset.json says {num_examples}")
