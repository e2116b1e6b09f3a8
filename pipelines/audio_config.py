"""Settings of the way from a file to segments of waveform, and of which segments become records."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from pipelines.errors import require
from pipelines.settings import MOST, check_settings, one_of, positive, setting

RECORD = "what a record is (fixed when the dataset is made)"
"""The group of `audio-vae preprocess --help` with these settings."""
_PAD_MODES = "constant edge linear_ramp maximum mean median minimum reflect symmetric wrap"
PAD_MODES = tuple(_PAD_MODES.split())
"""numpy's pad modes but `empty`, whose values are not defined and so would differ from run to run."""
SEGMENTS = ("all", "first")
_CHOOSING = ("min_level_db", "one_shot_db")
"""What decides which segments are left out."""


def _check_level(name: str, value: Any) -> None:
    is_level = isinstance(value, (int, float)) and not isinstance(value, bool) and -200 <= value < 0
    require(is_level, name, value, "a level in dB of full scale, below 0 and not below -200")


@dataclass(frozen=True)
class AudioConfig:
    """From a file to segments of waveform.

    sample_rate: Hz. channels: 1 mixes to mono; n > 1 keeps n channels. segment_seconds: length of a segment.
    segment_hop_seconds: start of one segment to the start of the next; None means segment_seconds (no overlap).
    segments: "all" of the file, or only the "first". pad_mode: how numpy pads the last segment. min_level_db: segments
    without a sample so loud are left out. one_shot_db: of a file of at most two segments the rest is left out when it
    is so much quieter than the first: the fade of a hit.
    """

    sample_rate: int = setting(
        22050, RECORD, "sounds are resampled to it", metavar="HZ", check=positive("number of Hz", int)
    )
    channels: int = setting(1, RECORD, "1 mixes to mono, more are kept", check=positive("number of channels", int))
    segments: str = setting("all", RECORD, "cut whole files, or take the first segment only", choices=SEGMENTS)
    segment_seconds: float = setting(
        0.74, RECORD, "length of a segment", metavar="S", check=positive("number of seconds")
    )
    segment_hop_seconds: float | None = setting(
        None,
        RECORD,
        "from the start of a segment to the start of the next",
        metavar="S",
        unset="segment_seconds, so that none overlap",
        check=positive("number of seconds"),
    )
    pad_mode: str = setting(
        "constant",
        RECORD,
        f"how the last segment is filled up, one of {', '.join(PAD_MODES)}",
        metavar="MODE",
        check=one_of(PAD_MODES),
    )
    min_level_db: float | None = setting(
        None,
        RECORD,
        "leave out segments of which no sample is so loud, in dB of full scale, such as -60",
        metavar="DB",
        unset="none are",
        check=_check_level,
    )
    one_shot_db: float | None = setting(
        None,
        RECORD,
        "leave out what follows the first segment of a file of at most two, where it is so many dB quieter",
        metavar="DB",
        unset="it is not",
        check=positive("number of dB"),
    )

    def __post_init__(self) -> None:
        check_settings(self)
        seconds, hop = self.segment_seconds, self.segment_hop_seconds
        longest = MOST / self.sample_rate
        require(seconds < longest, "segment_seconds", seconds, f"below {longest:g} s at {self.sample_rate} Hz")
        require(self.segment_samples >= 1, "segment_seconds", seconds, f"at least one sample at {self.sample_rate} Hz")
        if hop is not None:
            require(hop <= seconds, "segment_hop_seconds", hop, f"at most segment_seconds={seconds}")
            require(self.segment_hop_samples >= 1, "segment_hop_seconds", hop, "at least one sample")
            object.__setattr__(self, "segment_hop_seconds", float(hop))
        object.__setattr__(self, "segment_seconds", float(seconds))
        for name in _CHOOSING:
            if (decibels := getattr(self, name)) is not None:
                object.__setattr__(self, name, float(decibels))

    @property
    def leaves_out(self) -> bool:
        """Whether there may be segments of a file that become no records."""
        return any(getattr(self, name) is not None for name in _CHOOSING)

    @property
    def of_every_segment(self) -> AudioConfig:
        """The same without leaving any out."""
        return dataclasses.replace(self, min_level_db=None, one_shot_db=None)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values; what leaves segments out only where it does."""
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if name not in _CHOOSING or value is not None}

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
