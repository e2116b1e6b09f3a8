"""A model that takes waveforms: TensorFlow functions that need nothing of this package once they are saved.

The log-spectrogram is that of `pipelines/spectrogram.py` in tf.signal's operations, in double precision as there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipelines.audio.features import mel_filters
from pipelines.audio.spectrogram import MIN_POWER
from pipelines.audio.stereo import COHERENCE_DB, QUIET_DB, WEIGHTS
from pipelines.config import COHERENCE, FEATURES, LOG_MEL, AudioConfig, SpectrogramConfig
from pipelines.errors import require
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import latent_names
from vae_model.model_folder.value_range import ValueRange
from vae_model.vae.autoencoder import Autoencoder

_SEED = (0, 0)


class Draw(Protocol):
    """What draws latents of new sounds."""

    @property
    def model(self) -> keras.Model:
        """Whose weights it needs."""

    @property
    def signature(self) -> Sequence[tf.TensorSpec]:
        """Of `draw`'s tensors."""

    def draw(self, count: Any, seed: Any, labels: Any) -> tuple[Any, Any]:
        """Latents (count, latent_space_dim), and min_db and max_db of each, (count, 2)."""


class WaveformModel:
    """What an exported model does, as functions of tensors.

    waveform: float32 (batch, n_samples), of a model with several channels (batch, n_samples, n_channels), at full scale
    ±1 and the model's sample rate; 1 to segment_samples samples. A spectrogram is (batch, n_bins, n_frames,
    n_channels).
    """

    def __init__(self, autoencoder: Autoencoder, bundle: Bundle) -> None:
        self.bundle = bundle
        self.encoder = latents_only(autoencoder)
        self.decoder = autoencoder.decoder
        self._names = latent_names(autoencoder.config)
        settings = bundle.spectrogram
        self._filters = None
        if settings.feature == LOG_MEL:
            self._filters = mel_filters(bundle.audio.sample_rate, settings.frame_size, settings.n_rows)
        rule = f"one of {', '.join(FEATURES)} to be exported: what is saved is TensorFlow alone"
        require(settings.feature in FEATURES, "feature", settings.feature, rule)

    def encode(self, waveform: Any) -> dict[str, Any]:
        """mu and log_variance (an autoencoder: z), (batch, latent_space_dim), and min_db and max_db, (batch,).

        The last two are the decibels that 0 and 1 of the model's input stand for.
        """
        spectrogram, value_range = self.normalised(waveform)
        low, span = (_of_each(bound, spectrogram) for bound in (value_range.min_db, value_range.unit_db))
        return {**self.encoder(spectrogram, training=False), "min_db": low, "max_db": low + span}

    def decode(self, z: Any) -> dict[str, Any]:
        """`spectrogram` in [0, 1] and `decibels`, on the model's range, of latents (batch, latent_space_dim)."""
        spectrogram = self.decoder(z, training=False)
        return {"spectrogram": spectrogram, "decibels": self.bundle.value_range.to_db(spectrogram)}

    def reconstruct(self, waveform: Any) -> dict[str, Any]:
        """`spectrogram` in [0, 1] and `decibels` of sounds that went through the model.

        A model that decodes a sampled z draws the same noise at every call.
        """
        spectrogram, value_range = self.normalised(waveform)
        latents = self.encoder(spectrogram, training=False)
        z, *log_variance = (latents[name] for name in self._names)
        if self.bundle.model.decodes_sample:
            z += tf.exp(0.5 * log_variance[0]) * tf.random.stateless_normal(tf.shape(z), _SEED)
        output = self.decoder(z, training=False)
        return {"spectrogram": output, "decibels": value_range.to_db(output)}

    def generate(self, draw: Draw, count: Any, seed: Any, labels: Any) -> dict[str, Any]:
        """`z`, `spectrogram` in [0, 1] and `decibels` of new sounds, and the min_db and max_db of each, (count,)."""
        z, levels = draw.draw(count, seed, labels)
        spectrogram, value_range = self.decoder(z, training=False), self.bundle.value_range
        if value_range.per_record:
            value_range = ValueRange.of_each(levels[:, 0], levels[:, 1])
        low, span = (_of_each(bound, spectrogram) for bound in (value_range.min_db, value_range.unit_db))
        found = {"z": z, "spectrogram": spectrogram, "decibels": value_range.to_db(spectrogram)}
        return {**found, "min_db": low, "max_db": low + span}

    def normalised(self, waveform: Any) -> tuple[Any, ValueRange]:
        """The model's input in [0, 1], and what 0 and 1 stand for in it."""
        audio = self.bundle.audio
        if audio.channels == 1:
            waveform = waveform[..., None]
        decibels = log_spectrogram(padded(waveform, audio), self.bundle.spectrogram, self._filters)
        value_range = self.bundle.value_range
        if value_range.per_record:
            low, high = tf.reduce_min(decibels, [1, 2, 3]), tf.reduce_max(decibels, [1, 2, 3])
            value_range = ValueRange.of_each(low, high)
        return tf.clip_by_value(value_range.from_db(decibels), 0.0, 1.0), value_range

    @property
    def waveform_spec(self) -> tf.TensorSpec:
        """What `encode` and `reconstruct` take."""
        channels = self.bundle.audio.channels
        shape = (None, None) if channels == 1 else (None, None, channels)
        return tf.TensorSpec(shape, tf.float32, name="waveform")

    @property
    def latent_spec(self) -> tf.TensorSpec:
        """What `decode` takes."""
        return tf.TensorSpec((None, self.bundle.model.latent_space_dim), tf.float32, name="z")

    def save(self, folder: str, draw: Draw | None = None) -> None:
        """Write a SavedModel with the signatures `encode`, `decode` and `reconstruct`.

        draw: latents and levels of new sounds; with it, also `generate`.
        """
        archive = keras.export.ExportArchive()
        archive.track(self.encoder)
        archive.track(self.decoder)
        waveform, latent = [self.waveform_spec], [self.latent_spec]
        archive.add_endpoint("encode", lambda waveform: self.encode(waveform), input_signature=waveform)
        archive.add_endpoint("decode", lambda z: self.decode(z), input_signature=latent)
        archive.add_endpoint("reconstruct", lambda waveform: self.reconstruct(waveform), input_signature=waveform)
        if draw is not None:
            archive.track(draw.model)
            archive.add_endpoint(
                "generate",
                lambda count, seed, labels: self.generate(draw, count, seed, labels),
                input_signature=[*draw.signature],
            )
        archive.write_out(folder, verbose=False)


