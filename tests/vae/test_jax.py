"""The models on Keras's JAX backend: the same file, the same batch, the same step."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.places import ROOT

pytestmark = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")

MODEL: dict[str, Any] = {
    "input_shape": (16, 12, 1),
    "conv_filters": (4, 8),
    "conv_kernels": (5, 3),
    "conv_strides": (2, (2, 1)),
    "latent_space_dim": 3,
}

STEP = """
import sys
import keras, numpy as np
from vae_model.vae.saving import load_model
from vae_model.vae import wrap
folder, wanted = sys.argv[1:]
assert keras.backend.backend() == wanted
autoencoder = wrap(load_model(__import__("pathlib").Path(folder) / "model.keras"))
x = np.load(folder + "/x.npy")
before = autoencoder.decode(np.ones((2, 3), np.float32))
history = autoencoder.train(x, len(x), 1).history
np.savez(folder + "/" + wanted, before=before, after=autoencoder.decode(np.ones((2, 3), np.float32)),
         **{name: values[0] for name, values in history.items()})
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["autoencoder", "vae"])
def test_a_step_on_jax_is_a_step_on_tensorflow(kind: str, tmp_path: Path) -> None:
    from vae_model.vae.variational import VAE, Autoencoder

    model = VAE(**MODEL, reconstruction_weight=1000.0) if kind == "vae" else Autoencoder(**MODEL)
    model.compile(1e-2)
    model.save(tmp_path)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((8, 16, 12, 1), np.float32))
    for backend in ("tensorflow", "jax"):
        environment = dict(os.environ, PYTHONPATH=str(ROOT), KERAS_BACKEND=backend, JAX_PLATFORMS="cpu")
        command = [sys.executable, "-c", STEP, str(tmp_path), backend]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
        assert done.returncode == 0, done.stderr
    ours, theirs = (np.load(tmp_path / f"{name}.npz") for name in ("jax", "tensorflow"))
    assert set(ours) == set(theirs)
    assert all(np.isfinite(ours[name]).all() for name in ours)
    np.testing.assert_allclose(ours["before"], theirs["before"], atol=1e-6)
    assert not np.allclose(ours["before"], ours["after"], atol=1e-4)
    if kind == "vae":  # each draws a noise of its own
        np.testing.assert_allclose(ours["kl_loss"], theirs["kl_loss"], rtol=1e-4)
        np.testing.assert_allclose(ours["reconstruction_loss"], theirs["reconstruction_loss"], rtol=0.1)
    else:
        np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-5)
        np.testing.assert_allclose(ours["after"], theirs["after"], atol=1e-3)
