"""How loud a sound is to ears: integrated loudness of ITU-R BS.1770-4, as a stream."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.signal
from numpy.typing import NDArray

_STEP_SECONDS, _STEPS = 0.1, 4  # blocks of 400 ms, one each 100 ms
_ABSOLUTE_LUFS, _RELATIVE_LU = -70.0, -10.0
_OFFSET = -0.691  # so that a sine of 997 Hz at full scale in one channel is -3.01 LUFS
_SURROUND = 1.41  # the weight of left and right surround in 5.1: channels 4 and 5, and that of the LFE, channel 3, is 0


def k_weighting(sample_rate: int) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The two filters (b, a) of BS.1770's K-weighting at any rate: a head's high shelf, and a high-pass.

    The standard gives coefficients for 48 kHz alone; these are the analogue filters that they come from, found again by
    the bilinear transform. A filter whose frequency the rate does not have is left out.
    """
    filters = []
    for hz, q, gain_db in (
        (1681.974450955533, 0.7071752369554196, 3.999843853973347),
        (38.13547087602444, 0.5003270373238773, None),
    ):
        if 2 * hz >= sample_rate:
            continue
        k = math.tan(math.pi * hz / sample_rate)
        scale = 1 + k / q + k * k
        a = np.array([1.0, 2 * (k * k - 1) / scale, (1 - k / q + k * k) / scale])
        if gain_db is None:
            b = np.array([1.0, -2.0, 1.0])
        else:
            high = 10 ** (gain_db / 20)
            band = high**0.4996667741545416
            b = np.array([high + band * k / q + k * k, 2 * (k * k - high), high - band * k / q + k * k]) / scale
        filters.append((b, a))
    return filters


class LoudnessMeter:
    """Adds up a sound that comes in blocks, and then tells its integrated loudness.

    >>> import numpy as np
    >>> meter = LoudnessMeter(48000)
    >>> meter.add(np.sin(2 * np.pi * 997 / 48000 * np.arange(96000, dtype=np.float32))[:, None])
    >>> round(meter.lufs, 2)
    -3.01
    """

    def __init__(self, sample_rate: int) -> None:
        self._filters = k_weighting(sample_rate)
        self._step = max(1, round(_STEP_SECONDS * sample_rate))
        self._states: list[Any] = []
        self._steps: list[float] = []  # the power of each step that is whole
        self._rest = np.empty(0)

    def add(self, block: NDArray[np.float32]) -> None:
        """Take the next samples, (n_samples, n_channels)."""
        weighted = block.astype(np.float64)
        if not self._states:
            self._states = [np.zeros((2, block.shape[1])) for _ in self._filters]
        for number, (b, a) in enumerate(self._filters):
            weighted, self._states[number] = scipy.signal.lfilter(b, a, weighted, axis=0, zi=self._states[number])
        power = np.concatenate([self._rest, weighted**2 @ _weights(block.shape[1])])
        whole = len(power) // self._step * self._step
        self._steps += power[:whole].reshape(-1, self._step).mean(axis=1).tolist()
        self._rest = power[whole:]

    @property
    def lufs(self) -> float:
        """Integrated loudness so far; -inf for silence. A sound of less than 400 ms is one block."""
        steps = np.array(self._steps)
        if len(steps) < _STEPS:
            samples = len(steps) * self._step + len(self._rest)
            blocks = np.array([(steps.sum() * self._step + self._rest.sum()) / samples]) if samples else np.empty(0)
        else:
            blocks = np.lib.stride_tricks.sliding_window_view(steps, _STEPS).mean(axis=1)
        blocks = blocks[_lufs(blocks) > _ABSOLUTE_LUFS]
        if len(blocks) == 0:
            return -math.inf
        blocks = blocks[_lufs(blocks) > _lufs(blocks.mean()) + _RELATIVE_LU]
        return float(_lufs(blocks.mean()))


def _lufs(power: Any) -> Any:
    with np.errstate(divide="ignore"):
        return _OFFSET + 10 * np.log10(power)


def _weights(channels: int) -> NDArray[np.float64]:
    """Of each channel's power. Six are 5.1 as in a WAV file: left, right, centre, LFE, left and right surround."""
    weights = np.ones(channels)
    if channels == 6:
        weights[3:] = 0.0, _SURROUND, _SURROUND
    return weights
