"""Settings that decide what is in a dataset: frozen, validated, with presets and one fingerprint.

Every field changes the records. What does not (shard size, workers, timeouts) lives with the command's options.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
import sys
from dataclasses import dataclass, field
from typing import Any

from pipelines.errors import SettingError, require, shortened

PAD_MODES = (
    "constant",
    "edge",
    "linear_ramp",
    "maximum",
    "mean",
    "median",
    "minimum",
    "reflect",
    "symmetric",
    "wrap",
)
"""numpy's pad modes but `empty`, whose values are not defined and so would differ from run to run."""
SEGMENTS = ("all", "first")
DTYPES = ("float16", "float32", "uint8")
TRAIN, VALIDATION, TEST = "train", "validation", "test"
"""Splits that mean something: train gets what no other does, and models are measured on test, else validation."""
_SPLIT_NAME = re.compile(r"[a-z][a-z0-9_]*")


_MOST = 2**31
"""Above every number of samples, bytes or Hz that a record can be of."""


def _is_number(value: Any) -> bool:
    is_one = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_one and -sys.float_info.max <= value <= sys.float_info.max  # an integer may be beyond every float


def _is_positive_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _MOST


@dataclass(frozen=True)
class AudioConfig:
    """From a file to segments of waveform.

    sample_rate: Hz. channels: 1 mixes to mono; n > 1 keeps n channels. segment_seconds: length of a segment.
    segment_hop_seconds: start of one segment to the start of the next; None means segment_seconds (no overlap).
    segments: "all" of the file, or only the "first". pad_mode: how numpy pads the last segment.
    """

    sample_rate: int = 22050
    channels: int = 1
    segments: str = "all"
    segment_seconds: float = 0.74
    segment_hop_seconds: float | None = None
    pad_mode: str = "constant"

    def __post_init__(self) -> None:
        require(_is_positive_int(self.sample_rate), "sample_rate", self.sample_rate, "a positive number of Hz")
        require(_is_positive_int(self.channels), "channels", self.channels, "a positive number of channels")
        require(self.segments in SEGMENTS, "segments", self.segments, f"one of {', '.join(SEGMENTS)}")
        require(self.pad_mode in PAD_MODES, "pad_mode", self.pad_mode, f"one of {', '.join(PAD_MODES)}")
        seconds = self.segment_seconds
        require(_is_number(seconds) and seconds > 0, "segment_seconds", seconds, "a positive number of seconds")
        longest = _MOST / self.sample_rate
        require(seconds < longest, "segment_seconds", seconds, f"below {longest:g} s at {self.sample_rate} Hz")
        require(self.segment_samples >= 1, "segment_seconds", seconds, f"at least one sample at {self.sample_rate} Hz")
        hop = self.segment_hop_seconds
        if hop is not None:
            require(_is_number(hop) and hop > 0, "segment_hop_seconds", hop, "a positive number of seconds")
            require(hop <= seconds, "segment_hop_seconds", hop, f"at most segment_seconds={seconds}")
            require(self.segment_hop_samples >= 1, "segment_hop_seconds", hop, "at least one sample")
            object.__setattr__(self, "segment_hop_seconds", float(hop))
        object.__setattr__(self, "segment_seconds", float(seconds))

    @property
    def segment_samples(self) -> int:
        """Samples in a segment: int(segment_seconds * sample_rate)."""
        return int(self.segment_seconds * self.sample_rate)

    @property
    def segment_hop_samples(self) -> int:
        """Samples from the start of one segment to the start of the next."""
        if self.segment_hop_seconds is None:
            return self.segment_samples
        return int(self.segment_hop_seconds * self.sample_rate)


@dataclass(frozen=True)
class SpectrogramConfig:
    """Short-time Fourier transform to decibels.

    frame_size: samples in a window (n_fft), even. hop_length: samples between windows. top_db: a segment's values
    lie at most this many dB under its loudest one, as `librosa.amplitude_to_db` has it.
    """

    frame_size: int = 512
    hop_length: int = 256
    top_db: float = 80.0

    def __post_init__(self) -> None:
        size = self.frame_size
        require(
            _is_positive_int(size) and size >= 2 and size % 2 == 0,
            "frame_size",
            size,
            "an even number of samples, at least 2",
        )
        require(_is_positive_int(self.hop_length), "hop_length", self.hop_length, "a positive number of samples")
        require(_is_number(self.top_db) and self.top_db > 0, "top_db", self.top_db, "a positive number of dB")
        object.__setattr__(self, "top_db", float(self.top_db))

    @property
    def n_bins(self) -> int:
        """Frequency bins kept: frame_size / 2, the Nyquist bin dropped."""
        return self.frame_size // 2

    def n_frames(self, n_samples: int) -> int:
        """Frames of a waveform of n_samples, windows centred on multiples of hop_length."""
        return 1 + n_samples // self.hop_length


