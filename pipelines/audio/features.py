"""What is extracted from a segment: the log-spectrogram, the log-mel spectrogram, or what one's own class gives."""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
import warnings
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.audio.spectrogram import MIN_POWER, LogSpectrogramExtractor
from pipelines.audio.stereo import StereoExtractor
from pipelines.config import (
    COHERENCE,
    FEATURES,
    LOG_MEL,
    AudioConfig,
    DatasetConfig,
    SpectrogramConfig,
    check_feature_allowed,
)
from pipelines.errors import SettingError, require
from pipelines.signals import import_whole

NNLS_STEPS = 100
"""Steps of the least squares: the bands are then met within a tenth of a decibel."""


class Extractor(Protocol):
    """What turns segments into records.

    hop_length: samples from a frame to the next. `extract` takes float32 (segment_samples, n_channels) at full scale ±1
    and gives float32 (n_rows, 1 + segment_samples // hop_length, n_channels), of a StereoExtractor one channel more.
    """

    hop_length: int

    def extract(self, segment: NDArray[np.float32], /) -> NDArray[np.float32]: ...

    def invert(self, array: NDArray[np.float32], /) -> NDArray[np.float32]: ...


class LogMelExtractor(LogSpectrogramExtractor):
    """Log-mel spectrogram of a waveform.

    Equal to `librosa.power_to_db(librosa.feature.melspectrogram(y=waveform, sr=sample_rate, n_fft=frame_size,
    hop_length=hop_length, n_mels=n_bands))`: librosa's filters on the Slaney scale over the power of the transform.
    """

    def __init__(self, sample_rate: int, frame_size: int, hop_length: int, n_bands: int, top_db: float = 80.0) -> None:
        super().__init__(frame_size, hop_length, top_db)
        self.filters = mel_filters(sample_rate, frame_size, n_bands)

    @property
    def n_rows(self) -> int:
        """The bands."""
        return len(self.filters)

    def _rows(self, power: NDArray[np.float32]) -> NDArray[np.float32]:
        # Not a matrix product: what BLAS makes of one may differ in the last bit from machine to machine.
        return np.einsum("fb,mb->fm", power.astype(np.float64), self.filters).astype(np.float32)

    def spread(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the bands say, (n_bands, ...), for each bin, (n_bins, ...): the mean of its bands, or of the nearest."""
        from scipy.sparse import csr_array

        weights = self.filters.T.copy()
        without = ~weights.any(axis=1)
        weights[without, 0] = 1  # below the lowest band
        means = csr_array(weights / weights.sum(axis=1, keepdims=True))
        return np.asarray(means @ values.reshape(len(values), -1), np.float32).reshape(-1, *values.shape[1:])

    def invert(self, log_spectrogram: NDArray[np.float32]) -> NDArray[np.float32]:
        """The log-spectrogram in dB, (n_bins, n_frames, n_channels), of a log-mel spectrogram (n_bands, …) in dB.

        Of the many powers that have these bands, those of non-negative least squares: found by multiplicative steps
        (Lee and Seung 2001, Algorithms for non-negative matrix factorization, theorem 1, with the filters fixed) from
        each band's own spread over its bins. Each error counts in parts of its band, as in decibels, so that quiet
        bands are met as well as loud ones. Frame by frame: what a frame becomes does not depend on the others.
        """
        from scipy.sparse import csr_array  # a bin is in two bands at most: a tenth of the time of what is mostly zeros

        rows, *rest = log_spectrogram.shape
        bands = np.power(10.0, log_spectrogram.reshape(rows, -1).astype(np.float64) / 10)
        weights = self.filters / np.maximum(self.filters.sum(axis=0), np.finfo(float).tiny)
        power = csr_array(weights.T) @ (bands / self.filters.sum(axis=1, keepdims=True))
        to_bands, to_bins = csr_array(self.filters), csr_array(self.filters.T)
        wanted, in_parts = to_bins @ (1 / bands), 1 / bands**2
        for _ in range(NNLS_STEPS):
            found = to_bins @ ((to_bands @ power) * in_parts)
            np.divide(wanted, np.maximum(found, np.finfo(float).tiny, out=found), out=found)
            power *= found
        decibels = 10 * np.log10(np.maximum(power, MIN_POWER))
        return decibels.astype(np.float32).reshape(-1, *rest)


def mel_filters(sample_rate: int, frame_size: int, n_bands: int) -> NDArray[np.float64]:
    """librosa's mel filters without the Nyquist bin, (n_bands, n_bins). SettingError when a band has no bin."""
    import_whole("librosa.filters")  # its start costs a second
    from librosa.filters import mel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of empty bands: said below
        filters = mel(sr=sample_rate, n_fft=frame_size, n_mels=n_bands, dtype=np.float64)[:, :-1]
    empty = np.flatnonzero(~filters.any(axis=1))
    rule = f"fewer, or frame_size={frame_size} larger: there is no bin in band {empty[0] if len(empty) else 0}"
    require(len(empty) == 0, "n_bands", n_bands, rule)
    return np.asarray(filters)


class OwnExtractor:
    """A class of the user's own, as `Extractor` has it: made as `Class(audio, spectrogram)`, with the settings.

    It has `shape`, (n_rows, n_frames, n_channels), `extract(segment)` that gives an array of this shape, and may have
    `invert(array)` that gives the log-spectrogram of the settings in dB, (n_bins, n_frames, n_channels).
    """

    def __init__(self, audio: AudioConfig, spectrogram: SpectrogramConfig) -> None:
        self.name = spectrogram.feature
        self.hop_length = spectrogram.hop_length
        self._own = _imported(self.name)(audio, spectrogram)
        for needed in ("extract", "shape"):
            require(hasattr(self._own, needed), "feature", self.name, f"a class that has {needed}")
        self.shape = tuple(int(size) for size in self._own.shape)
        frames, channels = spectrogram.n_frames(audio.segment_samples), audio.channels
        fits = len(self.shape) == 3 and self.shape[0] > 0 and self.shape[1:] == (frames, channels)
        rule = (
            f"a class with the shape (rows, {frames}, {channels}), a column each hop_length samples, not {self.shape}"
        )
        require(fits, "feature", self.name, rule)
        rows = spectrogram.n_bands
        require(rows in (None, self.shape[0]), "n_bands", rows, f"{self.shape[0]}, the rows of feature={self.name}")

    def extract(self, segment: NDArray[np.float32], /) -> NDArray[np.float32]:
        """What the class makes of a segment. ValueError when it has not the shape that the class says."""
        array = np.asarray(self._own.extract(segment), np.float32)
        if array.shape != self.shape:
            raise ValueError(f"feature={self.name} gave an array of shape {array.shape}, {self.shape} is its own")
        return array

    def invert(self, array: NDArray[np.float32], /) -> NDArray[np.float32]:
        """The log-spectrogram in dB of what was extracted. SettingError when the class has no way back."""
        self.require_inverse()
        return np.asarray(self._own.invert(array), np.float32)

    def require_inverse(self) -> None:
        """SettingError when the class has no way back to sound."""
        require(hasattr(self._own, "invert"), "feature", self.name, "a class that has invert, for sound to come back")


def _imported(name: str) -> Any:
    """The class `module:Class`, of an installed module or one in the working folder. SettingError if there is none."""
    check_feature_allowed(name)
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingError(f"feature={name} must be a class that can be imported: {error}") from error


def extractor_of(audio: AudioConfig, spectrogram: SpectrogramConfig) -> Any:
    """The Extractor that these settings ask for. SettingError when it is code that nobody here has asked for."""
    size, hop, top_db = spectrogram.frame_size, spectrogram.hop_length, spectrogram.top_db
    if spectrogram.feature not in FEATURES:
        return OwnExtractor(audio, spectrogram)
    extractor = LogSpectrogramExtractor(size, hop, top_db)
    if spectrogram.feature == LOG_MEL:
        extractor = LogMelExtractor(audio.sample_rate, size, hop, spectrogram.n_rows, top_db)
    return StereoExtractor(extractor) if spectrogram.stereo == COHERENCE else extractor


def require_sound(audio: AudioConfig, spectrogram: SpectrogramConfig) -> None:
    """SettingError where no sound can be made of records of these settings: before what takes long and needs it."""
    if spectrogram.feature not in FEATURES:
        OwnExtractor(audio, spectrogram).require_inverse()


def has_sound(audio: AudioConfig, spectrogram: SpectrogramConfig) -> bool:
    """Whether `require_sound` would be content: imports nothing that nobody has asked for."""
    try:
        require_sound(audio, spectrogram)
    except SettingError:
        return False
    return True


def settled(config: DatasetConfig) -> DatasetConfig:
    """The settings with the rows of the feature in them. SettingError when it can't be made with them."""
    extractor = extractor_of(config.audio, config.spectrogram)
    if config.spectrogram.feature in FEATURES:
        return config
    spectrogram = dataclasses.replace(config.spectrogram, n_bands=extractor.shape[0])
    return dataclasses.replace(config, spectrogram=spectrogram)
