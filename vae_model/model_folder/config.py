"""Settings of a model and of its training: frozen, validated. Imports neither TensorFlow nor Keras."""

from __future__ import annotations

import dataclasses
import math
import sys
from dataclasses import dataclass
from typing import Any, TypeVar

from pipelines.errors import SettingError, require, shortened
from pipelines.settings import check_settings, coerced, fixed, hints, positive, setting
from vae_model.model_folder.own_code import check_code
from vae_model.model_folder.prior_settings import PRIORS

VARIATIONAL = "vae"
KINDS = (VARIATIONAL, "autoencoder")
DECODES = ("mean", "sampled")
VALUE_RANGES = ("global", "record")
SCHEDULES = ("constant", "cosine")
KEEPS = ("best", "last")
NORMS = ("batch", "group", "none")
UPSAMPLINGS = ("transpose", "resize")
DECODER_STARTS = LAST, FIRST = "last", "first"
DECODER_VARIANCES = ("fixed", "learned")
MIXED_PRECISIONS = ("off", "on", "auto")
JITS = ("auto", "on", "off")
STRATEGIES = ("auto", "none", "mirrored", "multi-worker")
PGHI = "pghi"
PHASES = ("pghi+griffinlim", PGHI, "griffinlim", "zero")
"""Ways to find the phases that a spectrogram does not have, the default first."""
ORIGINAL_PHASE = "original"
"""The phases of the sound that went in: only for reconstructions, and nothing that a model could do alone."""
NO_CHANGE, PEAK, LOUDNESS = NORMALISATIONS = "none", "peak", "loudness"
"""How loud a WAV file is made: as its spectrogram says, or every file to one peak, or to one loudness."""
# What a setting is for, the groups of `audio-vae train --help` and of a model's config.yaml.
TRAINED = "what is trained"
LOSS = "the loss"
FITTING = "how it is trained"
SPEED = "speed and memory"
NEW_SOUNDS = "what new sounds are drawn from"
OUTPUT = "where things go"
_FREE_FITTING = ("epochs", "patience", "learning_rate", "media_epochs", "checkpoint_seconds")
_FREE_SPEED = ("cache_mb", "shard_cache_mb", "jit", "steps_per_execution", "strategy")
FREE_PRIOR = ("prior", "prior_epochs", "prior_width")
FREE = (*_FREE_FITTING, *_FREE_SPEED, *FREE_PRIOR)
"""Settings of a training that may change when it is resumed."""
MOST_LAYERS = 64
_MOST_NUMBERS = 2**29
"""Float32 numbers of 2 GiB."""
Stride = int | tuple[int, int]
_Settings = TypeVar("_Settings", "ModelConfig", "TrainConfig")


def _positive(value: Any, *types: type) -> bool:
    """Whether a value is a finite number above 0 of one of the types; a bool is none."""
    number: Any = value if isinstance(value, types) and not isinstance(value, bool) else 0
    return bool(0 < number <= sys.float_info.max)  # which no NaN is, and an integer may be beyond every float


def _pair(size: Stride) -> tuple[int, int]:
    """A size for both axes, or for each its own, as the latter."""
    return size if isinstance(size, tuple) else (size, size)