def latents_only(autoencoder: Autoencoder) -> keras.Model:
    """The encoder without sampling: mu and log_variance of a VAE, the z of an autoencoder, by name."""
    outputs = autoencoder.model.encoder.output
    wanted = {name: outputs[name] for name in latent_names(autoencoder.config)}
    return keras.Model(autoencoder.model.encoder.input, wanted, name="latents")


def log_spectrogram(waveform: Any, config: SpectrogramConfig, filters: NDArray[np.float64] | None = None) -> Any:
    """Decibels (batch, n_bins, n_frames, n_channels) of waveforms (batch, n_samples, n_channels).

    As `LogSpectrogramExtractor.extract`, example by example; the floor of each is common to its channels. filters: of
    `LogMelExtractor`, (n_bands, n_bins), where the rows are its bands. With stereo=coherence as `StereoExtractor`.
    """
    if config.stereo != COHERENCE:
        return _levels(waveform, config, filters)
    decibels = _levels(tf.concat([waveform, tf.reduce_mean(waveform, axis=2, keepdims=True)], axis=2), config, filters)
    left, right, middle = tf.unstack(tf.pow(np.float64(10), tf.cast(decibels, tf.float64) / 10), axis=3)
    quiet = tf.reduce_max(tf.maximum(left, right), [1, 2], keepdims=True) * 10 ** (-QUIET_DB / 10)
    both = _smoothed((4 * middle - left - right) / 2 + quiet)
    levels = _smoothed(left + quiet) * _smoothed(right + quiet)
    coherence = tf.clip_by_value(both / tf.sqrt(levels), -1, 1)
    is_sound = tf.reduce_any(waveform != 0, [1, 2], keepdims=True)
    third = tf.where(is_sound, tf.cast(COHERENCE_DB * coherence, tf.float32), decibels[..., 2])
    return tf.concat([decibels[..., :2], third[..., None]], axis=3)


