"""From spectrograms to sound: decibels, amplitudes, the Nyquist row, phases by Griffin-Lim, inverse STFT."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import soundfile
from numpy.typing import NDArray

from pipelines.audio import iter_segments
from pipelines.config import AudioConfig
from pipelines.errors import SettingError, WorkError
from pipelines.spectrogram import LogSpectrogramExtractor, MinMaxNormaliser, to_amplitude
from vae_model.autoencoder import MODEL_FILE, Autoencoder, load_model
from vae_model.bundle import Bundle, ValueRange
from vae_model.files import replacing
from vae_model.vae import wrap

ITERATIONS = 64
"""Griffin-Lim steps: on true magnitudes, momentum 0.99, a magnitude error under -25 dB, pitch within 0.3 %."""

_SEGMENTS_AT_ONCE = 32
_FADE_FRACTION = 16  # neighbouring segments overlap by this part of their length, and are cross-faded over it
_BLOCK = 65536


class SoundGenerator:
    """Turns a model's spectrograms into waveforms, and sound through the model into sound.

    autoencoder: a trained Autoencoder or VAE. bundle: the settings that its data was made with. seed: of Griffin-Lim's
    first phases. A waveform is float32 (n_samples, n_channels) at bundle.audio.sample_rate.
    """

    def __init__(self, autoencoder: Autoencoder, bundle: Bundle, seed: int = 0) -> None:
        self.autoencoder = autoencoder
        self.bundle = bundle
        self.seed = seed
        spectrogram = bundle.spectrogram
        self._extractor = LogSpectrogramExtractor(spectrogram.frame_size, spectrogram.hop_length, spectrogram.top_db)
        self._normaliser = MinMaxNormaliser()

    @classmethod
    def load(cls, folder: str, seed: int = 0) -> SoundGenerator:
        """The generator of a MODEL folder. SettingError when it holds no finished model, WorkError when damaged."""
        bundle = Bundle.load(Path(folder))
        model = load_model(Path(folder) / MODEL_FILE, compiled=False)
        if model.settings != bundle.model:
            raise SettingError(f"MODEL {folder}: {MODEL_FILE} and bundle.json must be of one model")
        return cls(wrap(model), bundle, seed)

    def normalise(self, waveform: NDArray[np.float32]) -> tuple[NDArray[np.float32], ValueRange]:
        """The model's input of one segment, (n_bins, n_frames, n_channels) in [0, 1], and what 0 and 1 stand for in it.

        What is quieter or louder than the model's range is clipped to it.
        """
        log_spectrogram = self._extractor.extract(waveform)
        value_range = self.bundle.value_range
        if value_range.per_record:
            own = ValueRange(float(log_spectrogram.min()), float(log_spectrogram.max()), per_record=True)
            return self._normaliser.normalise(log_spectrogram), own
        scaled = (log_spectrogram - value_range.min_db) / value_range.span_db
        return np.clip(scaled, 0.0, 1.0).astype(np.float32), value_range

    def to_waveform(
        self, spectrogram: NDArray[np.float32], value_range: ValueRange | None = None
    ) -> NDArray[np.float32]:
        """The waveform of one segment from a spectrogram (n_bins, n_frames, n_channels) in [0, 1].

        value_range: what 0 and 1 stand for, the model's unless given. Griffin-Lim finds the phases (Griffin and Lim,
        doi:10.1109/TASSP.1984.1164317; fast variant, Perraudin et al., doi:10.1109/WASPAA.2013.6701851). The result has
        exactly bundle.audio.segment_samples samples; the same spectrogram gives the same waveform.
        """
        bounds = value_range or self.bundle.value_range
        log_spectrogram = self._normaliser.denormalise(spectrogram, bounds.min_db, bounds.max_db)
        amplitude = np.moveaxis(to_amplitude(log_spectrogram), -1, 0)  # (n_channels, n_bins + 1, n_frames)
        waveform = librosa.griffinlim(
            amplitude,
            n_iter=ITERATIONS,
            hop_length=self.bundle.spectrogram.hop_length,
            n_fft=self.bundle.spectrogram.frame_size,
            length=self.bundle.audio.segment_samples,
            random_state=self.seed,
        )
        return np.nan_to_num(waveform.T.astype(np.float32), posinf=0.0, neginf=0.0)

    def convert_spectrograms_to_audio(
        self, spectrograms: NDArray[np.float32], value_ranges: Iterable[ValueRange] | None = None
    ) -> list[NDArray[np.float32]]:
        """A waveform for each of the spectrograms (count, n_bins, n_frames, n_channels) in [0, 1]."""
        ranges = [None] * len(spectrograms) if value_ranges is None else list(value_ranges)
        return [self.to_waveform(*pair) for pair in zip(spectrograms, ranges, strict=True)]

    def generate(self, count: int, seed: int | None = None) -> Iterator[NDArray[np.float32]]:
        """New sounds of one segment each, from latents drawn as the training data's are distributed.

        The same seed gives the same sounds. A model with a range per record gives them the typical one of its training
        records.
        """
        latents = self.autoencoder.sample_latents(count, seed)
        for start in range(0, count, _SEGMENTS_AT_ONCE):
            spectrograms = self.autoencoder.decode(latents[start : start + _SEGMENTS_AT_ONCE])
            yield from self.convert_spectrograms_to_audio(spectrograms)

    def reconstruct(self, waveforms: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Each segment through the model: waveforms of segment_samples in, waveforms of segment_samples out."""
        waveforms = iter(waveforms)
        while several := list(islice(waveforms, _SEGMENTS_AT_ONCE)):
            inputs, ranges = zip(*map(self.normalise, several), strict=True)
            reconstructions, _ = self.autoencoder.reconstruct(np.stack(inputs))
            yield from self.convert_spectrograms_to_audio(reconstructions, ranges)

    def reconstruct_file(self, uri: str) -> Iterator[NDArray[np.float32]]:
        """A whole file through the model, in blocks (n_samples, n_channels) as they become ready.

        Together they have the length that the file has at the model's sample rate. A file longer than a segment goes
        through in overlapping segments that are cross-faded; memory does not grow with its length. SourceError when it
        can't be used.
        """
        audio = self._overlapping()
        lengths: list[int] = []

        def waveforms() -> Iterator[NDArray[np.float32]]:
            for segment in iter_segments(uri, audio):
                lengths.append(segment.valid_samples)
                yield segment.samples

        outputs = self.reconstruct(waveforms())
        valid = (output[: lengths.pop(0)] for output in outputs)
        return join_segments(valid, audio.segment_samples - audio.segment_hop_samples)

    def _overlapping(self) -> AudioConfig:
        """The model's audio settings, cut into all segments of a file with the overlap of a cross-fade."""
        audio = self.bundle.audio
        hop = audio.segment_samples - audio.segment_samples // _FADE_FRACTION
        seconds = (hop + 0.5) / audio.sample_rate if hop < audio.segment_samples else None
        return dataclasses.replace(audio, segments="all", segment_hop_seconds=seconds)


