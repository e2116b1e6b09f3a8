"""What two channels have in common, beside what each of them has.

Levels alone do not say how the channels of a stereo sound go together: with phases that are found for each of them by
itself, a sound in the middle is spread over the room, and a wide one may lose half of its power when it is mixed to
mono. So a third channel of a record says for each cell how alike the two are: 1 where they are the same but for their
levels, 0 where they have nothing in common, -1 where one is the other turned round. That is the real part of their
coherence, and with their levels it is the cosine of the angle between their phases; what a sum of them would have.

Why not the level of the sum, or of middle and side, which say the same. Because a model errs. A decibel less in the
level of a sum whose channels are equal is an angle of 54 degrees between them; the coherence is linear in what is
heard, so errors of it cancel out over cells. docs/results.md has the figures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import require

COHERENCE_DB = 20.0
"""The value that stands for a coherence of 1: an error by a tenth then weighs as much as one of 2 dB in a level."""
QUIET_DB = 60.0
"""So far under a segment's loudest cell as much is added to both channels: what nobody hears is pulled towards 1."""

WEIGHTS = (1 / 12, 3 / 12, 4 / 12, 3 / 12, 1 / 12)
"""Of a frame and its neighbours: the coherence of one cell is as rough as noise, and a model learns nothing of that."""


def _smoothed(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each frame's mean with those around it, (n_rows, n_frames)."""
    reach = len(WEIGHTS) // 2
    padded = np.pad(power, ((0, 0), (reach, reach)), mode="edge")
    total = sum(weight * padded[:, k : k + power.shape[1]] for k, weight in enumerate(WEIGHTS))
    return np.asarray(total)


class StereoExtractor:
    """Left, right, and how alike they are: the levels in dB of another extractor, and `COHERENCE_DB` times coherence.

    extractor: of levels in dB, a LogSpectrogramExtractor or LogMelExtractor.
    """

    num_channels = 3
    level_channels = 2

    def __init__(self, extractor: Any) -> None:
        self.extractor = extractor
        self.hop_length = extractor.hop_length

    def extract(self, segment: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Of float32 (n_samples, 2) at full scale ±1 float32 (n_rows, n_frames, 3): left, right and coherence.

        Silence, which has none, is as low in all three.
        """
        segment = np.asarray(segment, np.float32)
        require(segment.ndim == 2 and segment.shape[1] == 2, "segment.shape", segment.shape, "(n_samples, 2)")
        middle = segment.mean(axis=1, keepdims=True)
        # The middle is nowhere louder than the louder channel, so the floor is that of left and right.
        extracted: NDArray[np.float32] = self.extractor.extract(np.concatenate([segment, middle], axis=1))
        if not segment.any():
            return extracted
        left, right, middle = np.moveaxis(np.power(10.0, extracted.astype(np.float64) / 10), -1, 0)
        quiet = max(left.max(), right.max()) * 10 ** (-QUIET_DB / 10)
        both = _smoothed((4 * middle - left - right) / 2 + quiet)
        levels = _smoothed(left + quiet) * _smoothed(right + quiet)
        extracted[..., 2] = COHERENCE_DB * np.clip(both / np.sqrt(levels), -1, 1)
        return extracted

    def coherence(self, array: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Of each bin, from -1 to 1: (n_bins, n_frames). array: (n_rows, n_frames, 3), as extracted."""
        values: NDArray[np.float32] = self.extractor.spread(array[..., 2:])[..., 0] / COHERENCE_DB
        return values

    def invert(self, array: NDArray[np.float32], /) -> NDArray[np.float32]:
        """The log-spectrogram in dB of left and right, and of each bin `COHERENCE_DB` times coherence: (n_bins, …, 3).

        array: (n_rows, n_frames, 3), as extracted.
        """
        levels = self.extractor.invert(np.ascontiguousarray(array[..., :2]))
        return np.concatenate([levels, self.extractor.spread(array[..., 2:])], axis=-1)