def _smoothed(power: Any) -> Any:
    frames = tf.range(tf.shape(power)[2])
    shifted = [tf.clip_by_value(frames + k - len(WEIGHTS) // 2, 0, frames[-1]) for k in range(len(WEIGHTS))]
    return tf.add_n([weight * tf.gather(power, at, axis=2) for weight, at in zip(WEIGHTS, shifted, strict=True)])


def _levels(waveform: Any, config: SpectrogramConfig, filters: NDArray[np.float64] | None) -> Any:
    half = config.frame_size // 2
    signal = tf.cast(tf.transpose(waveform, [0, 2, 1]), tf.float64)
    signal = tf.pad(signal, [[0, 0], [0, 0], [half, half]])
    spectrum = tf.signal.stft(signal, config.frame_size, config.hop_length, config.frame_size)[..., :half]
    power = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
    if filters is not None:
        power = tf.linalg.matmul(power, tf.constant(filters, tf.float64), transpose_b=True)
    power = tf.cast(power, tf.float32)
    decibels = tf.math.log(tf.maximum(power, MIN_POWER)) * np.float32(10 / math.log(10))
    decibels = tf.transpose(decibels, [0, 3, 2, 1])
    floor = tf.reduce_max(decibels, [1, 2, 3], keepdims=True) - config.top_db
    return tf.maximum(decibels, floor)


def padded(waveform: Any, config: AudioConfig) -> Any:
    """Waveforms (batch, n_samples, n_channels) lengthened to segment_samples at their end, as `Padder` does.

    A longer or an empty one, or a sample that is no finite number, is an InvalidArgumentError.
    """
    size, count = config.segment_samples, tf.shape(waveform)[1]
    tf.debugging.assert_greater(count, 0, "waveform must have at least one sample")
    message = f"waveform must have at most {size} samples, a segment of the model; cut it into several"
    tf.debugging.assert_less_equal(count, size, message)
    waveform = tf.debugging.assert_all_finite(waveform, "waveform must have finite samples")
    more = _PADDINGS[config.pad_mode](waveform, count, size)
    return tf.ensure_shape(tf.concat([waveform, more], axis=1), (None, size, waveform.shape[2]))


_Padding = Callable[[Any, Any, int], Any]
"""From a waveform (batch, count, n_channels), its count and the size that is wanted, to what lies behind it."""


def _gathered(index: Callable[[Any, Any], Any]) -> _Padding:
    """Samples of the waveform: index(position, count) of the one at a position behind its end."""
    return lambda waveform, count, size: tf.gather(waveform, index(tf.range(count, size), count), axis=1)


def _constant(statistic: Callable[[Any], Any]) -> _Padding:
    """One value a channel, statistic(waveform) of shape (batch, 1, n_channels)."""
    return lambda waveform, count, size: tf.repeat(statistic(waveform), size - count, axis=1)


def _reflected(position: Any, count: Any) -> Any:
    """Back and forth without repeating the ends; of a single sample, that one."""
    period = tf.maximum(2 * (count - 1), 1)
    folded = position % period
    return tf.minimum(folded, period - folded) * tf.cast(count > 1, folded.dtype)


def _mirrored(position: Any, count: Any) -> Any:
    """Back and forth with the ends repeated."""
    folded = position % (2 * count)
    return tf.minimum(folded, 2 * count - 1 - folded)


def _ramp(waveform: Any, count: Any, size: int) -> Any:
    """From the last sample to 0 at the end of the segment, in a straight line."""
    missing = tf.cast(size - count, tf.float32)
    left = tf.cast(tf.range(size - count - 1, -1, -1), tf.float32)
    return waveform[:, -1:] * (left / tf.maximum(missing, 1.0))[None, :, None]


def _median(waveform: Any) -> Any:
    ordered, count = tf.sort(waveform, axis=1), tf.shape(waveform)[1]
    middle = tf.gather(ordered, [(count - 1) // 2, count // 2], axis=1)
    return tf.reduce_mean(middle, axis=1, keepdims=True)


_PADDINGS: dict[str, _Padding] = {
    "constant": _constant(lambda waveform: tf.zeros_like(waveform[:, :1])),
    "edge": _constant(lambda waveform: waveform[:, -1:]),
    "linear_ramp": _ramp,
    "maximum": _constant(lambda waveform: tf.reduce_max(waveform, axis=1, keepdims=True)),
    "mean": _constant(lambda waveform: tf.reduce_mean(waveform, axis=1, keepdims=True)),
    "median": _constant(_median),
    "minimum": _constant(lambda waveform: tf.reduce_min(waveform, axis=1, keepdims=True)),
    "reflect": _gathered(_reflected),
    "symmetric": _gathered(_mirrored),
    "wrap": _gathered(lambda position, count: position % count),
}
"""For each of PAD_MODES, what numpy's `pad` puts behind an array."""


def _of_each(decibels: Any, spectrograms: Any) -> Any:
    """One number for all, or one for each (batch, 1, 1, 1), as (batch,) of so many spectrograms."""
    count = tf.shape(spectrograms)[:1]
    return tf.broadcast_to(tf.reshape(tf.cast(decibels, tf.float32), [-1]), count)
