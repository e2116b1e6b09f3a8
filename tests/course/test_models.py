"""Scripts that train models as readers of the course write them, and the course's weights in these classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import soundfile

from pipelines.errors import AudioVaeError, SettingError
from tests.helpers.course_files import named, trained, write_weights
from vae_model import VAE, Autoencoder
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.value_range import ValueRange
from vae_model.vae import VAEModel

SMALL: dict[str, Any] = {
    "shape": (16, 8, 1),
    "filters": (6, 4),
    "kernels": (3, 3),
    "strides": (2, (2, 1)),
    "latent": 5,
}
ARGUMENTS: tuple[Any, ...] = tuple(SMALL.values())


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, 16, 8, 1)).astype(np.float32)


def test_a_reader_s_script_trains_and_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x_train = images(12)
    autoencoder = VAE(
        input_shape=(16, 8, 1),
        conv_filters=np.array([6, 4]),
        conv_kernels=((3, 3), (3, 5)),
        conv_strides=(2, (2, 1)),
        latent_space_dim=np.int64(5),
    )
    autoencoder.summary()
    autoencoder.compile(learning_rate=0.0005)
    autoencoder.train(x_train, 4, 2)
    shown = capsys.readouterr().out
    assert "Epoch 2/2" in shown
    assert "reconstruction_loss" in shown
    autoencoder.train(x_train, 4, 1, verbose=0)
    assert capsys.readouterr().out == ""
    assert len(autoencoder.model.history.history["kl_loss"]) == 1
    autoencoder.save(str(tmp_path / "model"))

    vae = VAE.load(str(tmp_path / "model"))
    assert (vae.input_shape, vae.latent_space_dim, vae.conv_filters) == ((16, 8, 1), 5, (6, 4))
    assert (vae.conv_kernels, vae.conv_strides) == (((3, 3), (3, 5)), (2, (2, 1)))
    reconstructed, latents = vae.reconstruct(images=x_train)
    assert (reconstructed.shape, latents.shape) == (x_train.shape, (12, 5))
    z = vae.encoder.predict(x_train, verbose=0)
    assert z.shape == (12, 5)
    assert vae.decoder.predict(np.random.normal(size=(3, 5)), verbose=0).shape == (3, 16, 8, 1)
    assert vae.model.predict(x_train, verbose=0).shape == x_train.shape


def test_a_saved_model_of_arrays_is_one_for_the_commands(
    tmp_path: Path, command: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    x = images(12)
    vae = VAE(*ARGUMENTS)
    vae.compile()
    vae.train(x, 12, 1, verbose=0)
    vae.save(save_folder=tmp_path / "model")
    assert "taken to be of sounds at 22050 Hz, hop_length=16" in capsys.readouterr().err
    bundle = Bundle.load(tmp_path / "model")
    assert (bundle.audio.sample_rate, bundle.spectrogram.frame_size) == (22050, 32)
    assert (bundle.audio.segment_samples, bundle.value_range.per_record) == (7 * 16, True)

    ranges = {"a": {"min": np.float32(-60), "max": np.float32(10)}, "b": {"min": -50.0, "max": 20.0}}
    vae.save(tmp_path / "model", sample_rate=4000, hop_length=8, min_max_values=ranges)
    assert capsys.readouterr().err == ""
    bundle = Bundle.load(tmp_path / "model")
    assert (bundle.audio.sample_rate, bundle.spectrogram.hop_length, bundle.audio.segment_samples) == (4000, 8, 56)
    assert bundle.value_range == ValueRange(-55.0, 15.0, per_record=True)
    command("generate", tmp_path / "model", "--count", 2, "--output", tmp_path / "new", "--seed", 1)
    assert [soundfile.info(path).samplerate for path in (tmp_path / "new").glob("*.wav")] == [4000, 4000]

    loaded = VAE.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.sample_latents(3, seed=1), vae.sample_latents(3, seed=1))
    loaded.save(tmp_path / "again")
    assert Bundle.load(tmp_path / "again").to_dict() == bundle.to_dict()
    with pytest.raises(SettingError, match=r"hop_length=.*gives the shape \(16, 8, 1\)|hop_length"):
        vae.save(tmp_path / "model", hop_length=-3)


def losses(vae: VAE, x: np.ndarray) -> dict[str, float]:
    found: dict[str, float] = vae.model.evaluate(x, batch_size=len(x), verbose=0, return_dict=True)
    return found


def test_the_weight_of_the_reconstruction_loss_counts_whenever_it_is_set() -> None:
    x = images(8)
    vae = VAE(*ARGUMENTS)
    assert vae.reconstruction_loss_weight == 1_000_000
    vae.reconstruction_loss_weight = 1000
    vae.compile()
    for weight in (1000.0, 10.0):
        vae.reconstruction_loss_weight = weight
        history = vae.train(x, 8, 1, verbose=0).history
        assert history["loss"][0] == pytest.approx(
            weight * history["reconstruction_loss"][0] + history["kl_loss"][0], rel=1e-5
        )
        found = losses(vae, x)
        assert found["loss"] == pytest.approx(weight * found["reconstruction_loss"] + found["kl_loss"], rel=1e-5)
    assert vae.config.reconstruction_weight == vae.reconstruction_weight == 10.0
    with pytest.raises(SettingError, match="reconstruction_weight=-1"):
        vae.reconstruction_loss_weight = -1
    with pytest.raises(AttributeError):
        vae.latent_space_dim = 3  # type: ignore[misc]


@pytest.mark.parametrize("kind", [Autoencoder, VAE])
def test_a_y_of_x_s_shape_is_the_target(kind: type[Autoencoder]) -> None:
    x = images(8)
    model = kind(*ARGUMENTS)
    model.compile()
    history = model.model.fit(x, x, batch_size=8, epochs=1, validation_data=(x, x), verbose=0).history
    assert "val_loss" in history
    assert "val_loss" in model.train(x, 8, 1, validation_data=(x, x), verbose=0).history
    found = model.model.evaluate(x, 1 - x, batch_size=8, verbose=0, return_dict=True)
    expected = np.square(1 - x - model.model.predict(x, verbose=0)).mean()
    assert found["reconstruction_loss"] == pytest.approx(expected, rel=0.02)  # of a VAE another z is drawn
    with pytest.raises(SettingError, match=r"y of shape .* must have that of x"):
        model.model.fit(x, x[:, :4], batch_size=8, verbose=0)
    model.model.compile("adam", loss="mse")
    with pytest.raises(SettingError, match="loss must not be given to compile"):
        model.model.fit(x, batch_size=8, verbose=0)


@pytest.mark.parametrize("suffix", ["", "_1"])
def test_the_course_s_weights_give_the_course_s_model(suffix: str, tmp_path: Path) -> None:
    plain, x = trained(**SMALL), images(6)
    write_weights(tmp_path / "weights.h5", named(plain), suffix)
    vae, direct = VAE(*ARGUMENTS), VAE(*ARGUMENTS)
    vae.load_weights(weights_path=str(tmp_path / "weights.h5"))
    direct.model.load_weights(tmp_path / "weights.h5", by_name=True, skip_mismatch=True)
    mu, log_variance = plain.encoder(x)
    for loaded in (vae, direct):
        latents = loaded.encode(x)
        np.testing.assert_allclose(latents["mu"], mu, atol=1e-5)
        np.testing.assert_allclose(latents["log_variance"], log_variance, atol=1e-5)
        np.testing.assert_allclose(loaded.reconstruct(x)[0], plain.decoder(mu), atol=1e-5)
    assert np.abs(mu - log_variance).max() > 0.1


def broken(parts: dict[str, Any], how: str) -> None:
    encoder, decoder = parts["encoder"], parts["decoder"]
    if how == "missing":
        del encoder["mu"]["bias"]
    elif how == "more":
        decoder["decoder_residual_1"] = {"kernel": np.zeros(3)}
    elif how == "shape":
        encoder["mu"]["kernel"] = encoder["mu"]["kernel"][:, :4]
    elif how == "diverged":
        encoder["encoder_conv_layer_2"]["bias"] = np.full(4, np.nan)
    elif how == "two":
        encoder["mu_1"] = encoder["mu"]


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("missing", "mu/bias must be in it: the model has this weight"),
        ("more", "decoder_residual_1 must be a layer of the model"),
        ("shape", r"mu/kernel must have the model's shape \(64, 5\), it has \(64, 4\)"),
        ("diverged", "encoder_conv_layer_2/bias must be finite numbers"),
        ("two", "mu/(bias|kernel) must be in it once"),
    ],
)
def test_weights_that_do_not_fit_are_named_and_change_nothing(how: str, says: str, tmp_path: Path) -> None:
    parts = named(trained(**SMALL))
    broken(parts, how)
    path = tmp_path / "weights.h5"
    write_weights(path, parts)
    vae = VAE(*ARGUMENTS)
    before = vae.model.get_weights()
    with pytest.raises(AudioVaeError, match=says) as caught:
        vae.load_weights(path)
    assert str(path) in str(caught.value)
    for one, other in zip(before, vae.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_other_files_of_weights_are_named(tmp_path: Path) -> None:
    vae, other = VAE(*ARGUMENTS), VAE(*ARGUMENTS)
    with pytest.raises(SettingError, match="there is none"):
        vae.load_weights(tmp_path / "weights.h5")
    (tmp_path / "weights.h5").write_bytes(b"no HDF5")
    with pytest.raises(AudioVaeError, match=r"weights\.h5 must be a file of weights"):
        vae.load_weights(tmp_path / "weights.h5")
    other.model.save_weights(tmp_path / "own.weights.h5")
    vae.load_weights(tmp_path / "own.weights.h5")
    np.testing.assert_array_equal(vae.encode(images(3))["mu"], other.encode(images(3))["mu"])
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save_weights(tmp_path / "others.weights.h5")
    with pytest.raises(SettingError, match=r"must be weights that Keras 2 wrote, or model\.save_weights here"):
        vae.load_weights(tmp_path / "others.weights.h5")
    write_weights(tmp_path / "linked.h5", named(trained(**SMALL)))
    with h5py.File(tmp_path / "linked.h5", "a") as file:
        del file["encoder/mu/bias:0"]
        file["encoder/mu/bias:0"] = h5py.ExternalLink(str(tmp_path / "own.weights.h5"), "/layers")
    with pytest.raises(AudioVaeError, match="must be no link"):
        vae.load_weights(tmp_path / "linked.h5")


def test_a_bottleneck_of_one_s_own_is_used_or_refused() -> None:
    class Narrow(VAEModel):
        def bottleneck(self, spectrogram: Any, features: Any) -> dict[str, Any]:
            return super().bottleneck(spectrogram, keras.layers.Dense(2, name="narrow")(features))

    class NarrowVAE(VAE):
        model_class = Narrow

    vae = NarrowVAE(*ARGUMENTS)
    assert vae.encoder.get_layer("mu").kernel.shape == (2, 5)
    vae.compile()
    assert "kl_loss" in vae.train(images(4), 4, 1, verbose=0).history
    said = r"_add_bottleneck would never be called: a model_class with a bottleneck.*docs/from-the-course\.md"
    with pytest.raises(SettingError, match=said):
        type("Own", (VAE,), {"_add_bottleneck": lambda self, x: x})
