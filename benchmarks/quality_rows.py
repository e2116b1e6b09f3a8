"""The models that `quality.py` compares, one setting changed in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """A model to train. changes: settings by name that differ from the `default` preset."""

    name: str
    changes: dict[str, Any]
    long: bool = False


COMMON = {"value_range": "record", "decode": "mean", "prior": "none"}
"""What every row is measured under."""

FIVE_LAYERS = {
    "conv_filters": (32, 64, 96, 128, 192),
    "conv_kernels": (5, 3, 3, 3, 3),
    "conv_strides": ((4, 2), 2, 2, 2, 1),
    "decoder_start": "last",
}
"""A network of the reference's kind, with ascending filters."""
PLAIN = FIVE_LAYERS | {
    "norm": "batch",
    "linear_path": False,
    "time_shift_frames": 0,
    "norm_momentum": 0.95,
    "learning_rate": 5e-4,
}
"""What most short rows change one thing of."""


def rows(short_epochs: int) -> list[Row]:
    """All models of the table."""

    def plain(name: str, **changes: Any) -> Row:
        return Row(name, PLAIN | {"epochs": short_epochs} | changes)

    def chosen(name: str, **changes: Any) -> Row:
        return Row(name, {"epochs": short_epochs} | changes)

    return [
        plain("plain: ascending filters, BatchNorm, output bias"),
        plain("plain, filters descending (192,128,96,64,32)", conv_filters=(192, 128, 96, 64, 32)),
        plain("plain without output bias", output_bias=False),
        plain("plain, constant learning rate", schedule="constant"),
        plain("plain, KL warm-up of 2 epochs", kl_warmup_epochs=2),
        plain("plain, free bits 0.5", free_bits=0.5),
        plain("plain, log-variance in -8,2", log_variance_range=(-8.0, 2.0)),
        plain("plain, GroupNorm", norm="group"),
        plain("plain, no normalisation", norm="none"),
        plain("plain, a residual block a layer", residual_blocks=1),
        plain("plain, resize-convolution", upsampling="resize"),
        plain("plain, learned decoder variance", decoder_variance="learned"),
        plain("plain, padding masked", mask_padding=True),
        plain("plain, batches shifted by up to 2 frames", time_shift_frames=2),
        chosen("default, few epochs"),
        chosen("default, decoder mirrored", decoder_start="last"),
        chosen("default, five layers, mirrored", **FIVE_LAYERS),
        chosen("default, learning rate of plain", learning_rate=5e-4),
        chosen("default, batches not shifted", time_shift_frames=0),
        chosen("default, float32", mixed_precision="off"),
        Row("**default, latent 128**", {}, long=True),
        Row("**default, latent 32, half the epochs**", {"latent_space_dim": 32, "epochs": 20}, long=True),
    ]
