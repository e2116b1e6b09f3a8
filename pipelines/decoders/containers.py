"""What the first bytes of a file tell: which container it is, where its samples lie, and how many there should be."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

HEAD_BYTES = 1024
"""Of a file, enough to know its container."""
Read = Callable[[int, int], bytes]
"""(offset, length) of a file → its bytes, fewer at its end."""
_MAGIC = {
    b"RIFF": "wav",
    b"RF64": "wav",
    b"BW64": "wav",
    b"RIFX": "wav",
    b"FORM": "aiff",
    b".snd": "au",
    b"caff": "caf",
    b"fLaC": "flac",
    b"OggS": "ogg",
    b"riff": "w64",
    b"\x1aE\xdf\xa3": "matroska",
    b"0&\xb2u": "asf",
}
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
OF_SUFFIX = {".m4a": "mov", ".webm": "matroska", ".mka": "matroska", ".wma": "asf", ".aac": "aac"}
_NOT_IN_TEXT = bytes(set(range(32)) - set(b"\t\n\f\r")) + b"\x7f"


def is_marked(head: bytes) -> bool:
    """Whether the first four bytes name a container."""
    return head[:4] in _MAGIC


def container_of(head: bytes, suffix: str) -> str | None:
    """FFmpeg's name of the container that begins with these bytes; None when it is none that holds sound alone.

    The suffix decides where the bytes do not: of the formats that have no mark, or had it damaged.
    """
    if head[:3] == b"ID3" and len(head) >= 10:
        behind = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
        head = head[behind:]
        if not head:
            return suffix[1:] if suffix in (".aac", ".flac") else "mp3"
    if name := _MAGIC.get(head[:4]):
        return name
    if head[4:8] in _MP4_BOXES:
        return "mov"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return "aac" if head[1] & 0xF6 == 0xF0 else "mp3"
    return OF_SUFFIX.get(suffix)


def why_no_sound(head: bytes) -> str | None:
    """What a file is that begins so and can hold no sound: empty, text, zeros."""
    if not head:
        return "the file is empty"
    if not head.strip(b"\0"):
        return "it begins with nothing but zeros"
    if len(head.translate(None, _NOT_IN_TEXT)) < len(head) or not head[:4].isascii():
        return None
    start = head.lstrip()[:64].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "it is a web page"
    if start.startswith(b"version https://git-lfs"):
        return "it is a pointer of git-lfs (`git lfs pull` brings the sound)"
    return "it is text"


@dataclass(frozen=True)
class Samples:
    """Where a file's samples begin, and how many bytes of them its header promises, None when it does not know."""

    start: int
    length: int | None

    def missing(self, size: int) -> int:
        """Bytes that a file of this size lacks; a few at its end don't count."""
        lack = 0 if self.length is None else self.start + self.length - size
        return lack if lack >= _LEAST_MISSING else 0


_LEAST_MISSING = 64


def promised_samples(head: bytes, size: int, read: Read) -> Samples | None:
    """What a header says of uncompressed samples, or of others whose length it tells in bytes; None for the rest."""
    if head[36:40] == b"data" and head[:4] == b"RIFF" and head[12:20] == b"fmt \x10\0\0\0":  # nearly every WAV
        return Samples(44, _known(int.from_bytes(head[40:44], "little")))
    kind = head[:4]
    if kind in (b"RIFF", b"RF64", b"BW64"):
        return _in_riff(head, size, read)
    if kind == b"FORM":
        return next((Samples(at, n) for name, at, n in _chunks(12, ">4sI", 2, size, read) if name == b"SSND"), None)
    if kind == b"caff":
        found = (
            Samples(at, n if n >= 0 else None) for name, at, n in _chunks(8, ">4sq", 1, size, read) if name == b"data"
        )
        return next(found, None)
    if kind == b"riff":
        chunks = _chunks(40, "<16sq", 8, size, read, counts_itself=True)
        return next((Samples(at, n) for name, at, n in chunks if name[:4] == b"data"), None)
    if kind == b".snd" and len(head) >= 12:
        start, length = struct.unpack_from(">II", head, 4)
        return Samples(start, None if length == 0xFFFFFFFF else length)
    return None


def _known(length: int) -> int | None:
    """The length of a WAV's samples, None for what programs put there that write to a pipe."""
    return None if length >= 0xFFFFF000 or 0x7FFFF000 <= length <= 0x80000000 else length


def _in_riff(head: bytes, size: int, read: Read) -> Samples | None:
    long_length: int | None = None
    for name, at, length in _chunks(12, "<4sI", 2, size, read):
        if name == b"ds64" and head[:4] != b"RIFF":
            long_length = int.from_bytes(read(at + 8, 8), "little")
        if name == b"data":
            is_long = long_length is not None and length == 0xFFFFFFFF
            return Samples(at, long_length if is_long else _known(length))
    return None


