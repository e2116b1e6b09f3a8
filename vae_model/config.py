"""Settings of a model and of its training: frozen, validated, with presets. Imports neither TensorFlow nor Keras."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pipelines.config import require
from pipelines.errors import SettingError

KINDS = ("vae", "autoencoder")
DECODES = ("mean", "sampled")
VALUE_RANGES = ("global", "record")
SCHEDULES = ("constant", "cosine")

Stride = int | tuple[int, int]
_Settings = TypeVar("_Settings", "ModelConfig", "TrainConfig")


def _positive(value: Any, *types: type) -> bool:
    """Whether a value is a finite number above 0 of one of the types; a bool is none."""
    number: Any = value if isinstance(value, types) and not isinstance(value, bool) else 0
    return math.isfinite(number) and bool(number > 0)


@dataclass(frozen=True)
class ModelConfig:
    """The architecture and the loss.

    kind: "vae", or "autoencoder" for a deterministic bottleneck. input_shape: (n_bins, n_frames, n_channels).
    conv_filters, conv_kernels, conv_strides: one entry a layer, a stride an int or a (bins, frames) pair.
    reconstruction_weight: what the reconstruction loss is multiplied by before the KL is added; a VAE's alone.
    decode: which latent `reconstruct` decodes, the "mean" mu or a "sampled" z; a VAE's alone.
    norm_momentum: what BatchNormalization keeps of its running statistics at each step; they settle after about
    5 / (1 - norm_momentum) steps, and until then a validation loss says little.
    """

    kind: str = "vae"
    input_shape: tuple[int, int, int] = (256, 64, 1)
    conv_filters: tuple[int, ...] = (32, 64, 96, 128, 192)
    conv_kernels: tuple[int, ...] = (3, 3, 3, 3, 3)
    conv_strides: tuple[Stride, ...] = (2, 2, 2, 2, (2, 1))
    latent_space_dim: int = 128
    reconstruction_weight: float = 1_000_000.0
    decode: str = "mean"
    norm_momentum: float = 0.99

    def __post_init__(self) -> None:
        require(self.kind in KINDS, "kind", self.kind, f"one of {', '.join(KINDS)}")
        shape = self.input_shape
        is_shape = isinstance(shape, tuple) and len(shape) == 3 and all(_positive(size, int) for size in shape)
        require(is_shape, "input_shape", shape, "three positive sizes (n_bins, n_frames, n_channels)")
        layers = len(self.conv_filters)
        require(layers > 0, "conv_filters", self.conv_filters, "at least one layer")
        for name in ("conv_filters", "conv_kernels"):
            values = getattr(self, name)
            require(all(_positive(value, int) for value in values), name, values, "positive integers")
        for name in ("conv_kernels", "conv_strides"):
            values = getattr(self, name)
            require(len(values) == layers, name, values, f"of the length of conv_filters, {layers}")
        for stride in self.conv_strides:
            sizes = stride if isinstance(stride, tuple) else (stride, stride)
            is_stride = len(sizes) == 2 and all(_positive(size, int) for size in sizes)
            require(is_stride, "conv_strides", stride, "a positive integer or a pair of them")
        require(_positive(self.latent_space_dim, int), "latent_space_dim", self.latent_space_dim, "a positive integer")
        weight = self.reconstruction_weight
        require(_positive(weight, int, float), "reconstruction_weight", weight, "a positive number")
        momentum = self.norm_momentum
        require(_positive(momentum, int, float) and momentum < 1, "norm_momentum", momentum, "between 0 and 1")
        require(self.decode in DECODES, "decode", self.decode, f"one of {', '.join(DECODES)}")

    @property
    def stride_pairs(self) -> list[tuple[int, int]]:
        """(bins, frames) strides of each layer."""
        return [stride if isinstance(stride, tuple) else (stride, stride) for stride in self.conv_strides]


@dataclass(frozen=True)
class TrainConfig:
    """How a model is fitted.

    learning_rate: Adam's. schedule: the rate stays "constant", or falls as half a "cosine" to 0 at the last epoch.
    patience: epochs without a lower validation loss before training stops; 0 never stops it.
    value_range: what 0 and 1 stand for in the model's input: the dataset's "global" dB range, or each "record"'s own.
    output_bias: start the output at the mean of the training data instead of 0.5, which saves the first epochs.
    cache_mb: a split of at most this many MB is kept in memory after its first reading.
    """

    epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 5e-4
    schedule: str = "constant"
    patience: int = 0
    seed: int = 0
    value_range: str = "global"
    output_bias: bool = True
    cache_mb: int = 1024

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            require(_positive(getattr(self, name), int), name, getattr(self, name), "a positive integer")
        rate = self.learning_rate
        require(_positive(rate, int, float), "learning_rate", rate, "a positive number")
        require(self.schedule in SCHEDULES, "schedule", self.schedule, f"one of {', '.join(SCHEDULES)}")
        for name in ("patience", "seed", "cache_mb"):
            value = getattr(self, name)
            require(value == 0 or _positive(value, int), name, value, "0 or a positive integer")
        require(self.seed < 2**31, "seed", self.seed, "below 2**31")
        require(self.value_range in VALUE_RANGES, "value_range", self.value_range, f"one of {', '.join(VALUE_RANGES)}")

    def learning_rate_at(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        if self.schedule == "cosine":
            return self.learning_rate * (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        return self.learning_rate


@dataclass(frozen=True)
class Preset:
    """A named pair of model and training settings."""

    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


PRESETS: dict[str, Preset] = {
    "default": Preset(train=TrainConfig(patience=20)),
    "speech": Preset(train=TrainConfig(patience=20)),
    "course": Preset(
        ModelConfig(conv_filters=(512, 256, 128, 64, 32), decode="sampled"),
        TrainConfig(epochs=150, value_range="record", output_bias=False),
    ),
    "tiny": Preset(
        ModelConfig(
            conv_filters=(16, 32, 64),
            conv_kernels=(8, 5, 5),
            conv_strides=(4, 2, (4, 2)),
            latent_space_dim=64,
            reconstruction_weight=100_000.0,
            norm_momentum=0.9,
        ),
        TrainConfig(epochs=25, batch_size=8, learning_rate=2e-3, schedule="cosine"),
    ),
}
"""`course` is the reference's model and training; `tiny` trains in a minute on a laptop."""


def to_dict(config: ModelConfig | TrainConfig) -> dict[str, Any]:
    """The settings as JSON values."""
    return dataclasses.asdict(config)


def model_config(values: dict[str, Any]) -> ModelConfig:
    """The ModelConfig of a dict, lists read as tuples: the inverse of `to_dict`. SettingError on an unknown key."""
    return _build(ModelConfig, values)


def train_config(values: dict[str, Any]) -> TrainConfig:
    """The TrainConfig of a dict: the inverse of `to_dict`. SettingError on an unknown key."""
    return _build(TrainConfig, values)


def _build(cls: type[_Settings], values: dict[str, Any]) -> _Settings:
    names = {f.name for f in dataclasses.fields(cls)}
    for key in values:
        if key not in names:
            raise SettingError(f"{cls.__name__} setting {key!r} must be one of {', '.join(sorted(names))}")
    return cls(**{key: _tuples(value) for key, value in values.items()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, (list, tuple)) else value
