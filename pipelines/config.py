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
from pipelines.errors import require
from pipelines.matching import search
from pipelines.settings import MOST, check_settings, fixed, setting, with_values
from pipelines.spectrogram_config import CHANNELS as CHANNELS
from pipelines.spectrogram_config import COHERENCE as COHERENCE
from pipelines.spectrogram_config import FEATURES as FEATURES
from pipelines.spectrogram_config import LOG_MEL as LOG_MEL
from pipelines.spectrogram_config import LOG_SPECTROGRAM as LOG_SPECTROGRAM
from pipelines.spectrogram_config import SpectrogramConfig as SpectrogramConfig
from pipelines.spectrogram_config import allow_feature as allow_feature
from pipelines.spectrogram_config import check_feature_allowed as check_feature_allowed

DTYPES = ("float16", "float32", "uint8")
TRAIN, VALIDATION, TEST = splits.TRAIN, splits.VALIDATION, splits.TEST


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
        channels, stereo = self.audio.channels, self.spectrogram.stereo
        require(stereo != COHERENCE or channels == 2, "channels", channels, f"2 with stereo={COHERENCE}")
        rows = self.spectrogram.n_bands or self.spectrogram.n_bins  # a class of one's own may not have said it yet
        shape = rows, self.spectrogram.n_frames(self.audio.segment_samples), self.n_channels
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
        return self.spectrogram.n_rows, frames, self.n_channels

    @property
    def n_channels(self) -> int:
        """Channels of a record: those of the sound, and what the settings keep of how they go together."""
        return self.audio.channels + (self.spectrogram.stereo == COHERENCE)

    @property
    def level_channels(self) -> int:
        """The first channels of a record, which hold levels in dB; what comes after them holds none."""
        return self.audio.channels if self.spectrogram.stereo == COHERENCE else self.record_shape[2]

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
    "music": DatasetConfig(
        audio=AudioConfig(44100, channels=2, segment_seconds=1.505, min_level_db=-50.0, one_shot_db=20.0),
        spectrogram=SpectrogramConfig(768, 260, feature=LOG_MEL, n_bands=96, stereo=COHERENCE),
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
