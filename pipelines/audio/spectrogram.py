"""Waveform to log-spectrogram in decibels and to [0, 1], each with its inverse."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.config import SpectrogramConfig
from pipelines.course_names import also_called
from pipelines.errors import require

MIN_POWER = 1e-10
"""Power that counts as silence: −100 dB, the square of librosa's `amin` of 1e-5."""
_FRAMES_AT_ONCE = 4096  # bounds the memory of one transform however long the waveform


class LogSpectrogramExtractor:
    """Log-spectrogram of a waveform.

    Equal to `librosa.amplitude_to_db(abs(librosa.stft(waveform, n_fft=frame_size, hop_length=hop_length))[:-1])`:
    periodic Hann window, frames centred on multiples of hop_length with zeros beyond the ends, the Nyquist bin dropped,
    20·log10 of the amplitude, nothing lower than `top_db` under the loudest cell.

    >>> import numpy as np
    >>> sine = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)
    >>> log_spectrogram = LogSpectrogramExtractor(frame_size=512, hop_length=256).extract(sine)
    >>> log_spectrogram.shape, int(log_spectrogram[:, 30].argmax())  # bin 32 is 1,000 Hz
    ((256, 63), 32)
    """

    def __init__(self, frame_size: int, hop_length: int, top_db: float = 80.0) -> None:
        self.config = SpectrogramConfig(frame_size, hop_length, top_db)
        self.frame_size = frame_size
        self.hop_length = hop_length
        self.top_db = top_db
        # As scipy.signal.get_window("hann", frame_size), to the bit; importing scipy.signal costs half a second.
        self._window = 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, frame_size + 1))[:-1]

    @also_called(signal="waveform")
    def extract(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the log-spectrogram in dB of a waveform at full scale ±1.

        waveform: float32 (n_samples,) or (n_samples, n_channels), at least one sample.
        Returns float32 (n_bins, n_frames) or (n_bins, n_frames, n_channels). The floor is common to all channels.
        """
        waveform = np.asarray(waveform, dtype=np.float32)
        require(waveform.ndim in (1, 2), "waveform.shape", waveform.shape, "(n_samples,) or (n_samples, n_channels)")
        require(waveform.size > 0, "waveform.shape", waveform.shape, "at least one sample")
        columns = waveform.reshape(len(waveform), -1)
        n_frames = self.config.n_frames(len(columns))
        n_sounding = min(n_frames, self._frames_before_silence(columns))
        channels = [self._decibels(columns[:, channel], n_sounding) for channel in range(columns.shape[1])]
        (silence,) = _to_decibels(np.zeros(1, dtype=np.float32))
        floor = max(array.max(initial=silence) for array in channels) - np.float32(self.top_db)
        extracted = np.empty((self.n_rows, n_frames, len(channels)), dtype=np.float32)
        for channel, array in enumerate(channels):
            extracted[:, :n_sounding, channel] = np.maximum(array, floor, out=array).T
        extracted[:, n_sounding:] = max(silence, floor)
        return extracted if waveform.ndim == 2 else extracted[..., 0]

    @property
    def n_rows(self) -> int:
        """Rows of what is extracted."""
        return self.config.n_bins

    def invert(self, log_spectrogram: NDArray[np.float32]) -> NDArray[np.float32]:
        """The log-spectrogram in dB, (n_bins, n_frames, ...), whose phases are then estimated: itself."""
        return log_spectrogram

    def spread(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the rows say, (n_rows, ...), for each bin, (n_bins, ...): the same."""
        return values

    def _rows(self, power: NDArray[np.float32]) -> NDArray[np.float32]:
        """Power (n_frames, n_bins) to that of the rows (n_frames, n_rows)."""
        return power

    def _frames_before_silence(self, columns: NDArray[np.float32]) -> int:
        """Number of the first frame that, like all behind it, has only zeros: padding needs no transform."""
        last = (columns != 0).tobytes().rfind(1) // columns.shape[1]
        return 0 if last < 0 else (last + self.frame_size // 2) // self.hop_length + 1

    def _decibels(self, channel: NDArray[np.float32], n_frames: int) -> NDArray[np.float32]:
        """The first n_frames, without a floor but MIN_POWER, float32 (n_frames, n_rows).

        The transform is done in double precision: in single, its rounding error alone moves a cell 80 dB under the
        loudest one by a hundredth of a decibel.
        """
        half = self.frame_size // 2
        padded = np.zeros(len(channel) + self.frame_size, dtype=np.float32)
        padded[half : half + len(channel)] = channel
        strides = (padded.itemsize * self.hop_length, padded.itemsize)
        frames = np.ndarray((n_frames, self.frame_size), np.float32, padded, strides=strides)  # overlapping views
        power = np.empty((len(frames), half), dtype=np.float32)
        for start in range(0, len(frames), _FRAMES_AT_ONCE):
            spectrum = np.fft.rfft(frames[start : start + _FRAMES_AT_ONCE] * self._window)[:, :half]
            squares = spectrum.real**2
            squares += spectrum.imag**2
            power[start : start + len(spectrum)] = squares
        return _to_decibels(self._rows(power))


def _to_decibels(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """10·log10 of at least MIN_POWER, in place."""
    np.maximum(power, np.float32(MIN_POWER), out=power)
    np.log10(power, out=power)
    power *= np.float32(10.0)
    return power


class MinMaxNormaliser:
    """Linear map of an array's own range to [min, max], and back.

    >>> normaliser = MinMaxNormaliser(0, 1)
    >>> normaliser.normalise([-80, -60, 0]).tolist()
    [0.0, 0.25, 1.0]
    >>> normaliser.denormalise([0.0, 0.25, 1.0], -80, 0).tolist()
    [-80.0, -60.0, 0.0]
    """

    @also_called(min_val="min", max_val="max")
    def __init__(self, min: float = 0.0, max: float = 1.0) -> None:
        require(max > min, "max", max, f"above min={min}")
        self.min = min
        self.max = max

    def normalise(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """Map array.min() to `min` and array.max() to `max`. A constant array becomes `min` everywhere."""
        array = np.asarray(array, dtype=np.float32)
        low, high = array.min(), array.max()
        if low == high:
            return np.full_like(array, self.min)
        scaled = array - low
        scaled /= high - low
        if (self.min, self.max) != (0, 1):
            scaled *= np.float32(self.max - self.min)
            scaled += np.float32(self.min)
        return scaled

    @also_called(norm_array="array")
    def denormalise(self, array: NDArray[Any], original_min: float, original_max: float) -> NDArray[np.float32]:
        """The inverse of `normalise`: `min` becomes original_min, `max` becomes original_max."""
        scaled = (np.asarray(array, dtype=np.float32) - np.float32(self.min)) / np.float32(self.max - self.min)
        return scaled * np.float32(original_max - original_min) + np.float32(original_min)


def normalise_to(array: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Map low to 0 and high to 1; what lies outside them becomes 0 or 1, and all becomes 0 where they are equal."""
    array = np.asarray(array, dtype=np.float32)
    if low == high:
        return np.zeros_like(array)
    scaled = (array - np.float32(low)) / (np.float32(high) - np.float32(low))
    return np.clip(scaled, np.float32(0), np.float32(1), out=scaled)


def to_amplitude(log_spectrogram: NDArray[np.float32], bins_axis: int = 0) -> NDArray[np.float32]:
    """Amplitude from decibels with the Nyquist row put back as zeros.

    log_spectrogram: float32 in dB with n_bins along bins_axis. Returns float32 with n_bins + 1 there.
    """
    amplitude = np.power(np.float32(10.0), np.asarray(log_spectrogram, dtype=np.float32) / np.float32(20.0))
    nyquist = np.zeros_like(np.take(amplitude, [0], axis=bins_axis))
    return np.concatenate([amplitude, nyquist], axis=bins_axis)
