"""Named settings of a model and of its training."""

from __future__ import annotations

from dataclasses import dataclass, field

from vae_model.model_folder.config import FIRST, ModelConfig, TrainConfig


@dataclass(frozen=True)
class Preset:
    """A named pair of model and training settings."""

    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


_BEST = Preset(
    ModelConfig(
        conv_filters=(64, 96, 128),
        conv_kernels=((8, 4), 3, 3),
        conv_strides=((8, 4), 2, 2),
        norm="none",
        decoder_start=FIRST,
        linear_path=True,
    ),
    TrainConfig(
        epochs=40,
        batch_size=32,
        learning_rate=1e-3,
        schedule="cosine",
        patience=10,
        time_shift_frames=4,
        mixed_precision="auto",
    ),
)
PRESETS: dict[str, Preset] = {
    "default": _BEST,
    "speech": _BEST,
    "music": Preset(
        ModelConfig(
            conv_filters=(64, 96, 128),
            conv_kernels=(4, (4, 3), 3),
            conv_strides=(4, (4, 2), 2),
            norm="none",
            decoder_start=FIRST,
            linear_path=True,
            reconstruction_weight=4_500_000.0,
        ),
        TrainConfig(
            epochs=50,
            batch_size=8,
            learning_rate=5e-4,
            schedule="cosine",
            patience=10,
            time_shift_frames=2,
            frequency_shift_bins=1,
            level_shift_db=6.0,
            mixed_precision="auto",
            level_weight_db=24.0,
        ),
    ),
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
            norm="none",
            linear_path=True,
        ),
        TrainConfig(epochs=25, batch_size=8, learning_rate=2e-3, schedule="cosine", patience=10, prior_width=192),
    ),
}
"""`course` is the reference's model and training; `tiny` trains in a minute on a laptop. `default` and `speech` have
what measured best on held-out speech, in docs/results.md; `music` is for 96 bands x 256 frames."""
