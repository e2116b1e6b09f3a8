"""The models: architecture, training, saving, and what bad arguments get."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pipelines.errors import AudioVaeError, SettingError, WorkError
from tests.helpers.slow import slow
from vae_model.model_folder.config import ModelConfig, TrainConfig, model_config, to_dict, train_config
from vae_model.model_folder.presets import PRESETS
from vae_model.vae.autoencoder import Autoencoder
from vae_model.vae.layers import Sampling
from vae_model.vae.variational import VAE, build

EXAMPLE: dict[str, Any] = {
    "input_shape": (28, 28, 1),
    "conv_filters": (2, 4, 8),
    "conv_kernels": (3, 5, 3),
    "conv_strides": (1, 2, 2),
    "latent_space_dim": 2,
}
"""The small model that the reference introduces its classes with."""


def images(count: int, shape: tuple[int, ...] = (28, 28, 1)) -> np.ndarray:
    """Blurred squares at random places: something that two numbers can describe."""
    rng = np.random.default_rng(0)
    result = np.zeros((count, *shape), np.float32)
    for image, (row, column) in zip(result, rng.integers(0, 14, (count, 2)), strict=True):
        image[row : row + 10, column : column + 10] = 0.9
    return result


def kinds(model: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]


def test_course_preset_has_the_parameters_of_the_reference() -> None:
    vae = build(PRESETS["course"].model)
    assert vae.encoder.count_params() == 1_838_688
    assert vae.decoder.count_params() == 533_089
    assert vae.config.reconstruction_weight == 1_000_000
    assert vae.config.decode == "sampled"


def test_layers_come_in_the_order_of_the_reference() -> None:
    vae = VAE(**EXAMPLE)
    block = ["Conv2D", "ReLU", "BatchNormalization"]
    assert kinds(vae.encoder) == block * 3 + ["Flatten", "Dense", "Dense", "Sampling"]
    block = ["Conv2DTranspose", "ReLU", "BatchNormalization"]
    assert kinds(vae.decoder) == ["Dense", "Reshape", *block * 2, "Conv2DTranspose", "Activation"]
    transposed = [layer for layer in vae.decoder.layers if isinstance(layer, keras.layers.Conv2DTranspose)]
    assert [(t.filters, t.kernel_size, t.strides) for t in transposed] == [
        (8, (3, 3), (2, 2)),
        (4, (5, 5), (2, 2)),
        (1, (3, 3), (1, 1)),
    ]
    assert kinds(Autoencoder(**EXAMPLE).encoder)[-2:] == ["Flatten", "Dense"]


@pytest.mark.parametrize("shape", [(33, 21, 2), (5, 7, 1), (1, 1, 3)])
def test_sizes_that_strides_do_not_divide_come_back_as_they_were(shape: tuple[int, int, int]) -> None:
    vae = VAE(**EXAMPLE | {"input_shape": shape, "conv_strides": (2, (2, 1), 3)})
    spectrograms = np.random.default_rng(0).random((2, *shape), np.float32)
    reconstructions, latents = vae.reconstruct(spectrograms)
    assert reconstructions.shape == spectrograms.shape
    assert latents.shape == (2, 2)


@pytest.mark.parametrize("kind", [slow(Autoencoder), VAE])
def test_example_trains_saves_and_loads(kind: type[Autoencoder], tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    x = images(64)
    model = kind(**EXAMPLE)
    model.compile(learning_rate=5e-3)
    history = model.train(x, 16, 8, validation_data=x[:16]).history
    assert history["reconstruction_loss"][-1] < 0.7 * history["reconstruction_loss"][0]
    assert {"loss", "reconstruction_loss", "val_loss", "val_reconstruction_loss"} <= set(history)
    model.save(tmp_path)
    loaded = kind.load(tmp_path)
    assert type(loaded) is kind
    assert loaded.config == model.config
    assert int(loaded.model.optimizer.iterations) == 32
    for ours, theirs in zip(model.reconstruct(x), loaded.reconstruct(x), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert model.reconstruct(x)[0].shape == x.shape
    assert sorted((path.name for path in tmp_path.iterdir()), reverse=True) == ["model.keras", "bundle.json"]


@pytest.mark.slow
def test_saved_vae_goes_on_with_its_noise_and_its_optimiser(tmp_path: Path) -> None:
    x = images(32)
    vae = VAE(**EXAMPLE)
    vae.compile()
    vae.train(x, 16, 1)
    vae.save(tmp_path)
    loaded = VAE.load(tmp_path)
    np.testing.assert_array_equal(vae.encode(x)["z"], loaded.encode(x)["z"])
    for model in (vae, loaded):
        model.model.fit(x, batch_size=16, shuffle=False, verbose=0)
    for ours, theirs in zip(vae.model.get_weights(), loaded.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_means_and_draws_are_asked_for_whatever_the_kind() -> None:
    x = images(6)
    vae, autoencoder = VAE(**EXAMPLE), Autoencoder(**EXAMPLE)
    latents = vae.encode(x)
    np.testing.assert_array_equal(vae.means(x), latents["mu"])
    same = np.repeat(x[:1], 4000, axis=0)
    drawn = vae.draw(same, np.random.default_rng(1))
    deviation = np.exp(latents["log_variance"][0] / 2)
    np.testing.assert_allclose(drawn.mean(axis=0), latents["mu"][0], atol=5 * deviation.max() / 4000**0.5)
    np.testing.assert_allclose(drawn.std(axis=0), deviation, rtol=0.1)
    np.testing.assert_array_equal(drawn, vae.draw(same, np.random.default_rng(1)))
    points = autoencoder.encode(x)["z"]
    np.testing.assert_array_equal(autoencoder.means(x), points)
    np.testing.assert_array_equal(autoencoder.draw(x, np.random.default_rng(1)), points)


def test_saved_file_holds_no_code(tmp_path: Path) -> None:
    VAE(**EXAMPLE).save(tmp_path)
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert set(archive.namelist()) == {"metadata.json", "config.json", "model.weights.h5"}
        config = archive.read("config.json").decode()
    assert "ambda" not in config
    assert json.loads(config)["config"]["settings"]["latent_space_dim"] == 2
    keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)


def test_vae_reports_the_combined_loss_and_its_terms() -> None:
    x = images(24)
    vae = VAE(**EXAMPLE, reconstruction_weight=500.0)
    vae.compile()
    history = vae.train(x, 8, 1).history
    expected = 500 * history["reconstruction_loss"][0] + history["kl_loss"][0]
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)
    reported = vae.model.evaluate(x, batch_size=24, return_dict=True, verbose=0)
    latents = vae.encode(x)
    kl = -0.5 * (1 + latents["log_variance"] - latents["mu"] ** 2 - np.exp(latents["log_variance"])).sum(axis=1).mean()
    assert reported["kl_loss"] == pytest.approx(kl, rel=1e-4)


def test_sampling_draws_from_mu_and_log_variance() -> None:
    mu = np.full((100_000, 2), [0.5, -2.0], np.float32)
    log_variance = np.full((100_000, 2), np.log([0.25, 4.0]), np.float32)
    layer = Sampling()
    z = np.array(layer([mu, log_variance]))
    np.testing.assert_allclose(z.mean(axis=0), [0.5, -2.0], atol=0.03)
    np.testing.assert_allclose(z.std(axis=0), [0.5, 2.0], rtol=0.02)
    assert not np.array_equal(z, np.array(layer([mu, log_variance])))


def test_reconstruct_decodes_the_latents_that_it_returns() -> None:
    x = images(4)
    mean, sampled = VAE(**EXAMPLE), VAE(**EXAMPLE, decode="sampled")
    for vae in (mean, sampled):
        reconstructions, latents = vae.reconstruct(x)
        np.testing.assert_array_equal(vae.decode(latents), reconstructions)
    np.testing.assert_array_equal(mean.reconstruct(x)[1], mean.encode(x)["mu"])
    assert not np.array_equal(sampled.reconstruct(x)[1], sampled.reconstruct(x)[1])


def test_bottleneck_and_output_stay_in_float32_under_mixed_precision() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        vae = VAE(**EXAMPLE)
    finally:
        keras.config.set_dtype_policy("float32")
    for name in ("mu", "log_variance", "z"):
        assert vae.encoder.get_layer(name).compute_dtype == "float32"
    assert vae.decoder.get_layer("sigmoid_layer").compute_dtype == "float32"
    assert vae.encoder.get_layer("encoder_conv_layer_1").compute_dtype == "bfloat16"


def test_output_starts_at_the_mean_of_the_data() -> None:
    vae = VAE(**EXAMPLE)
    x = images(20) / 5
    vae.start_from(x)
    output = vae.decode(np.zeros((1, 2), np.float32))
    assert output.mean() == pytest.approx(x.mean(), abs=0.01)
    assert ((output > 0) & (output < 1)).all()


def test_new_latents_are_drawn_as_the_data_s_are_distributed(tmp_path: Path) -> None:
    x = images(200)
    model = Autoencoder(**EXAMPLE)
    assert model.sample_latents(20_000, seed=1).std() == pytest.approx(1.0, abs=0.02)
    latents = model.encode(x)["z"]
    model.fit_latent_distribution(x)
    drawn = model.sample_latents(50_000, seed=1)
    np.testing.assert_allclose(drawn.mean(axis=0), latents.mean(axis=0), atol=0.02 * latents.std())
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(latents.T, bias=True), atol=0.03 * latents.var())
    model.save(tmp_path)
    np.testing.assert_array_equal(Autoencoder.load(tmp_path).sample_latents(5, seed=3), model.sample_latents(5, seed=3))
    assert not np.array_equal(model.sample_latents(5, seed=3), model.sample_latents(5, seed=4))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input_shape", (28, 28)),
        ("input_shape", (28, 0, 1)),
        ("conv_filters", ()),
        ("conv_filters", (2, -4, 8)),
        ("conv_kernels", (3, 5)),
        ("conv_strides", (1, 2, 0)),
        ("conv_strides", (1, 2, (2, 1, 1))),
        ("latent_space_dim", 0),
        ("latent_space_dim", True),
        ("reconstruction_weight", -1.0),
        ("reconstruction_weight", float("nan")),
        ("decode", "median"),
        ("norm_momentum", 1.0),
        ("norm", "layer"),
        ("upsampling", "bilinear"),
        ("decoder_start", "middle"),
        ("residual_blocks", -1),
        ("free_bits", -0.1),
        ("log_variance_range", (1.0, -1.0)),
        ("log_variance_range", (1.0,)),
        ("decoder_variance", "free"),
    ],
)
def test_argument_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(SettingError, match=name):
        VAE(**EXAMPLE | {name: value})


@pytest.mark.parametrize(("name", "value"), [("epochs", 0), ("seed", -1), ("learning_rate", 0.0), ("patience", 1.5)])
def test_training_setting_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(SettingError, match=f"{name}="):
        TrainConfig(**{name: value})


@pytest.mark.parametrize("preset", list(PRESETS))
def test_settings_come_back_from_json(preset: str) -> None:
    settings = PRESETS[preset]
    assert model_config(json.loads(json.dumps(to_dict(settings.model)))) == settings.model
    assert train_config(json.loads(json.dumps(to_dict(settings.train)))) == settings.train
    with pytest.raises(SettingError, match="latent_dim"):
        model_config({"latent_dim": 3})


def test_spectrograms_of_another_shape_are_refused() -> None:
    with pytest.raises(SettingError, match=r"\(2, 28, 27, 1\)"):
        VAE(**EXAMPLE).reconstruct(np.zeros((2, 28, 27, 1), np.float32))


def test_load_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no such file"):
        VAE.load(tmp_path)
    Autoencoder(**EXAMPLE).save(tmp_path)
    with pytest.raises(SettingError, match="kind vae, not autoencoder"):
        VAE.load(tmp_path)
    data = (tmp_path / "model.keras").read_bytes()
    for damaged in (b"", data[: len(data) // 2], data[:200] + b"\0" * 2000 + data[2200:]):
        (tmp_path / "model.keras").write_bytes(damaged)
        with pytest.raises(WorkError, match=r"model\.keras"):
            Autoencoder.load(tmp_path)
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "model.keras")
    with pytest.raises(AudioVaeError, match="not a Sequential"):
        Autoencoder.load(tmp_path)


def test_default_model_takes_the_shape_of_audio() -> None:
    config = ModelConfig()
    vae = build(config)
    assert vae.model.count_params() > 0
    assert vae.encoder.input_shape == (None, 256, 64, 1)
    assert vae.decoder.output_shape == (None, 256, 64, 1)
