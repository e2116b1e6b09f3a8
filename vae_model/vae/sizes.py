"""How many numbers a model's weights are, known from its settings before anything is built."""

from __future__ import annotations

import math

from vae_model.model_folder.config import ModelConfig

_NORM_WEIGHTS = {"batch": 4, "group": 2, "none": 0}


def conv_output_shape(config: ModelConfig) -> tuple[int, int, int]:
    """Shape (bins, frames, filters) of the last convolution: every stride divides its size, rounding up."""
    bins, frames, _ = config.input_shape
    for bins_stride, frames_stride in config.stride_pairs:
        bins, frames = -(-bins // bins_stride), -(-frames // frames_stride)
    return bins, frames, config.conv_filters[-1]


def count_weights(config: ModelConfig) -> int | None:
    """Numbers in all weights of the model, those that are not trained included; without its noise's place.

    None of a class of a user's own, which may have any.
    """
    if config.code:
        return None
    dim, cells, features = config.latent_space_dim, math.prod(config.input_shape), math.prod(conv_output_shape(config))
    heads = (2 if config.is_vae else 1) * (features + 1) * dim
    others = dim + dim**2 + (config.is_vae) + (config.is_vae and config.decoder_variance == "learned")
    linear = (cells + 1) * dim + (dim + 1) * cells if config.linear_path else 0
    return _encoder(config) + heads + linear + (dim + 1) * features + _decoder(config) + others


def _encoder(config: ModelConfig) -> int:
    channels = (config.input_shape[2], *config.conv_filters)
    return sum(
        (math.prod(kernel) * inner + 1) * outer + _after(config, outer)
        for inner, outer, kernel in zip(channels, config.conv_filters, config.kernel_pairs, strict=False)
    )


def _decoder(config: ModelConfig) -> int:
    """Its convolutions: one for each but the first of the encoder, then the one that gives the output."""
    total, inner = 0, config.conv_filters[-1]
    for outer, kernel in zip(reversed(config.conv_filters[1:]), reversed(config.kernel_pairs[1:]), strict=True):
        total += (math.prod(kernel) * inner + 1) * outer + _after(config, outer)
        inner = outer
    first, channels = config.kernel_pairs[0], config.input_shape[2]
    if config.linear_path and len(config.conv_filters) > 1:
        total += (math.prod(first) * channels + 1) * inner + _residual_block(inner)
    return total + (math.prod(first) * inner + 1) * channels


def _after(config: ModelConfig, filters: int) -> int:
    """The normalisation and the residual blocks after a convolution."""
    return _NORM_WEIGHTS[config.norm] * filters + config.residual_blocks * _residual_block(filters)


def _residual_block(filters: int) -> int:
    return 2 * (9 * filters + 1) * filters
