"""Settings of arrays that say nothing of themselves, such as the course's: what their shape leaves open."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.config import PRESETS, AudioConfig, DatasetConfig, SpectrogramConfig
from pipelines.errors import require


def settings_of_shape(
    shape: Sequence[int], sample_rate: int | None = None, hop_length: int | None = None
) -> tuple[AudioConfig, SpectrogramConfig]:
    """How sounds become log-spectrograms of a shape (n_bins, n_frames, n_channels), one from the start of each file.

    frame_size is 2 * n_bins. sample_rate: 22,050 Hz unless given. hop_length: half a frame unless given; 256 x 64 x 1
    is then what the preset `course` makes. SettingError when no segment has this shape.
    """
    course = PRESETS["course"]
    n_bins, n_frames, n_channels = shape
    rate = course.audio.sample_rate if sample_rate is None else sample_rate
    hop = n_bins if hop_length is None else hop_length
    if (tuple(shape), rate, hop) == (course.record_shape, course.audio.sample_rate, course.spectrogram.hop_length):
        return course.audio, course.spectrogram
    spectrogram = SpectrogramConfig(2 * n_bins, hop)
    samples = max(1, (n_frames - 1) * hop)
    seconds = (samples + 0.5) / rate  # the half keeps rounding from taking a sample
    audio = AudioConfig(sample_rate=rate, channels=n_channels, segments="first", segment_seconds=seconds)
    found = DatasetConfig(audio, spectrogram).record_shape
    require(found == tuple(shape), "hop_length", hop, f"one that gives the shape {tuple(shape)}, not {found}")
    return audio, spectrogram
