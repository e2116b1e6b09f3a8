"""What an encoder says of sounds, whatever the kind of model: a Gaussian for each, or a point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Gaussians:
    """Where the sounds of a batch lie among the latents.

    means: float32 (count, latent_space_dim), mu of a VAE and z of an autoencoder. log_variances: of that shape; None of
    an autoencoder, which gives each sound a point.
    """

    means: NDArray[np.float32]
    log_variances: NDArray[np.float32] | None = None

    def draw(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """A latent from each, float32 (count, latent_space_dim). A point is drawn as it is, and takes nothing of rng.

        mu + exp(log_variance / 2) * epsilon, epsilon ~ N(0, 1): Kingma and Welling, arXiv:1312.6114, section 2.4.
        """
        if self.log_variances is None:
            return self.means
        noise = rng.standard_normal(self.means.shape).astype(np.float32)
        deviations: NDArray[np.float32] = np.exp(self.log_variances / 2)
        return self.means + deviations * noise
