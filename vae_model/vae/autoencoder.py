"""The convolutional autoencoder with a deterministic bottleneck, and what it shares with the VAE."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from pipelines.course_names import also_called, refuse_methods
from pipelines.errors import SettingError, describe
from vae_model.model_folder.array_bundle import Bounds, bundle_of_arrays
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import ModelConfig, Stride, latent_names, model_config, to_dict
from vae_model.model_folder.folder import BUNDLE_FILE, MODEL_FILE
from vae_model.vae.course_weights import is_by_name, require_own_weights
from vae_model.vae.gaussians import Gaussians
from vae_model.vae.layers import output_layer
from vae_model.vae.linear_path import assign, fit_linear_vae, noise_variance
from vae_model.vae.model import AutoencoderModel
from vae_model.vae.own_classes import class_of, own_name, remember
from vae_model.vae.saving import load_model, save_model

_BATCH = 64
_FITTED = 512  # arrays that latents are drawn like, at least
_OF_THE_COURSE = """
    _build _build_encoder _build_decoder _build_autoencoder _add_encoder_input _add_conv_layers _add_conv_layer
    _add_bottleneck _add_decoder_input _add_dense_layer _add_reshape_layer _add_conv_transpose_layers
    _add_conv_transpose_layer _add_decoder_output _calculate_reconstruction_loss _calculate_kl_loss
    _calculate_combined_loss _create_folder_if_it_doesnt_exist _save_parameters _save_weights
