"""Settings that decide what is in a dataset: frozen, validated, with presets and one fingerprint.

Every field changes the records. What does not (shard size, workers, timeouts) lives in `request.py`. What `setting`
makes is a flag of `audio-vae preprocess` and a key of a file's `preprocess:`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines import splits
from pipelines.audio_config import PAD_MODES as PAD_MODES
from pipelines.audio_config import RECORD as RECORD
from pipelines.audio_config import SEGMENTS as SEGMENTS
from pipelines.audio_config import AudioConfig as AudioConfig
from pipelines.errors import SettingError, require
from pipelines.matching import search
from pipelines.settings import MOST, check_settings, fixed, positive, setting, with_values

DTYPES = ("float16", "float32", "uint8")
TRAIN, VALIDATION, TEST = splits.TRAIN, splits.VALIDATION, splits.TEST
LOG_SPECTROGRAM, LOG_MEL = "log-spectrogram", "log-mel"
FEATURES = (LOG_SPECTROGRAM, LOG_MEL)
"""What is extracted from a segment; a class of one's own is named `module:Class`."""
LOG_MEL_BANDS = 64
_OWN_FEATURE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_allowed_features: set[str] = set()


def _check_frame_size(name: str, value: Any) -> None:
    is_even = isinstance(value, int) and not isinstance(value, bool) and value >= 2 and value % 2 == 0
    require(is_even, name, value, "an even number of samples, at least 2")


def _check_feature(name: str, value: Any) -> None:
    is_known = value in FEATURES or (isinstance(value, str) and bool(_OWN_FEATURE.fullmatch(value)))
    require(is_known, name, value, f"one of {', '.join(FEATURES)}, or module:Class")


