"""The variational autoencoder: the autoencoder with a Gaussian bottleneck. Kingma and Welling, arXiv:1312.6114."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import keras
import numpy as np
from keras import layers

from pipelines.course_names import also_called
from vae_model.model_folder.config import VARIATIONAL, ModelConfig, to_dict
from vae_model.vae.autoencoder import Autoencoder
from vae_model.vae.layers import PACKAGE, Limited, Sampling
from vae_model.vae.losses import combined_loss, kl_per_dimension, learned_weight, with_free_bits
from vae_model.vae.model import AutoencoderModel
from vae_model.vae.own_classes import class_of


@keras.saving.register_keras_serializable(package=PACKAGE)
class VAEModel(AutoencoderModel):
    """The Keras model: a dict of `reconstruction`, `mu`, `log_variance` and `z` from a batch of spectrograms.

    z is drawn anew on every call, also when it does not train: a validation loss is the same quantity as a training
    loss. The loss is reconstruction_weight * reconstruction_loss + kl_loss. `kl_weight` is what the KL is multiplied
    by while training, 1 unless a warm-up sets it; a validation loss always counts it whole.
    """

    def __init__(self, settings: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(settings, **kwargs)
        self.kl_weight = self.add_weight(shape=(), initializer="ones", trainable=False, name="kl_weight")
        self.log_noise = None
        if self.settings.decoder_variance == "learned":
            self.log_noise = self.add_weight(shape=(), initializer="zeros", name="log_noise")

    def bottleneck(self, spectrogram: Any, features: Any) -> dict[str, Any]:
        """mu, log_variance and a sample z, in float32 whatever the rest computes in."""
        mu = self.latent_head(spectrogram, features, "mu")
        first = "zeros" if self.settings.linear_path else "glorot_uniform"
        dim = self.settings.latent_space_dim
        log_variance = layers.Dense(dim, kernel_initializer=first, dtype="float32", name="log_variance")(features)
        if limits := self.settings.log_variance_range:
            log_variance = Limited(*limits, dtype="float32", name="log_variance_limited")(log_variance)
        z = Sampling(dtype="float32", name="z")([mu, log_variance])
        return {"mu": mu, "log_variance": log_variance, "z": z}

    def metric_names(self) -> list[str]:
        """The terms of the loss."""
        return ["reconstruction_loss", "kl_loss"]

    def sample_losses(
        self, x: Any, outputs: dict[str, Any], valid_frames: Any = None, training: bool = False
    ) -> tuple[Any, list[Any]]:
        """The combined loss, and its two terms unweighted, each (batch,)."""
        settings = self.settings
        reconstruction = self.reconstruction_loss(x, outputs, valid_frames)
        kl_terms = kl_per_dimension(outputs["mu"], outputs["log_variance"])
        kl = counted = keras.ops.sum(kl_terms, axis=1)
        if training:
            if settings.free_bits > 0:
                counted = with_free_bits(kl_terms, settings.free_bits)
            counted = self.kl_weight * counted
        weight, cost = settings.reconstruction_weight, 0.0
        if self.log_noise is not None:
            weight, cost = learned_weight(self.log_noise, weight, int(np.prod(settings.input_shape)))
        return combined_loss(reconstruction, counted, weight) + cost, [reconstruction, kl]


class VAE(Autoencoder):
    """A convolutional VAE of spectrograms.

    The arguments of `Autoencoder`, and by name: reconstruction_weight, what the reconstruction loss is multiplied by
    before the KL is added (default 1,000,000); decode, whether `reconstruct` decodes the "mean" or a "sampled" z. The
    weight may be set later too, also as `reconstruction_loss_weight`, and counts from the next call of `train` on.

    >>> import numpy as np
    >>> vae = VAE((32, 16, 1), conv_filters=(4, 8), conv_kernels=(3, 3), conv_strides=(2, 2), latent_space_dim=3)
    >>> vae.compile(learning_rate=0.0005)
    >>> spectrograms = np.random.default_rng(0).uniform(size=(8, 32, 16, 1)).astype(np.float32)
    >>> sorted(vae.train(spectrograms, batch_size=4, num_epochs=1, verbose=0).history)
    ['kl_loss', 'loss', 'reconstruction_loss']
    >>> sorted(vae.encode(spectrograms))
    ['log_variance', 'mu', 'z']
    """

    kind: ClassVar[str] = VARIATIONAL
    model_class: ClassVar[type[AutoencoderModel]] = VAEModel

    @property
    def reconstruction_weight(self) -> float:
        """What the reconstruction loss is multiplied by, from the next call of `train` on."""
        return self.config.reconstruction_weight

    @reconstruction_weight.setter
    def reconstruction_weight(self, weight: float) -> None:
        self.model.change_settings(dataclasses.replace(self.config, reconstruction_weight=float(weight)))

    reconstruction_loss_weight = reconstruction_weight

    @also_called(images="spectrograms")
    def reconstruct(self, spectrograms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(reconstructions (count, *input_shape), the latents (count, latent_space_dim) that they are decoded from)."""
        latents = self.encode(spectrograms)["z" if self.config.decodes_sample else "mu"]
        return self.decode(latents), latents

    def fit_latent_distribution(self, spectrograms: np.ndarray) -> None:
        """Make `sample_latents` draw from the Gaussian with the moments of the posterior over these spectrograms."""
        latents = self.encode(spectrograms)
        self.model.latent_distribution.fit(latents["mu"], np.exp(latents["log_variance"]))


def build(config: ModelConfig) -> Autoencoder:
    """A new, untrained Autoencoder or VAE of these settings."""
    kind = class_of(config.code, config.kind) if config.code else (VAE if config.is_vae else Autoencoder)
    wrapper: Autoencoder = kind.wrap(kind.model_class(to_dict(config), name=config.kind))
    return wrapper


def wrap(model: keras.Model) -> Autoencoder:
    """The Autoencoder or VAE around a loaded Keras model."""
    kind: type[Autoencoder] = VAE if isinstance(model, VAEModel) else Autoencoder
    if model.settings.code:
        kind = class_of(model.settings.code, model.settings.kind)
    wrapper: Autoencoder = kind.wrap(model)
    return wrapper