@dataclass(frozen=True)
class DatasetConfig:
    """All settings that change a dataset.

    dtype: how a record stores the array. split: fraction of files for each split but train, which gets the rest; kept
    in alphabetical order, so that the order in which they are given does not move a file.
    split_pattern: (split, regular expression) pairs searched in the relative path, first match wins, before `split`.
    label_pattern: regular expression whose named groups, searched in the relative path, become labels.
    """

    audio: AudioConfig = field(default_factory=AudioConfig)
    spectrogram: SpectrogramConfig = field(default_factory=SpectrogramConfig)
    dtype: str = "float16"
    split: tuple[tuple[str, float], ...] = (("validation", 0.1),)
    split_pattern: tuple[tuple[str, str], ...] = ()
    label_pattern: str | None = None

    def __post_init__(self) -> None:
        require(self.dtype in DTYPES, "dtype", self.dtype, f"one of {', '.join(DTYPES)}")
        shape = self.record_shape
        require(4 * math.prod(shape) < _MOST, "the shape of a record", shape, "of at most 2 GiB of float32")
        for name, fraction in self.split:
            require(bool(_SPLIT_NAME.fullmatch(name)), "split", name, "named in lower-case letters, digits and _")
            require(name != TRAIN, "split", name, "another split than train, which gets the rest")
            require(_is_number(fraction) and 0 < fraction < 1, f"split {name}", fraction, "a fraction between 0 and 1")
        names = [name for name, _ in self.split]
        require(len(set(names)) == len(names), "split", ",".join(names), "a list of different splits")
        total = sum(fraction for _, fraction in self.split)
        require(total < 1, "split", dict(self.split), "fractions with a sum below 1")
        object.__setattr__(self, "split", tuple(sorted((name, float(fraction)) for name, fraction in self.split)))
        for name, pattern in self.split_pattern:
            require(bool(_SPLIT_NAME.fullmatch(name)), "split_pattern", name, "a split in lower-case letters")
            _compile("split_pattern", pattern)
        if self.label_pattern is not None:
            require(isinstance(self.label_pattern, str), "label_pattern", self.label_pattern, "a regular expression")
            groups = _compile("label_pattern", self.label_pattern).groupindex
            require(bool(groups), "label_pattern", self.label_pattern, "an expression with named groups (?P<name>…)")

    @property
    def record_shape(self) -> tuple[int, int, int]:
        """(n_bins, n_frames, n_channels) of every record."""
        frames = self.spectrogram.n_frames(self.audio.segment_samples)
        return self.spectrogram.n_bins, frames, self.audio.channels

    @property
    def label_names(self) -> tuple[str, ...]:
        """The named groups of label_pattern, in the order of the expression."""
        return () if self.label_pattern is None else tuple(re.compile(self.label_pattern).groupindex)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values."""
        values = dataclasses.asdict(self)
        values["split"] = dict(self.split)
        values["split_pattern"] = [list(pair) for pair in self.split_pattern]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DatasetConfig:
        """The inverse of `to_dict`; SettingError on an unknown key."""
        values = dict(values)
        audio = _from_dict(AudioConfig, "audio", values.pop("audio", {}))
        spectrogram = _from_dict(SpectrogramConfig, "spectrogram", values.pop("spectrogram", {}))
        if "split" in values:
            values["split"] = tuple((name, fraction) for name, fraction in values["split"].items())
        if "split_pattern" in values:
            values["split_pattern"] = tuple((name, pattern) for name, pattern in values["split_pattern"])
        return _from_dict(cls, "config", values | {"audio": audio, "spectrogram": spectrogram})

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the settings as canonical JSON, in hexadecimal."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def differences(self, other: DatasetConfig) -> list[str]:
        """`name: this value != other value` for each setting in which the two differ."""
        mine, theirs = _flatten(self.to_dict()), _flatten(other.to_dict())
        return [f"{name}: {mine[name]!r} != {theirs[name]!r}" for name in mine if mine[name] != theirs[name]]


def _compile(name: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise SettingError(f"{name}={shortened(pattern)} must be a regular expression: {error}") from error


def _from_dict(cls: Any, name: str, values: dict[str, Any]) -> Any:
    known = {f.name for f in dataclasses.fields(cls)}
    for key in values:
        require(key in known, f"{name} setting", key, f"one of {', '.join(sorted(known))}")
    return cls(**values)


def _flatten(values: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat.update(value if key in ("audio", "spectrogram") else {key: value})
    return flat


PRESETS: dict[str, DatasetConfig] = {
    "default": DatasetConfig(),
    "course": DatasetConfig(audio=AudioConfig(segments="first"), dtype="float32"),
    "speech": DatasetConfig(
        audio=AudioConfig(sample_rate=8000),
        spectrogram=SpectrogramConfig(frame_size=512, hop_length=93),
    ),
    "tiny": DatasetConfig(
        audio=AudioConfig(sample_rate=16000, segment_seconds=1.02),
        split=(("validation", 0.1), ("test", 0.1)),
    ),
}
"""Named settings. `course` is the reference: 22,050 Hz, the first 0.74 s, frame 512, hop 256, 256 x 64 x 1, float32."""


def split_of(source: str, config: DatasetConfig) -> str:
    """The split of a source, from its relative path alone: the first pattern that matches, else a stable hash."""
    for name, pattern in config.split_pattern:
        if re.search(pattern, source):
            return name
    position = int.from_bytes(hashlib.sha256(source.encode()).digest()[:8], "big") / 2.0**64
    for name, fraction in config.split:
        if position < fraction:
            return name
        position -= fraction
    return TRAIN
