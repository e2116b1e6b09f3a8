"""The convolutional autoencoder with a deterministic bottleneck, and what it shares with the VAE."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
from keras import layers, ops

from pipelines.errors import SettingError, WorkError
from pipelines.store import replacing
from vae_model.model_folder.config import ModelConfig, Stride, latent_names, model_config, to_dict
from vae_model.model_folder.folder import MODEL_FILE
from vae_model.vae.gaussians import Gaussians
from vae_model.vae.layers import PACKAGE, LatentDistribution, build_decoder, conv_stack, fixed_linear, output_layer
from vae_model.vae.linear_path import assign, fit_linear_vae, noise_variance
from vae_model.vae.losses import PerSampleLoss, reconstruction_loss
from vae_model.vae.model_file import check_model_file

_BATCH = 64


@keras.saving.register_keras_serializable(package=PACKAGE)
class AutoencoderModel(keras.Model):
    """The Keras model: a dict of `reconstruction` and the latents from a batch of spectrograms.

    settings: a ModelConfig as a dict. Trained with `fit(x)`: the target is the input. A y is the number of frames
    before the padding, (batch,), which then costs nothing. The loss is the mean squared error; every term is a metric.
    """

    metrics_as_vectors = False
    """Whether a step gives its metrics as (1,): `fit` on several machines takes means over their axis 0."""

    def __init__(self, settings: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings = model_config(settings)
        spectrogram = keras.Input(self.settings.input_shape, name="encoder_input")
        latents = self.bottleneck(spectrogram, conv_stack(self.settings, spectrogram))
        self.encoder = keras.Model(spectrogram, latents, name="encoder")
        self.decoder = build_decoder(self.settings)
        self.latent_distribution = LatentDistribution(self.settings.latent_space_dim, name="latent_distribution")
        self.trackers = [keras.metrics.Mean(name) for name in self.metric_names()]
        self._mean_loss = PerSampleLoss()
        self.built = True

    def bottleneck(self, spectrogram: Any, features: Any) -> dict[str, Any]:
        """The latents by name, each (batch, latent_space_dim), of a batch and its features; z is decoded."""
        return {"z": self.latent_head(spectrogram, features, "encoder_output")}

    def latent_head(self, spectrogram: Any, features: Any, name: str) -> Any:
        """A Dense of the features; with a linear path that begins at 0, and is added to what is linear in the cells."""
        dim, linear = self.settings.latent_space_dim, self.settings.linear_path
        first = "zeros" if linear else "glorot_uniform"
        head = layers.Dense(dim, kernel_initializer=first, dtype="float32", name=f"{name}_conv" if linear else name)
        if not linear:
            return head(features)
        flat = layers.Flatten(dtype="float32", name="encoder_linear_flatten")(spectrogram)
        of_cells = fixed_linear(dim, "encoder_linear")(flat)
        return layers.Add(dtype="float32", name=name)([of_cells, head(features)])

    def metric_names(self) -> list[str]:
        """The terms of the loss."""
        return ["reconstruction_loss"]

    def sample_losses(
        self, x: Any, outputs: dict[str, Any], valid_frames: Any = None, training: bool = False
    ) -> tuple[Any, list[Any]]:
        """The loss and its terms in the order of `metric_names`, each (batch,)."""
        loss = self.reconstruction_loss(x, outputs, valid_frames)
        return loss, [loss]

    def reconstruction_loss(self, x: Any, outputs: dict[str, Any], valid_frames: Any = None) -> Any:
        """How far a reconstruction is from what it is of, (batch,), for both kinds of model."""
        return reconstruction_loss(x, outputs["reconstruction"], valid_frames)

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        """inputs: (batch, n_bins, n_frames, n_channels) in [0, 1]. Returns `reconstruction` and the latents."""
        latents = self.encoder(inputs, training=training)
        return {"reconstruction": self.decoder(latents["z"], training=training), **latents}

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The mean loss of a batch; its terms are added to their metrics."""
        loss, terms = self.sample_losses(x, y_pred, y, training)
        for tracker, term in zip(self.trackers, terms, strict=True):
            tracker.update_state(term, sample_weight=sample_weight)
        return self._mean_loss(ops.zeros_like(loss), loss, sample_weight=sample_weight)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """The metrics so far, by name."""
        metrics: dict[str, Any] = super().compute_metrics(x, y, y_pred, sample_weight)
        return (
            {name: ops.reshape(value, (1,)) for name, value in metrics.items()} if self.metrics_as_vectors else metrics
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"name": self.name, "settings": to_dict(self.settings)}