@dataclass(frozen=True)
class ModelConfig:
    """The architecture and the loss. What `setting` makes is a flag of `audio-vae train` and a key of its files.

    input_shape: (n_bins, n_frames, n_channels). conv_filters, conv_kernels, conv_strides have one entry a layer.
    norm_momentum: statistics settle after about 5 / (1 - norm_momentum) steps, and until then a validation loss says
    little.
    """

    kind: str = setting(
        VARIATIONAL, TRAINED, "vae, or autoencoder for a deterministic bottleneck", choices=KINDS, flag="--model"
    )
    input_shape: tuple[int, int, int] = fixed((256, 64, 1))
    conv_filters: tuple[int, ...] = setting((32, 64, 96, 128, 192), TRAINED, "filters of each convolution")
    conv_kernels: tuple[Stride, ...] = setting((3,) * 5, TRAINED, "kernel of each convolution, or [bins,frames]")
    conv_strides: tuple[Stride, ...] = setting(
        (2, 2, 2, 2, (2, 1)), TRAINED, "stride of each convolution, or [bins,frames]"
    )
    latent_space_dim: int = setting(128, TRAINED, "size of the latent", check=positive("integer", int))
    norm_momentum: float = setting(
        0.99, TRAINED, "what batch normalisation keeps of its running statistics at each step"
    )
    norm: str = setting("batch", TRAINED, "normalisation after each convolution", choices=NORMS)
    residual_blocks: int = setting(0, TRAINED, "residual blocks after each convolution")
    upsampling: str = setting(
        "transpose",
        TRAINED,
        "the decoder grows by transposed convolutions, or by resize and convolution",
        choices=UPSAMPLINGS,
    )
    decoder_start: str = setting(
        LAST, TRAINED, "the decoder starts at the size of the last convolution, or of the first", choices=DECODER_STARTS
    )
    linear_path: bool = setting(
        False, TRAINED, "a fixed linear encoder and decoder, the data's PCA, beside the convolutions"
    )
    code: str = setting(
        "",
        TRAINED,
        "a module of your own, or MODULE:CLASS, with a subclass of VAE or Autoencoder to train: docs/own-code.md",
        metavar="MODULE",
        flag="--import",
        unset="none",
        check=check_code,
    )
    decode: str = setting(
        "mean", TRAINED, "which latent is decoded, the mean mu or a sampled z; VAE only", choices=DECODES
    )
    reconstruction_weight: float = setting(
        1_000_000.0, LOSS, "reconstruction loss x W + KL; VAE only", metavar="W", check=positive("number")
    )
    decoder_variance: str = setting(
        "fixed",
        LOSS,
        "W is fixed, or learned with the decoder's variance; VAE only",
        choices=DECODER_VARIANCES,
    )
    free_bits: float = setting(0.0, LOSS, "nats of KL that each latent dimension has free; VAE only", metavar="NATS")
    log_variance_range: tuple[float, ...] = setting(
        (), LOSS, "keep log_variance in LOW,HIGH; none when empty; VAE only", metavar="LOW,HIGH"
    )

    def __post_init__(self) -> None:
        check_settings(self)
        shape = self.input_shape
        is_shape = isinstance(shape, tuple) and len(shape) == 3 and all(_positive(size, int) for size in shape)
        require(is_shape, "input_shape", shape, "three positive sizes (n_bins, n_frames, n_channels)")
        layers = len(self.conv_filters)
        require(0 < layers <= MOST_LAYERS, "conv_filters", self.conv_filters, f"one layer to {MOST_LAYERS}")
        filters = self.conv_filters
        require(all(_positive(value, int) for value in filters), "conv_filters", filters, "positive integers")
        for name in ("conv_kernels", "conv_strides"):
            values = getattr(self, name)
            require(len(values) == layers, name, values, f"of the length of conv_filters, {layers}")
            for sizes in map(_pair, values):
                is_pair = len(sizes) == 2 and all(_positive(size, int) for size in sizes)
                require(is_pair, name, values, "positive integers or pairs of them")
        require(self._decoded_size <= _MOST_NUMBERS, "conv_strides", self.conv_strides, "an output of at most 2 GiB")
        momentum = self.norm_momentum
        require(_positive(momentum, int, float) and momentum < 1, "norm_momentum", momentum, "between 0 and 1")
        blocks, bits, limits = self.residual_blocks, self.free_bits, self.log_variance_range
        few = blocks == 0 or (_positive(blocks, int) and blocks <= MOST_LAYERS)
        require(few, "residual_blocks", blocks, f"0 or a positive integer up to {MOST_LAYERS}")
        require(bits == 0 or _positive(bits, int, float), "free_bits", bits, "0 or a positive number")
        ordered = not limits or (len(limits) == 2 and -math.inf < limits[0] < limits[1] < math.inf)
        require(ordered, "log_variance_range", limits, "empty, or two finite numbers, the lower one first")

    @property
    def is_vae(self) -> bool:
        """Whether latents are Gaussians, drawn from while it trains, and a loss has a KL."""
        return self.kind == VARIATIONAL

    @property
    def decodes_sample(self) -> bool:
        """Whether a reconstruction is of a latent that is drawn, not of the mean."""
        return self.is_vae and self.decode == "sampled"

    @property
    def _decoded_size(self) -> int:
        """Numbers in the decoder's output before it is cropped to the input's shape."""
        total = self.input_shape[2]
        for size, axis in zip(self.input_shape[:2], zip(*self.stride_pairs, strict=True), strict=True):
            rest = size
            for stride in axis:
                rest = -(-rest // stride)
            total *= rest * math.prod(axis)
        return total

    @property
    def stride_pairs(self) -> list[tuple[int, int]]:
        """(bins, frames) strides of each layer."""
        return [_pair(stride) for stride in self.conv_strides]

    @property
    def kernel_pairs(self) -> list[tuple[int, int]]:
        """(bins, frames) sizes of each layer's kernel."""
        return [_pair(kernel) for kernel in self.conv_kernels]


@dataclass(frozen=True)
class TrainConfig:
    """How a model is fitted. What `setting` makes is a flag of `audio-vae train` and a key of its files."""

    epochs: int = setting(100, FITTING, "passes over the training records", check=positive("integer", int))
    batch_size: int = setting(64, FITTING, "records a step", check=positive("integer", int))
    learning_rate: float = setting(5e-4, FITTING, "Adam's step size", metavar="R", check=positive("number"))
    schedule: str = setting(
        "constant", FITTING, "the rate stays constant, or falls as half a cosine to 0", choices=SCHEDULES
    )
    keep: str = setting("best", FITTING, "the epoch whose weights are kept: the best, or the last", choices=KEEPS)
    patience: int = setting(0, FITTING, "stop after N epochs without a lower validation loss; 0: never")
    seed: int = setting(0, FITTING, "makes a run repeatable, bit by bit on the CPU")
    value_range: str = setting(
        "global", FITTING, "what 0 and 1 stand for: the dataset's dB range, or each record's own", choices=VALUE_RANGES
    )
    kl_warmup_epochs: int = setting(0, LOSS, "epochs in which the KL's weight grows from 0 to 1; VAE only")
    mask_padding: bool = setting(False, LOSS, "frames of padding cost nothing")
    level_weight_db: float = setting(
        0.0, LOSS, "a segment so many dB under the loudest counts half, twice as many a quarter; 0: all alike"
    )
    time_shift_frames: int = setting(0, FITTING, "move each batch by up to N frames, earlier or later")
    frequency_shift_bins: int = setting(0, FITTING, "move each batch by up to N bins, up or down")
    level_shift_db: float = setting(0.0, FITTING, "make each batch up to so many dB louder or softer", metavar="DB")
    output_bias: bool = setting(True, FITTING, "start the output at the training data's mean, which saves epochs")
    media_epochs: int = setting(
        10,
        SPEED,
        "pictures and sounds for TensorBoard at most every N epochs, if they take under 1 % of the time; 0: "
        "at the end only",
    )
    cache_mb: int | None = setting(
        None, SPEED, "keep a split of up to N MB in memory; not given: of up to a quarter of what is free", metavar="N"
    )
    shard_cache_mb: int = setting(
        4096, SPEED, "keep up to N MB of a remote dataset's shards on the local disk", check=positive("integer", int)
    )
    mixed_precision: str = setting(
        "off", SPEED, "compute in bfloat16 what may be; auto: where the device is fast at it", choices=MIXED_PRECISIONS
    )
    jit: str = setting("auto", SPEED, "compile steps with XLA; auto: on a GPU", choices=JITS)
    steps_per_execution: int = setting(
        1, SPEED, "steps between two looks of the program at what happens", check=positive("integer", int)
    )
    strategy: str = setting(
        "auto",
        SPEED,
        "devices: mirrored, all of this machine; multi-worker, TF_CONFIG's machines; auto: what there is",
        choices=STRATEGIES,
    )
    prior: str = setting(
        PRIORS[0],
        NEW_SOUNDS,
        "learned at the end: a flow of the latents by label, their Gaussian, or none: N(0, I)",
        choices=PRIORS,
    )
    prior_epochs: int = setting(250, NEW_SOUNDS, "passes over the latents", check=positive("integer", int))
    prior_width: int = setting(384, NEW_SOUNDS, "of the flow's network", check=positive("integer", int))
    checkpoint_seconds: float = setting(
        600.0, OUTPUT, "within an epoch, save a state to go on from this often", check=positive("number of seconds")
    )

    def __post_init__(self) -> None:
        check_settings(self)
        shifts = ("time_shift_frames", "frequency_shift_bins")
        for name in ("patience", "seed", "media_epochs", "cache_mb", "kl_warmup_epochs", *shifts):
            value = getattr(self, name)
            given = value is not None or name != "cache_mb"
            require(not given or value == 0 or _positive(value, int), name, value, "0 or a positive integer")
        require(self.keep == "best" or not self.patience, "patience", self.patience, "0 with keep=last")
        require(self.seed < 2**31, "seed", self.seed, "below 2**31")
        for name in ("level_weight_db", "level_shift_db"):
            value = getattr(self, name)
            require(value == 0 or _positive(value, int, float), name, value, "0 or a positive number of dB")
        louder = self.level_shift_db
        require(self.value_range == "global" or not louder, "level_shift_db", louder, "0 with value_range=record")

    def learning_rate_at(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        if self.schedule == "cosine":
            return self.learning_rate * (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        return self.learning_rate

    def weight_of(self, below_db: Any) -> Any:
        """What segments count whose loudest cells lie so many dB under the loudest of all: an array or a tensor."""
        return 2.0 ** (-below_db / self.level_weight_db)

    def kl_weight_at(self, epoch: int) -> float:
        """What the KL of an epoch, counted from 0, is multiplied by: Bowman et al., arXiv:1511.06349, section 3.1."""
        return min(1.0, (epoch + 1) / (self.kl_warmup_epochs + 1))


def latent_names(config: ModelConfig) -> tuple[str, ...]:
    """The latents that describe a sound without chance, the one to decode first: mu and log_variance, or z."""
    return ("mu", "log_variance") if config.is_vae else ("z",)


_SAME_WEIGHTS = ("reconstruction_weight", "free_bits", "log_variance_range", "norm_momentum", "decode")
"""Model settings that leave the weights what they are; all others make another architecture."""


def architecture_differences(ours: ModelConfig, theirs: ModelConfig) -> list[str]:
    """`name: ours != theirs` for each setting by which the weights of two models cannot be exchanged."""
    names = [field.name for field in dataclasses.fields(ModelConfig) if field.name not in _SAME_WEIGHTS]
    pairs = [(name, getattr(ours, name), getattr(theirs, name)) for name in names]
    return [f"{name}: {mine!r} != {other!r}" for name, mine, other in pairs if mine != other]


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
            raise SettingError(f"{cls.__name__} setting {shortened(key)} must be one of {', '.join(sorted(names))}")
    kinds = hints(cls)
    return cls(**{key: coerced(key, value, kinds[key]) for key, value in values.items()})