def _chunks(
    start: int, form: str, padding: int, size: int, read: Read, counts_itself: bool = False
) -> Iterator[tuple[bytes, int, int]]:
    """Name, offset of the content, and length of each chunk in a file."""
    at, header = start, struct.calcsize(form)
    while at + header <= size and len(found := read(at, header)) == header:
        name, length = struct.unpack(form, found)
        length -= header if counts_itself else 0
        yield name, at + header, length
        if length < 0:
            return
        at += header + -(-length // padding) * padding


def mended_header(head: bytes, size: int, samples: Samples | None, read: Read) -> dict[int, bytes]:
    """Bytes, by their offset, with which libsndfile reads all of a WAV whose sizes are not known or have wrapped.

    It reads one to its end that says it was never closed. None for a file that it reads to its end as it is.
    """
    if samples is None or head[:4] not in (b"RIFF", b"RF64", b"BW64"):
        return {}
    rest = size - samples.start
    if head[:4] == b"BW64":
        return {0: b"RF64"}
    if samples.length and rest - samples.length < 1 << 32:  # nearly every WAV
        return {}
    told = int.from_bytes(read(samples.start - 4, 4), "little")
    is_unknown = samples.length is None or (told == 0 and not _ends_in_chunks(samples.start, size, read))
    has_wrapped = samples.length is not None and rest - samples.length >= 1 << 32
    if head[:4] == b"RIFF" and rest > told and (is_unknown or has_wrapped):
        return {4: (8).to_bytes(4, "little"), samples.start - 4: bytes(4)}
    return {}


def _ends_in_chunks(start: int, size: int, read: Read) -> bool:
    """Whether nothing but further chunks follows."""
    end = start
    for name, at, length in _chunks(start, "<4sI", 2, size, read):
        if not name.isalnum() and name != b"fmt ":
            return False
        end = at + length
    return size - 1 <= end <= size + 1


def mp3_promises_length(read: Read) -> bool:
    """Whether an MP3 file has a header with its number of frames."""
    head = read(0, HEAD_BYTES)
    start = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) if head[:3] == b"ID3" and head[9:] else 0
    first = read(start, 512)
    return any(mark in first for mark in (b"Xing", b"Info", b"VBRI"))


_TAIL_BYTES = 1 << 17
_PADDING_BYTES = 1 << 16
_NO_SOUND_BEHIND = (b"TAG", b"APETAGEX", b"LYRICSBEGIN")


def goes_on(container: str, position: int, size: int, read: Read) -> bool:
    """Whether a compressed file seems to hold more than a decoder has read, which came to `position`.

    Joined files do: another stream begins in them. The end is looked through for one, as decoders read ahead.
    """
    if size - position >= 2048:
        behind = read(position, _PADDING_BYTES)
        return bool(behind.strip(b"\0")) and not behind.startswith(_NO_SOUND_BEHIND)
    start = max(1, size - _TAIL_BYTES)
    tail = read(start, size - start) if container in ("ogg", "flac") else b""
    if container == "ogg":
        return b"OggS\0\2" in tail
    return b"fLaC\0\0\0\x22" in tail or b"fLaC\x80\0\0\x22" in tail


def ogg_is_whole(size: int, read: Read) -> bool:
    """Whether an Ogg file ends with a whole page that is marked as the last of its stream."""
    start = max(0, size - _TAIL_BYTES)
    tail = read(start, size - start)
    at = tail.rfind(b"OggS")
    if at < 0 or at + 27 > len(tail):
        return False
    num_segments = tail[at + 26]
    lengths = tail[at + 27 : at + 27 + num_segments]
    is_there = at + 27 + num_segments + sum(lengths) <= len(tail) and len(lengths) == num_segments
    return is_there and bool(tail[at + 5] & 4)


_KBITS_MPEG1 = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    2: (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0),
}
_KBITS_MPEG2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
_RATES = (44100, 48000, 32000, 0)
_LAST_FRAMES_BYTES = 1 << 16
_FRAMES_IN_A_ROW = 4  # less may be chance


def last_frame_is_cut(container: str, size: int, read: Read) -> bool:
    """Whether the last frame of an MP3 or ADTS file promises more bytes than the file has.

    False where its end is something else than frames, such as a tag.
    """
    length_of = _adts_frame if container == "aac" else _mpeg_frame
    start = max(0, size - _LAST_FRAMES_BYTES)
    tail = read(start, size - start)
    first = tail.find(b"\xff")
    while first >= 0:
        at, count = first, 0
        while length := length_of(tail, at):
            at, count = at + length, count + 1
        if count >= _FRAMES_IN_A_ROW:
            return at > len(tail) or (len(tail) - at < 4 and tail[at : at + 1] == b"\xff")
        first = tail.find(b"\xff", first + 1)
    return False


def _mpeg_frame(data: bytes, at: int) -> int:
    """Bytes of the MPEG audio frame, of layer II or III, whose header is at an offset; 0 when there is none."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return 0
    version, layer = data[at + 1] >> 3 & 3, 4 - (data[at + 1] >> 1 & 3)  # version 3: MPEG 1, 2: MPEG 2, 0: 2.5
    if version == 1 or layer not in (2, 3):
        return 0
    kbits = (_KBITS_MPEG1[layer] if version == 3 else _KBITS_MPEG2)[data[at + 2] >> 4]
    rate = _RATES[data[at + 2] >> 2 & 3] >> {3: 0, 2: 1, 0: 2}[version]
    if not kbits or not rate:
        return 0
    slots = 72_000 if layer == 3 and version != 3 else 144_000
    return slots * kbits // rate + (data[at + 2] >> 1 & 1)


def _adts_frame(data: bytes, at: int) -> int:
    """Bytes of the ADTS frame whose header is at an offset; 0 when there is none."""
    if at + 6 > len(data) or data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0:
        return 0
    length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    return length if length >= 7 else 0


WAV_ORDER = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 5, 3, 4),
    7: (0, 2, 1, 6, 5, 3, 4),
    8: (0, 2, 1, 7, 5, 6, 3, 4),
}
"""Which channel of Vorbis and Opus (Vorbis I, section 4.3.9) is which of a WAV with as many."""