class Autoencoder:
    """A convolutional autoencoder of spectrograms with a deterministic bottleneck.

    input_shape: (n_bins, n_frames, n_channels). conv_filters, conv_kernels, conv_strides: an entry a layer, a stride
    an int or a (bins, frames) pair. latent_space_dim: size of the bottleneck. Attributes encoder, decoder and model
    are Keras models. SettingError names an argument out of its range.

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

    def __init__(
        self,
        input_shape: Sequence[int],
        conv_filters: Sequence[int],
        conv_kernels: Sequence[int],
        conv_strides: Sequence[Stride],
        latent_space_dim: int,
        **settings: Any,
    ) -> None:
        config = model_config(
            {
                "kind": self.kind,
                "input_shape": input_shape,
                "conv_filters": conv_filters,
                "conv_kernels": conv_kernels,
                "conv_strides": conv_strides,
                "latent_space_dim": latent_space_dim,
                **settings,
            }
        )
        self._attach(self.model_class(to_dict(config), name=self.kind))

    def _attach(self, model: AutoencoderModel) -> None:
        self.model: AutoencoderModel = model
        self.encoder: keras.Model = model.encoder
        self.decoder: keras.Model = model.decoder
        self.config: ModelConfig = model.settings

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
        learning_rate: float = 5e-4,
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

    def start_from(self, spectrograms: np.ndarray, output_bias: bool = True) -> None:
        """Begin at what is known of the training data before any step.

        A linear path is the best linear model of spectrograms (count, *input_shape), and nothing before this call.
        Without one, and with output_bias, the output starts at their mean: otherwise the first epochs go into learning
        that most cells of a spectrogram are near the floor.
        """
        self._check(spectrograms)
        if self.config.linear_path:
            linear = fit_linear_vae(spectrograms, self.config.latent_space_dim, noise_variance(self.config))
            assign(linear, self.encoder, self.decoder)
        elif output_bias:
            mean = min(max(float(spectrograms.mean()), 1e-3), 1 - 1e-3)
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
        verbose: int = 0,
    ) -> keras.callbacks.History:
        """Fit to spectrograms in [0, 1] until epoch `num_epochs`; `compile` first.

        x_train, validation_data: arrays (count, *input_shape), or tf.data of batches, which take no batch_size.
        Returns Keras's History: loss and each of its terms an epoch.
        """
        for data in (x_train, validation_data):
            if isinstance(data, np.ndarray):
                self._check(data)
        if isinstance(validation_data, np.ndarray):
            validation_data = (validation_data, None)
        return self.model.fit(
            x_train,
            batch_size=batch_size,
            epochs=num_epochs,
            validation_data=validation_data,
            callbacks=list(callbacks),
            initial_epoch=initial_epoch,
            shuffle=isinstance(x_train, np.ndarray),
            verbose=verbose,
        )

    def encode(self, spectrograms: np.ndarray) -> dict[str, np.ndarray]:
        """Latents by name, each float32 (count, latent_space_dim), of spectrograms (count, *input_shape)."""
        self._check(spectrograms)
        batches = [self.encoder(batch, training=False) for batch in _batches(spectrograms)]
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

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `model.keras` into `folder`, made if need be: architecture, weights, and, compiled, the optimiser."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        save_model(self.model, Path(folder) / MODEL_FILE)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Any:
        """The model that `save` wrote. SettingError for a folder without one or with one of the other kind."""
        model = load_model(Path(folder) / MODEL_FILE)
        if model.settings.kind != cls.kind:
            raise SettingError(f"{folder} must hold a model of kind {cls.kind}, not {model.settings.kind}")
        return cls.wrap(model)

    def _check(self, spectrograms: np.ndarray) -> None:
        if tuple(spectrograms.shape[1:]) != self.config.input_shape or not len(spectrograms):
            wanted = ("count", *self.config.input_shape)
            raise SettingError(f"spectrograms of shape {spectrograms.shape} must have the model's {wanted}")


def _batches(values: np.ndarray) -> list[np.ndarray]:
    return [values[start : start + _BATCH] for start in range(0, len(values), _BATCH)]


def save_model(model: keras.Model, path: Path) -> None:
    """Write a .keras file, all at once."""
    with replacing(path) as partial:
        model.save(partial)


def load_model(path: Path, compiled: bool = True, name: str | None = None) -> AutoencoderModel:
    """Read a .keras file in safe mode; compiled=False leaves the optimiser out. SettingError, WorkError by name.

    name: what errors call the file, where `path` is a copy of it.
    """

    name = name or str(path)
    if not path.is_file():
        raise SettingError(f"{name} must be a trained model: no such file")
    check_model_file(path, name, _registered_models(), _optimizers(), compiled)
    try:
        model = keras.saving.load_model(path, compile=compiled, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise WorkError(f"{name} cannot be read as a Keras model: {str(error).splitlines()[0]}") from error
    if not isinstance(model, AutoencoderModel):
        raise SettingError(f"{name} must be a model of audio-vae, not a {type(model).__name__}")
    return model


def _registered_models() -> set[str]:
    """The registered names of the models of this package."""
    kinds = [AutoencoderModel, *AutoencoderModel.__subclasses__()]
    return {str(keras.saving.get_registered_name(kind)) for kind in kinds}


def _optimizers() -> set[str]:
    found = vars(keras.optimizers).items()
    return {name for name, kind in found if isinstance(kind, type) and issubclass(kind, keras.optimizers.Optimizer)}
