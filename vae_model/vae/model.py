"""The Keras model of the autoencoder, and what it shares with the VAE's."""

from __future__ import annotations

import os
from typing import Any

import keras
from keras import layers, ops

from pipelines.errors import SettingError
from vae_model.model_folder.config import ModelConfig, model_config, to_dict
from vae_model.vae.course_weights import is_by_name, load_by_name
from vae_model.vae.layers import PACKAGE, LatentDistribution, build_decoder, conv_stack, fixed_linear
from vae_model.vae.losses import PerSampleLoss, reconstruction_loss


@keras.saving.register_keras_serializable(package=PACKAGE)
class AutoencoderModel(keras.Model):
    """The Keras model: a dict of `reconstruction` and the latents from a batch of spectrograms.

    settings: a ModelConfig as a dict. Trained with `fit(x)`: the target is the input. A y of the input's shape is the
    target instead; a y (batch,) is the number of frames before the padding, which then costs nothing. The loss is the
    mean squared error; every term is a metric. A class with a method of its own in place of one of
    these is a model of one's own: docs/own-code.md.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Keras finds a class by its registered name, in safe mode too: one of a user's own gets that of its module."""
        super().__init_subclass__(**options)
        keras.saving.register_keras_serializable(package=cls.__module__)(cls)

    metrics_as_vectors = False
    """Whether a step gives its metrics as (1,): `fit` on several machines takes means over their axis 0."""

    def __init__(self, settings: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings = model_config(settings)
        spectrogram = keras.Input(self.settings.input_shape, name="encoder_input")
        latents = self.bottleneck(spectrogram, self.features(spectrogram))
        self.encoder = keras.Model(spectrogram, latents, name="encoder")
        self.decoder = self.make_decoder()
        self.latent_distribution = LatentDistribution(self.settings.latent_space_dim, name="latent_distribution")
        self.trackers = [keras.metrics.Mean(name) for name in self.metric_names()]
        self._mean_loss = PerSampleLoss()
        self.built = True

    def features(self, spectrogram: Any) -> Any:
        """What the latents are computed from, (batch, features), of a batch (batch, n_bins, n_frames, n_channels)."""
        return conv_stack(self.settings, spectrogram)

    def make_decoder(self) -> keras.Model:
        """A model from latents (batch, latent_space_dim) to spectrograms (batch, *input_shape) in [0, 1]."""
        return build_decoder(self.settings)

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

    def change_settings(self, settings: ModelConfig) -> None:
        """Go on with other settings of the same architecture, also when it has been trained already."""
        self.settings = settings
        self.train_function = self.test_function = None  # those that are traced have the old ones in them

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
        if self._compile_loss is not None:
            raise SettingError("loss must not be given to compile: the model has its own, of sample_losses")
        target, valid_frames = _target(x, y)
        loss, terms = self.sample_losses(target, y_pred, valid_frames, training)
        for tracker, term in zip(self.trackers, terms, strict=True):
            tracker.update_state(term, sample_weight=sample_weight)
        return self._mean_loss(ops.zeros_like(loss), loss, sample_weight=sample_weight)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """The metrics so far, by name."""
        metrics: dict[str, Any] = super().compute_metrics(x, y, y_pred, sample_weight)
        return (
            {name: ops.reshape(value, (1,)) for name, value in metrics.items()} if self.metrics_as_vectors else metrics
        )

    def predict(self, *arguments: Any, **named: Any) -> Any:
        """The reconstructions alone, (count, *input_shape), as Keras's `predict` gives what a model of arrays does."""
        return super().predict(*arguments, **named)["reconstruction"]

    def load_weights(self, filepath: str | os.PathLike[str], skip_mismatch: bool = False, **named: Any) -> None:
        """Keras's own; a file of Keras 2, such as the course's weights.h5, is read by the names of layers, all or none.

        SettingError or WorkError names what does not fit. Keras itself goes by the order of layers in such a file.
        """
        if is_by_name(filepath):
            load_by_name(self, filepath)
        else:
            super().load_weights(filepath, skip_mismatch=skip_mismatch, **named)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"name": self.name, "settings": to_dict(self.settings)}


def _target(x: Any, y: Any) -> tuple[Any, Any]:
    """What is to come out, and the number of frames that count, of what `fit` was given. SettingError for another y."""
    if y is None or len(y.shape) == 1 or tuple(y.shape[1:]) == (1,):
        return x, y
    if len(y.shape) == len(x.shape) and tuple(y.shape[1:]) == tuple(x.shape[1:]):
        return y, None
    wanted = f"that of x, {tuple(x.shape)}, as the target, or (batch,), frames before the padding"
    raise SettingError(f"y of shape {tuple(y.shape)} must have {wanted}")
