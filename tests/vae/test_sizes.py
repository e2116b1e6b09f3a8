"""How many numbers a model's weights are, told from its settings."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from vae_model.model_folder.config import ModelConfig
from vae_model.model_folder.presets import PRESETS
from vae_model.vae.sizes import count_weights
from vae_model.vae.variational import build

SMALL = ModelConfig(
    input_shape=(8, 4, 1), conv_filters=(4, 3), conv_kernels=(3, 3), conv_strides=(2, 2), latent_space_dim=5
)
VARIANTS = [
    {},
    {"kind": "autoencoder"},
    {"norm": "group"},
    {"norm": "none", "residual_blocks": 2},
    {"linear_path": True},
    {"linear_path": True, "kind": "autoencoder", "input_shape": (9, 5, 2), "conv_strides": (2, (2, 1))},
    {"upsampling": "resize", "decoder_variance": "learned", "log_variance_range": (-9.0, 4.0)},
    {"conv_filters": (6,), "conv_kernels": (5,), "conv_strides": (2,), "linear_path": True},
    {"decoder_start": "first", "conv_filters": (9, 3)},
    {"decoder_start": "first", "linear_path": True, "input_shape": (9, 5, 2), "norm": "group", "residual_blocks": 1},
]


@pytest.mark.parametrize("changes", VARIANTS)
def test_the_number_of_weights_is_known_from_the_settings(changes: dict[str, Any]) -> None:
    config = dataclasses.replace(SMALL, **changes)
    model = build(config).model
    noise = sum(int(np.prod(v.shape)) for v in model.variables if v.name == "seed_generator_state")
    every = sum(int(np.prod(variable.shape)) for variable in model.variables)
    assert count_weights(config) == every - noise


def test_the_number_of_weights_of_the_reference() -> None:
    course = PRESETS["course"].model
    latents = 128 + 128**2
    assert count_weights(course) == 1_838_688 + 533_089 + latents + 1


def test_the_number_of_weights_of_the_preset() -> None:
    """Layer by layer, a convolution being (kernel x inputs + 1) x outputs and a dense layer (inputs + 1) x outputs."""
    dim, cells, deep, seeds = 128, 256 * 64, 8 * 4 * 128, 32 * 16 * 16
    encoder = (8 * 4 * 1 + 1) * 64 + (9 * 64 + 1) * 96 + (9 * 96 + 1) * 128 + 2 * (deep + 1) * dim
    linear = (cells + 1) * dim + (dim + 1) * cells
    refined = (8 * 4 * 1 + 1) * 64 + 2 * (9 * 64 + 1) * 64
    decoder = (dim + 1) * seeds + (9 * 16 + 1) * 64 + refined + (8 * 4 * 64 + 1) * 1
    gaussian, kl_weight = dim + dim**2, 1
    assert count_weights(PRESETS["default"].model) == encoder + linear + decoder + gaussian + kl_weight
