"""The variational autoencoder: the autoencoder with a Gaussian bottleneck. Kingma and Welling, arXiv:1312.6114."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import numpy as np
from keras import layers

from vae_model.autoencoder import Autoencoder, AutoencoderModel
from vae_model.config import ModelConfig, to_dict
from vae_model.layers import PACKAGE, Sampling
from vae_model.losses import combined_loss, kl_loss, reconstruction_loss


@keras.saving.register_keras_serializable(package=PACKAGE)
class VAEModel(AutoencoderModel):
    """The Keras model: a dict of `reconstruction`, `mu`, `log_variance` and `z` from a batch of spectrograms.

    z is drawn anew on every call, also when it does not train: a validation loss is the same quantity as a training
    loss. The loss is reconstruction_weight * reconstruction_loss + kl_loss.
    """

    def bottleneck(self, features: Any) -> dict[str, Any]:
        """mu, log_variance and a sample z, in float32 whatever the rest computes in."""
        dim = self.settings.latent_space_dim
        mu = layers.Dense(dim, dtype="float32", name="mu")(features)
        log_variance = layers.Dense(dim, dtype="float32", name="log_variance")(features)
        z = Sampling(dtype="float32", name="z")([mu, log_variance])
        return {"mu": mu, "log_variance": log_variance, "z": z}

    def metric_names(self) -> list[str]:
        """The terms of the loss."""
        return ["reconstruction_loss", "kl_loss"]

    def sample_losses(self, x: Any, outputs: dict[str, Any]) -> tuple[Any, list[Any]]:
        """The combined loss, and its two terms unweighted, each (batch,)."""
        reconstruction = reconstruction_loss(x, outputs["reconstruction"])
        kl = kl_loss(outputs["mu"], outputs["log_variance"])
        return combined_loss(reconstruction, kl, self.settings.reconstruction_weight), [reconstruction, kl]


class VAE(Autoencoder):
    """A convolutional VAE of spectrograms.

    The arguments of `Autoencoder`, and by name: reconstruction_weight, what the reconstruction loss is multiplied by
    before the KL is added (default 1,000,000); decode, whether `reconstruct` decodes the "mean" or a "sampled" z.
    """

    kind: ClassVar[str] = "vae"
    model_class: ClassVar[type[AutoencoderModel]] = VAEModel

    def reconstruct(self, spectrograms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(reconstructions (count, *input_shape), the latents (count, latent_space_dim) that they are decoded from)."""
        latents = self.encode(spectrograms)["mu" if self.config.decode == "mean" else "z"]
        return self.decode(latents), latents

    def fit_latent_distribution(self, spectrograms: np.ndarray) -> None:
        """Make `sample_latents` draw from the Gaussian with the moments of the posterior over these spectrograms."""
        latents = self.encode(spectrograms)
        self.model.latent_distribution.fit(latents["mu"], np.exp(latents["log_variance"]))


def build(config: ModelConfig) -> Autoencoder:
    """A new, untrained Autoencoder or VAE of these settings."""
    kind = VAE if config.kind == VAE.kind else Autoencoder
    wrapper: Autoencoder = kind.wrap(kind.model_class(to_dict(config), name=config.kind))
    return wrapper


def wrap(model: keras.Model) -> Autoencoder:
    """The Autoencoder or VAE around a loaded Keras model."""
    wrapper: Autoencoder = (VAE if isinstance(model, VAEModel) else Autoencoder).wrap(model)
    return wrapper
