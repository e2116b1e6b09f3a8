"""Sounds longer than a segment: how they are cut, and how their log-spectrograms become one again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.config import AudioConfig, SpectrogramConfig
from pipelines.errors import require
from vae_model.phases.inversion import Frames

_FADE_FRACTION = 16  # neighbouring segments are cross-faded over this part of the frames that both see whole
_FAINT = 1e-6  # the weight of frames that see beyond their segment: they count where the sound begins and ends


class Segmentation:
    """Cuts a sound into overlapping segments whose frames lie on one grid, and puts their frames together.

    A frame whose window reaches over the end of its segment sees silence there that the sound does not have. So the
    segments overlap by these frames and a few more, over which they are cross-faded in decibels; the weights of a frame
    add up to 1. Spectrograms that no model has changed become the one of the whole sound.
    """

    def __init__(self, audio: AudioConfig, spectrogram: SpectrogramConfig) -> None:
        size, hop = spectrogram.frame_size, spectrogram.hop_length
        n_frames = spectrogram.n_frames(audio.segment_samples)
        require(n_frames > 1, "segment_seconds", audio.segment_seconds, f"at least hop_length={hop} samples")
        head = -(-(size // 2) // hop)
        n_whole = (audio.segment_samples - size // 2) // hop - head + 1
        if n_whole < 3:  # hardly any frame sees its own segment only
            head, n_whole = 0, n_frames
        fade = max(1, n_whole // _FADE_FRACTION)
        rise = np.minimum(np.arange(1, n_whole + 1) / (fade + 1), 1)
        self.weights = np.full(n_frames, _FAINT, np.float32)
        self.weights[head : head + n_whole] = np.minimum(rise, rise[::-1])
        self.hop_length = hop
        self.hop_frames = n_whole - fade
        self.num_own_frames = head + self.hop_frames
        """Frames of the first segment in which no other has a part."""
        seconds = min((self.hop_frames * hop + 0.5) / audio.sample_rate, audio.segment_seconds)
        self.audio = dataclasses.replace(audio, segments="all", segment_hop_seconds=seconds)
        """The settings with which `iter_segments` cuts a file so."""

    def join(self, segments: Iterable[Frames]) -> Iterator[Frames]:
        """The frames of the whole sound, a stretch for each of its segments, which come in order.

        The n_samples of a segment are its own, before its padding begins.
        """
        sums: list[NDArray[Any]] = []  # of the weights, and of what they weigh, over the frames not settled yet
        n_samples, start = 0, 0
        for segment in segments:
            if sums:
                yield _mean(sums, self.hop_frames, n_samples)
                start += self.hop_frames
                sums = [_moved(array, self.hop_frames) for array in sums]
            arrays: list[NDArray[Any]] = [np.ones((1, 1, 1), np.float32), segment.log_spectrogram]
            if segment.phasors is not None:
                arrays.append(segment.phasors)
            weighted = [self.weights[:, None, None] * array for array in arrays]
            sums = [a + b for a, b in zip(sums, weighted, strict=True)] if sums else weighted
            n_samples = start * self.hop_length + segment.n_samples
        if sums:
            yield _mean(sums, 1 + n_samples // self.hop_length - start, n_samples)


def _mean(sums: list[NDArray[Any]], n_frames: int, n_samples: int) -> Frames:
    """The first n_frames, settled."""
    total, decibels, *phasors = (array[:n_frames] for array in sums)
    return Frames(n_samples, decibels / total, *(array / total for array in phasors))


def _moved(array: NDArray[Any], n_frames: int) -> NDArray[Any]:
    """The array without its first n_frames, and as many zeros behind it."""
    return np.concatenate([array[n_frames:], np.zeros_like(array[:n_frames])])