def join_segments(segments: Iterable[NDArray[np.float32]], overlap: int) -> Iterator[NDArray[np.float32]]:
    """Waveforms (n_samples, n_channels) put in a row, each over the last `overlap` samples of the one before.

    Over the overlap one fades out as the other fades in, linearly. Each but the last is longer than 2 * overlap, and
    the last longer than overlap.
    """
    fade = (np.arange(overlap, dtype=np.float32) + 0.5)[:, None] / max(overlap, 1)
    previous: NDArray[np.float32] | None = None
    for segment in segments:
        if previous is not None:
            yield previous[: len(previous) - overlap]
            mixed = previous[len(previous) - overlap :] * (1 - fade) + segment[:overlap] * fade
            segment = np.concatenate([mixed, segment[overlap:]])
        previous = segment
    if previous is not None:
        yield previous


def write_wav(path: Path, blocks: Iterable[NDArray[np.float32]], sample_rate: int) -> int:
    """Write waveform blocks (n_samples, n_channels) as a 16 bit WAV file, all at once; returns its samples.

    When a sample is beyond full scale the whole is made quieter until its peak is 1. The blocks pass through a
    temporary file, so that memory does not grow with their number.
    """
    spool = path.with_name(f".float-{path.name}")
    try:
        peak, count = _spool(spool, blocks, sample_rate)
        gain = 1.0 / max(peak, 1.0)
        with replacing(path) as partial, soundfile.SoundFile(spool) as source:
            shape: Any = {"samplerate": sample_rate, "channels": source.channels, "subtype": "PCM_16", "format": "WAV"}
            with soundfile.SoundFile(partial, "w", **shape) as target:
                for block in source.blocks(_BLOCK, dtype="float32", always_2d=True):
                    target.write(block * np.float32(gain))
        return count
    except soundfile.LibsndfileError as error:
        raise WorkError(f"{path} cannot be written: {error}") from error
    finally:
        spool.unlink(missing_ok=True)


def _spool(path: Path, blocks: Iterable[NDArray[np.float32]], sample_rate: int) -> tuple[float, int]:
    """Write the blocks as float32 into a file that may exceed 4 GB; the peak and the number of samples."""
    blocks = iter(blocks)
    first = next(blocks)
    peak, count = 0.0, 0
    with soundfile.SoundFile(path, "w", sample_rate, first.shape[1], "FLOAT", format="W64") as file:
        for block in (block for part in ([first], blocks) for block in part):
            peak, count = max(peak, float(np.abs(block).max(initial=0.0))), count + len(block)
            file.write(block)
    return peak, count
