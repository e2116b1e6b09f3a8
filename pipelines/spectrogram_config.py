"""Settings of what is extracted from a segment: the transform, the feature made of it, and what is kept of stereo."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from pipelines.audio_config import RECORD
from pipelines.errors import SettingError, require
from pipelines.settings import check_settings, positive, setting

LOG_SPECTROGRAM, LOG_MEL = "log-spectrogram", "log-mel"
FEATURES = (LOG_SPECTROGRAM, LOG_MEL)
"""What is extracted from a segment; a class of one's own is named `module:Class`."""
LOG_MEL_BANDS = 64
CHANNELS, COHERENCE = STEREO = "channels", "coherence"
"""What a record has of several channels: each by itself, or of two also how they go together."""
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
    stereo: one of STEREO (docs/sound.md).
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
    stereo: str = setting(
        CHANNELS, RECORD, "each channel by itself, or of two also how they go together", choices=STEREO
    )

    def __post_init__(self) -> None:
        check_settings(self)
        object.__setattr__(self, "top_db", float(self.top_db))
        if self.feature == LOG_SPECTROGRAM:
            rule = f"left out with feature={LOG_SPECTROGRAM}, whose rows are bins"
            require(self.n_bands is None, "n_bands", self.n_bands, rule)
        elif self.feature == LOG_MEL and self.n_bands is None:
            object.__setattr__(self, "n_bands", LOG_MEL_BANDS)
        shipped = self.feature in FEATURES or self.stereo == CHANNELS
        require(shipped, "stereo", self.stereo, f"{CHANNELS} with feature={self.feature}")

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
        """The settings as JSON values; those of the feature and of stereo only where they are not the default."""
        values = dataclasses.asdict(self)
        if self.stereo == CHANNELS:
            del values["stereo"]
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