@dataclass(frozen=True)
class SpectrogramConfig:
    """Short-time Fourier transform to decibels.

    frame_size: samples in a window (n_fft), even. hop_length: samples between windows. top_db: a segment's values
    lie at most this many dB under its loudest one, as `librosa.amplitude_to_db` has it. feature: what is made of the
    transform, one of FEATURES or `module:Class` (docs/features.md). n_bands: its rows, where they are not the bins.
    """

    frame_size: int = setting(512, RECORD, "STFT window, n_fft", metavar="SAMPLES", check=_check_frame_size)
    hop_length: int = setting(
        256, RECORD, "from one STFT window to the next", metavar="SAMPLES", check=positive("number of samples", int)
    )
    top_db: float = setting(80.0, RECORD, "floor under the loudest cell", metavar="DB", check=positive("number of dB"))
    feature: str = setting(
        LOG_SPECTROGRAM,
        RECORD,
        f"{', '.join(FEATURES)}, or module:Class of your own, which is then imported",
        metavar="FEATURE",
        check=_check_feature,
    )
    n_bands: int | None = setting(
        None,
        RECORD,
        "rows of the feature, where they are not the bins of the transform",
        unset=f"{LOG_MEL_BANDS} of log-mel",
        check=positive("number of rows", int),
    )

    def __post_init__(self) -> None:
        check_settings(self)
        object.__setattr__(self, "top_db", float(self.top_db))
        if self.feature == LOG_SPECTROGRAM:
            rule = f"left out with feature={LOG_SPECTROGRAM}, whose rows are bins"
            require(self.n_bands is None, "n_bands", self.n_bands, rule)
        elif self.feature == LOG_MEL and self.n_bands is None:
            object.__setattr__(self, "n_bands", LOG_MEL_BANDS)

    @property
    def n_bins(self) -> int:
        """Frequency bins of the transform that are kept: frame_size / 2, the Nyquist bin dropped."""
        return self.frame_size // 2

    @property
    def n_rows(self) -> int:
        """Rows of the feature: the bins, or its bands. SettingError where a class of one's own has not said it yet."""
        if self.feature == LOG_SPECTROGRAM:
            return self.n_bins
        require(self.n_bands is not None, "n_bands", None, f"given with feature={self.feature}")
        assert self.n_bands is not None
        return self.n_bands

    def n_frames(self, n_samples: int) -> int:
        """Frames of a waveform of n_samples, windows centred on multiples of hop_length."""
        return 1 + n_samples // self.hop_length

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values; those of the feature only where it is not the log-spectrogram."""
        values = dataclasses.asdict(self)
        if self.feature == LOG_SPECTROGRAM:
            del values["feature"], values["n_bands"]
        return values


def allow_feature(name: str) -> None:
    """Let a feature `module:Class` be imported in this process, as a user asks for it by name.

    A dataset or a model that names one never makes anything be imported by itself. SettingError when it is no feature.
    """
    SpectrogramConfig(feature=name)
    _allowed_features.add(name)


def check_feature_allowed(name: str) -> None:
    """SettingError, with the flag to give, for code that a dataset or model names and nobody here has asked for."""
    if name not in FEATURES and name not in _allowed_features:
        raise SettingError(
            f"feature={name} is code that would be imported; where you trust it, give --feature {name} "
            "(in Python: pipelines.config.allow_feature)"
        )


@dataclass(frozen=True)
class DatasetConfig:
    """All settings that change a dataset.

    dtype: how a record stores the array. split: fraction of files for each split but train, which gets the rest; kept
    in alphabetical order, so that the order in which they are given does not move a file.
    split_pattern: (split, regular expression) pairs searched in the relative path, first match wins, before `split`.
    label_pattern: regular expression whose named groups, searched in the relative path, become labels.
    """

    audio: AudioConfig = fixed(AudioConfig())
    spectrogram: SpectrogramConfig = fixed(SpectrogramConfig())
    dtype: str = setting("float16", RECORD, "how a record stores its array", choices=DTYPES)
    split: tuple[tuple[str, float], ...] = setting(
        (("validation", 0.1),),
        RECORD,
        "fractions of the files, the rest is train; or none",
        metavar="NAME=FRACTION,…",
        spelling=splits.SPLIT,
        check=splits.check_split,
    )
    split_pattern: tuple[tuple[str, str], ...] = setting(
        (),
        RECORD,
        "files whose relative path matches go to this split; may be repeated",
        metavar="NAME=REGEX",
        spelling=splits.SPLIT_PATTERN,
        check=splits.check_split_pattern,
    )
    label_pattern: str | None = setting(
        None,
        RECORD,
        "named groups in the relative path are labels",
        metavar="REGEX",
        unset="no labels",
        check=splits.check_label_pattern,
    )

    def __post_init__(self) -> None:
        check_settings(self)
        rows = self.spectrogram.n_bands or self.spectrogram.n_bins  # a class of one's own may not have said it yet
        shape = rows, self.spectrogram.n_frames(self.audio.segment_samples), self.audio.channels
        require(4 * math.prod(shape) < MOST, "the shape of a record", shape, "of at most 2 GiB of float32")
        object.__setattr__(self, "split", tuple(sorted((name, float(fraction)) for name, fraction in self.split)))

    @property
    def parts(self) -> tuple[AudioConfig, SpectrogramConfig, DatasetConfig]:
        """The three that settings are fields of."""
        return self.audio, self.spectrogram, self

    def replaced(self, values: Mapping[str, Any], where: str = "") -> DatasetConfig:
        """With settings by their names replaced, as of `with_values`."""
        audio, spectrogram, own = with_values(self.parts, values, where)
        return dataclasses.replace(own, audio=audio, spectrogram=spectrogram)

    @property
    def record_shape(self) -> tuple[int, int, int]:
        """(n_bins, n_frames, n_channels) of every record."""
        frames = self.spectrogram.n_frames(self.audio.segment_samples)
        return self.spectrogram.n_rows, frames, self.audio.channels

    @property
    def label_names(self) -> tuple[str, ...]:
        """The named groups of label_pattern, in the order of the expression."""
        return () if self.label_pattern is None else tuple(re.compile(self.label_pattern).groupindex)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values."""
        values = dataclasses.asdict(self)
        values |= {"audio": self.audio.to_dict(), "spectrogram": self.spectrogram.to_dict()}
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
        mine, theirs = (
            _flatten(config.to_dict() | {part: vars(getattr(config, part)) for part in ("audio", "spectrogram")})
            for config in (self, other)
        )
        return [f"{name}: {mine[name]!r} != {theirs[name]!r}" for name in mine if mine[name] != theirs[name]]


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
    if name := pattern_split(source, config):
        return name
    position = int.from_bytes(hashlib.sha256(source.encode()).digest()[:8], "big") / 2.0**64
    for name, fraction in config.split:
        if position < fraction:
            return name
        position -= fraction
    return TRAIN


def pattern_split(source: str, config: DatasetConfig) -> str | None:
    """The split that `split_pattern` says for a source, None where no pattern matches."""
    patterns = ((name, re.compile(pattern)) for name, pattern in config.split_pattern)
    return next((name for name, pattern in patterns if search("split_pattern", pattern, source)), None)