"""
_NOT_CALLED = dict.fromkeys(
    _OF_THE_COURSE.split(),
    "a model_class with a bottleneck(spectrogram, features), or sample_losses, of its own does it",
)


class Autoencoder:
    """A convolutional autoencoder of spectrograms with a deterministic bottleneck.

    input_shape: (n_bins, n_frames, n_channels). conv_filters, conv_kernels, conv_strides: an entry a layer, a
    kernel and a stride an int or a (bins, frames) pair. latent_space_dim: size of the bottleneck. All are attributes,
    and so are three Keras models: encoder, from spectrograms to z, decoder and model. SettingError names an argument
    out of its range.

    >>> import numpy as np
    >>> shape = {"conv_filters": (4, 8), "conv_kernels": (3, 3), "conv_strides": (2, 2), "latent_space_dim": 3}
    >>> autoencoder = Autoencoder((32, 16, 1), **shape)
    >>> reconstructions, latents = autoencoder.reconstruct(np.zeros((2, 32, 16, 1), np.float32))
    >>> reconstructions.shape, latents.shape
    ((2, 32, 16, 1), (2, 3))
    >>> autoencoder.save(folder / "autoencoder")
    >>> Autoencoder.load(folder / "autoencoder").config.latent_space_dim
    3
    """

    kind: ClassVar[str] = "autoencoder"
    model_class: ClassVar[type[AutoencoderModel]] = AutoencoderModel
    bundle: Bundle | None = None
    """Of the folder that it was loaded from."""

    def __init__(
        self,
        input_shape: Sequence[int],
        conv_filters: Sequence[int],
        conv_kernels: Sequence[Stride],
        conv_strides: Sequence[Stride],
        latent_space_dim: int,
        **settings: Any,
    ) -> None:
        config = model_config(
            {
                "kind": self.kind,
                "code": own_name(type(self)),
                "input_shape": input_shape,
                "conv_filters": conv_filters,
                "conv_kernels": conv_kernels,
                "conv_strides": conv_strides,
                "latent_space_dim": latent_space_dim,
                **settings,
            }
        )
        self._attach(self.model_class(to_dict(config), name=self.kind))

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        refuse_methods(cls, _NOT_CALLED)
        remember(cls)

    def _attach(self, model: AutoencoderModel) -> None:
        self.model: AutoencoderModel = model
        self.encoder = keras.Model(model.encoder.input, model.encoder.output["z"], name="encoder")
        self.decoder: keras.Model = model.decoder

    @property
    def config(self) -> ModelConfig:
        """The settings of the model."""
        return self.model.settings

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(n_bins, n_frames, n_channels)."""
        return self.config.input_shape

    @property
    def conv_filters(self) -> tuple[int, ...]:
        """Filters of each convolution."""
        return self.config.conv_filters

    @property
    def conv_kernels(self) -> tuple[Stride, ...]:
        """Kernel of each convolution."""
        return self.config.conv_kernels

    @property
    def conv_strides(self) -> tuple[Stride, ...]:
        """Stride of each convolution."""
        return self.config.conv_strides

    @property
    def latent_space_dim(self) -> int:
        """Size of the latent."""
        return self.config.latent_space_dim

    @classmethod
    def wrap(cls, model: AutoencoderModel) -> Any:
        """The Autoencoder or VAE around a Keras model that exists already."""
        wrapper = object.__new__(cls)
        wrapper._attach(model)
        return wrapper

    def summary(self) -> None:
        """Print the layers and parameters of the encoder, the decoder and the whole."""
        for model in (self.encoder, self.decoder, self.model):
            model.summary()

    def compile(
        self,
        learning_rate: float = 1e-4,
        *,
        optimizer: keras.optimizers.Optimizer | None = None,
        jit_compile: bool | str = "auto",
        steps_per_execution: int = 1,
    ) -> None:
        """Make ready to train with Adam at `learning_rate`, or with the `optimizer` of a model that was loaded.

        jit_compile: with XLA; "auto" on a GPU. steps_per_execution: steps between two calls of the callbacks.
        """
        self.model.compile(
            optimizer=optimizer or keras.optimizers.Adam(learning_rate),
            jit_compile=jit_compile,
            steps_per_execution=steps_per_execution,
        )

    def start_from(
        self, spectrograms: np.ndarray, output_bias: bool = True, sample_weight: np.ndarray | None = None
    ) -> None:
        """Begin at what is known of the training data before any step.

        A linear path is the best linear model of spectrograms (count, *input_shape), and nothing before this call.
        Without one, and with output_bias, the output starts at their mean: otherwise the first epochs go into learning
        that most cells of a spectrogram are near the floor. sample_weight: (count,), what each counts; alike if None.
        """
        self._check(spectrograms)
        if self.config.linear_path:
            variance = noise_variance(self.config)
            linear = fit_linear_vae(spectrograms, self.config.latent_space_dim, variance, sample_weight)
            assign(linear, self.model.encoder, self.decoder)
        elif output_bias:
            average = float(np.average(spectrograms.mean(axis=(1, 2, 3)), weights=sample_weight))
            mean = min(max(average, 1e-3), 1 - 1e-3)
            bias = output_layer(self.decoder).bias
            bias.assign(np.full(bias.shape, np.log(mean / (1 - mean)), np.float32))

    def train(
        self,
        x_train: Any,
        batch_size: int | None = None,
        num_epochs: int = 1,
        *,
        validation_data: Any = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        initial_epoch: int = 0,
        verbose: int | str = "auto",
    ) -> keras.callbacks.History:
        """Fit to spectrograms in [0, 1] until epoch `num_epochs`; `compile` first.

        x_train, validation_data: arrays (count, *input_shape), or tf.data of batches, which take no batch_size.
        validation_data may be (x, y) as of Keras. verbose: 0 shows no progress, else as of Keras. Returns Keras's
        History: loss and each of its terms an epoch. `sample_latents` then draws as the latents of arrays lie.
        """
        for data in (x_train, validation_data):
            if isinstance(data, np.ndarray):
                self._check(data)
        if isinstance(validation_data, np.ndarray):
            validation_data = (validation_data, None)
        history = self.model.fit(
            x_train,
            batch_size=batch_size,
            epochs=num_epochs,
            validation_data=validation_data,
            callbacks=list(callbacks),
            initial_epoch=initial_epoch,
            shuffle=isinstance(x_train, np.ndarray),
            verbose=verbose,
        )
        if isinstance(x_train, np.ndarray):
            self.fit_latent_distribution(x_train[:: max(1, len(x_train) // _FITTED)])
        return history

    def encode(self, spectrograms: np.ndarray) -> dict[str, np.ndarray]:
        """Latents by name, each float32 (count, latent_space_dim), of spectrograms (count, *input_shape)."""
        self._check(spectrograms)
        batches = [self.model.encoder(batch, training=False) for batch in _batches(spectrograms)]
        return {name: np.concatenate([np.array(batch[name]) for batch in batches]) for name in batches[0]}

    def posterior(self, spectrograms: np.ndarray) -> Gaussians:
        """Where spectrograms (count, *input_shape) lie among the latents, whatever the kind of model."""
        latents = self.encode(spectrograms)
        return Gaussians(*(latents[name] for name in latent_names(self.config)))

    def means(self, spectrograms: np.ndarray) -> np.ndarray:
        """Latents without chance, float32 (count, latent_space_dim), of spectrograms (count, *input_shape): mu or z."""
        return self.posterior(spectrograms).means

    def draw(self, spectrograms: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A latent from each one's posterior, float32 (count, latent_space_dim), by rng alone; an autoencoder's z."""
        return self.posterior(spectrograms).draw(rng)

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """Spectrograms float32 (count, *input_shape) in [0, 1] of latents (count, latent_space_dim)."""
        return np.concatenate([np.array(self.decoder(batch, training=False)) for batch in _batches(latents)])

    @also_called(images="spectrograms")
    def reconstruct(self, spectrograms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(reconstructions (count, *input_shape), the latents (count, latent_space_dim) that they are decoded from)."""
        latents = self.encode(spectrograms)["z"]
        return self.decode(latents), latents

    def fit_latent_distribution(self, spectrograms: np.ndarray) -> None:
        """Make `sample_latents` draw from the Gaussian that the latents of (count, *input_shape) spectrograms have."""
        self.model.latent_distribution.fit(self.encode(spectrograms)["z"])

    def sample_latents(self, count: int, seed: int | None = None) -> np.ndarray:
        """New latents float32 (count, latent_space_dim); the same for the same seed."""
        return self.model.latent_distribution.sample(count, seed)

    @also_called(weights_path="path")
    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Take the weights of a file that the course's `save` wrote, or `model.save_weights` of such a model here.

        A file of Keras 2 is read by the names of its layers. SettingError or WorkError names what does not fit, and
        then nothing is changed.
        """
        if not is_by_name(path):
            require_own_weights(path)
        try:
            self.model.load_weights(path)
        except ValueError as error:
            raise SettingError(f"{os.fspath(path)} must be weights of this model: {describe(error)[:300]}") from error

    @also_called(save_folder="folder")
    def save(
        self,
        folder: str | os.PathLike[str],
        *,
        sample_rate: int | None = None,
        hop_length: int | None = None,
        min_max_values: Mapping[str, Bounds] | None = None,
    ) -> None:
        """Write a MODEL folder that every command takes: `model.keras` and `bundle.json`.

        `bundle.json` is that of the folder that the model was loaded from. A model of arrays has none, and they do not
        tell what sounds they are of: sample_rate and hop_length do, 22,050 Hz and half a frame unless given, and
        min_max_values, the table of their ranges, gives those of new sounds.
        """
        assumed = sample_rate is None and hop_length is None and self.bundle is None
        if self.bundle is None or (sample_rate, hop_length, min_max_values) != (None, None, None):
            ranges = (min_max_values or {}).values()
            self.bundle = bundle_of_arrays(self.config, sample_rate, hop_length, ranges)
        Path(folder).mkdir(parents=True, exist_ok=True)
        save_model(self.model, Path(folder) / MODEL_FILE)
        dataclasses.replace(self.bundle, model=self.config).save(Path(folder))
        if assumed:
            made = f"{self.bundle.audio.sample_rate} Hz, hop_length={self.bundle.spectrogram.hop_length}"
            print(
                f"{folder}: taken to be of sounds at {made}; save takes sample_rate= and hop_length=", file=sys.stderr
            )

    def bundle_with(self, hop_length: int) -> Bundle:
        """What is known of the sounds that arrays of this hop_length were made of."""
        if self.bundle is not None and self.bundle.spectrogram.hop_length == hop_length:
            return self.bundle
        return bundle_of_arrays(self.config, hop_length=int(hop_length))

    @classmethod
    @also_called(save_folder="folder")
    def load(cls, folder: str | os.PathLike[str]) -> Any:
        """The model that `save` wrote. SettingError for a folder without one or with one of the other kind."""
        if Path(folder, "parameters.pkl").exists() and not Path(folder, MODEL_FILE).exists():
            raise SettingError(f"{folder} is a model of the course's: audio-vae import-course {folder} --output MODEL")
        model = load_model(Path(folder) / MODEL_FILE)
        if model.settings.kind != cls.kind:
            raise SettingError(f"{folder} must hold a model of kind {cls.kind}, not {model.settings.kind}")
        wrapper = (class_of(model.settings.code, model.settings.kind) if model.settings.code else cls).wrap(model)
        if (Path(folder) / BUNDLE_FILE).exists():
            wrapper.bundle = Bundle.load(os.fspath(folder))
        return wrapper

    def _check(self, spectrograms: np.ndarray) -> None:
        if tuple(spectrograms.shape[1:]) != self.config.input_shape or not len(spectrograms):
            wanted = ("count", *self.config.input_shape)
            raise SettingError(f"spectrograms of shape {spectrograms.shape} must have the model's {wanted}")


def _batches(values: np.ndarray) -> list[np.ndarray]:
    return [values[start : start + _BATCH] for start in range(0, len(values), _BATCH)]
