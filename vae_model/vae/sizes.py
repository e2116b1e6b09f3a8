"""How many numbers a model's weights are, known from its settings before anything is built."""

from __future__ import annotations

import math

from vae_model.model_folder.config import FIRST, ModelConfig

START_KERNEL = (3, 3)
"""Of the convolution of a decoder that starts at the size of the encoder's first."""
_SEED_PART = 4
_NORM_WEIGHTS = {"batch": 4, "group": 2, "none": 0}


def conv_output_shape(config: ModelConfig) -> tuple[int, int, int]:
    """Shape (bins, frames, filters) of the last convolution: every stride divides its size, rounding up."""
    bins, frames, _ = config.input_shape
    for bins_stride, frames_stride in config.stride_pairs:
        bins, frames = -(-bins // bins_stride), -(-frames // frames_stride)
    return bins, frames, config.conv_filters[-1]


def decoder_start_shape(config: ModelConfig) -> tuple[int, int, int]:
    """Shape (bins, frames, filters) that the decoder's convolutions start from.

    That of the encoder's last convolution, or of its first with a quarter of the filters: then each cell of it is a
    number more for each latent to be multiplied by.
    """
    if config.decoder_start != FIRST:
        return conv_output_shape(config)
    bins, frames = (
        -(-size // stride) for size, stride in zip(config.input_shape, config.stride_pairs[0], strict=False)
    )
    return bins, frames, max(1, config.conv_filters[0] // _SEED_PART)


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
    start = (dim + 1) * math.prod(decoder_start_shape(config))
    return _encoder(config) + heads + linear + start + _decoder(config) + others


def _encoder(config: ModelConfig) -> int:
    channels = (config.input_shape[2], *config.conv_filters)
    return sum(
        (math.prod(kernel) * inner + 1) * outer + _after(config, outer)
        for inner, outer, kernel in zip(channels, config.conv_filters, config.kernel_pairs, strict=False)
    )


def _decoder(config: ModelConfig) -> int:
    """Its convolutions: one for each but the first of the encoder, or one to its filters; then that of the output."""
    total, inner = 0, decoder_start_shape(config)[2]
    steps = list(zip(reversed(config.conv_filters[1:]), reversed(config.kernel_pairs[1:]), strict=True))
    if config.decoder_start == FIRST:
        steps = [(config.conv_filters[0], START_KERNEL)]
    for outer, kernel in steps:
        total += (math.prod(kernel) * inner + 1) * outer + _after(config, outer)
        inner = outer
    first, channels = config.kernel_pairs[0], config.input_shape[2]
    if config.linear_path and steps:
        total += (math.prod(first) * channels + 1) * inner + _residual_block(inner)
    return total + (math.prod(first) * inner + 1) * channels


def _after(config: ModelConfig, filters: int) -> int:
    """The normalisation and the residual blocks after a convolution."""
    return _NORM_WEIGHTS[config.norm] * filters + config.residual_blocks * _residual_block(filters)


def _residual_block(filters: int) -> int:
    return 2 * (9 * filters + 1) * filters
