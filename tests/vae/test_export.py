"""Exported models: in a process without this package they do what the training pipeline and the model do here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from pipelines.audio.loading import Loader
from pipelines.audio.segments import Padder
from pipelines.audio.spectrogram import LogSpectrogramExtractor
from pipelines.config import PAD_MODES, AudioConfig, SpectrogramConfig
from pipelines.errors import SettingError
from tests.helpers.places import FSDD
from tests.helpers.slow import slow
from tests.helpers.sounds import tone
from vae_model.commands import export
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import ModelConfig, TrainConfig
from vae_model.model_folder.value_range import ValueRange
from vae_model.sound.generator import SoundGenerator
from vae_model.vae.variational import build
from vae_model.vae.waveform_model import WaveformModel, log_spectrogram, padded

RATE = 8000
DIM = 3
KINDS = {
    "vae": {},
    "sampled": {"decode": "sampled", "log_variance_range": (-6.0, 2.0)},
    "linear": {"linear_path": True, "norm": "none", "decoder_start": "first"},
    "group": {"norm": "group", "upsampling": "resize", "residual_blocks": 1, "decoder_variance": "learned"},
    "autoencoder": {"kind": "autoencoder"},
}

USE = """
import sys
for name in ("vae_model", "pipelines", "keras"):
    sys.modules[name] = None  # what imports it fails
import numpy as np
import tensorflow as tf
for case in sys.argv[1:]:
    loaded = tf.saved_model.load(f"{case}/saved")
    outputs = {}
    with np.load(f"{case}/given.npz") as given:
        for name in ("encode", "decode", "reconstruct"):
            (argument,) = loaded.signatures[name].structured_input_signature[1].values()
            result = loaded.signatures[name](**{argument.name: tf.constant(given[argument.name])})
            outputs |= {f"{name}/{key}": value.numpy() for key, value in result.items()}
    np.savez(f"{case}/got.npz", **outputs)
"""

CASES = [  # the first two also in the quick tests
    # kind, per_record, channels, pad_mode, samples of the waveforms
    ("vae", False, 1, "constant", 4000),
    ("vae", True, 2, "reflect", 1500),
    ("sampled", False, 1, "constant", 3000),
    ("linear", False, 1, "constant", 4000),
    ("group", True, 1, "edge", 2500),
    ("autoencoder", True, 1, "constant", 4000),
]


def model_folder(
    folder: Path, per_record: bool = False, channels: int = 1, pad_mode: str = "constant", **model
) -> Path:
    """A MODEL folder of half a second at 8 kHz, with weights and statistics that are not those of the start."""
    audio = AudioConfig(RATE, channels, segment_seconds=0.5, pad_mode=pad_mode)
    spectrogram = SpectrogramConfig(256, 64, top_db=60)
    shape = (spectrogram.n_bins, spectrogram.n_frames(audio.segment_samples), channels)
    settings = {"kind": "vae", "conv_filters": (2, 4), "conv_kernels": (3, 3), "conv_strides": (2, (2, 1)), **model}
    config = ModelConfig(input_shape=shape, latent_space_dim=DIM, **settings)
    autoencoder = build(config)
    rng = np.random.default_rng(0)
    if config.linear_path:
        autoencoder.start_from(rng.random((20, *shape), np.float32))
    for weight in autoencoder.model.weights:
        if weight.dtype == "float32":
            weight.assign(weight * rng.uniform(0.9, 1.1, weight.shape) + rng.uniform(-0.02, 0.02, weight.shape))
    autoencoder.save(folder)
    Bundle(config, TrainConfig(), audio, spectrogram, ValueRange(-70.0, 25.0, per_record), (), {}).save(folder)
    return folder


def real_sounds(count: int) -> list[np.ndarray]:
    """Recordings of at least a segment at 8 kHz where they are, else tones in decaying noise, float32 (n_samples,)."""
    if FSDD.is_dir():
        paths = sorted(FSDD.glob("*.wav"))[:: 3000 // count][:count]
        return [soundfile.read(path, dtype="float32")[0] for path in paths]
    rng = np.random.default_rng(0)
    decay = np.exp(-np.arange(5000) / 800)
    return [
        (tone(300 + 90 * i, 0.625, RATE) + decay * rng.normal(0, 0.1, 5000)).astype(np.float32) for i in range(count)
    ]


def batch_of(sounds: list[np.ndarray], num_samples: int, channels: int = 1) -> np.ndarray:
    """Their first samples, shorter ones filled with zeros: (count, num_samples), with more channels at the end."""
    rows = [np.pad(sound, (0, max(0, num_samples - len(sound))))[:num_samples] for sound in sounds]
    batch = np.stack(rows).astype(np.float32)
    return batch if channels == 1 else np.stack([batch * 0.7**i for i in range(channels)], axis=-1)


FIRST, OTHERS = range(2), range(2, len(CASES))


def name_of(number: int) -> str:
    """A case's kind and padding."""
    return f"{CASES[number][0]}-{CASES[number][3]}"


def write_exported(root: Path, numbers: range) -> Path:
    """Folders 0, 1, … of some CASES: `model`, the SavedModel `saved`, `given.npz` that it was fed, and `got.npz`.

    The outputs that it gave, `signature/output`, come from a process that can import neither this package nor Keras.
    """
    for number in numbers:
        kind, per_record, channels, pad_mode, num_samples = CASES[number]
        case = root / str(number)
        case.mkdir()
        model_folder(case / "model", per_record, channels, pad_mode, **KINDS[kind])
        assert export.main([str(case / "model"), "--output", str(case / "saved")]) == 0
        z = np.random.default_rng(1).normal(0, 1, (5, DIM)).astype(np.float32)
        np.savez(case / "given.npz", waveform=batch_of(real_sounds(4), num_samples, channels), z=z)
    cases = [str(root / str(number)) for number in numbers]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", USE, *cases], cwd=root, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """The folder of a case; those of FIRST are made together, and so are OTHERS, when the first of them is wanted."""
    made: dict[range, Path] = {}

    def folder_of(number: int) -> Path:
        numbers = FIRST if number in FIRST else OTHERS
        if numbers not in made:
            made[numbers] = write_exported(tmp_path_factory.mktemp("exported"), numbers)
        return made[numbers] / str(number)

    return folder_of


@pytest.mark.parametrize("top_db", [80.0, 30.0])
@pytest.mark.parametrize(
    ("frame_size", "hop_length", "rate"),
    [(512, 256, 22050), (512, 93, 8000), (256, 64, 8000), (100, 150, 8000), (2, 1, 100)],
)
def test_the_log_spectrogram_is_the_pipelines(frame_size: int, hop_length: int, rate: int, top_db: float) -> None:
    if FSDD.is_dir():
        loader = Loader(rate)
        sounds = [loader.load(str(path))[:, 0] for path in sorted(FSDD.glob("*.wav"))[::300]]
    else:
        sounds = real_sounds(10)
    config = SpectrogramConfig(frame_size, hop_length, top_db)
    extractor = LogSpectrogramExtractor(frame_size, hop_length, top_db)
    for channels in (1, 2):
        batch = batch_of([*sounds, np.zeros(9), 1e-6 * sounds[0], 30 * sounds[1]], int(0.74 * rate), channels)
        batch = batch.reshape(*batch.shape[:2], channels)
        expected = np.stack([extractor.extract(waveform) for waveform in batch])
        got = log_spectrogram(tf.constant(batch), config).numpy()
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, atol=0.01)
        assert np.median(np.abs(got - expected)) < 1e-4


@pytest.mark.parametrize("mode", PAD_MODES)
@pytest.mark.parametrize("count", [1, 2, 5, 16, 49, 50])
def test_padding_is_the_pipelines(mode: str, count: int) -> None:
    waveform = np.random.default_rng(count).normal(0, 1, (3, count, 2)).astype(np.float32)
    config = AudioConfig(sample_rate=100, segment_seconds=0.5, channels=2, pad_mode=mode)
    expected = np.stack([Padder(mode).right_pad(example, 50 - count) for example in waveform])
    np.testing.assert_allclose(padded(tf.constant(waveform), config).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    "number",
    [
        *(pytest.param(number, id=name_of(number)) for number in FIRST),
        *(slow(number, id=name_of(number)) for number in OTHERS),
    ],
)
def test_an_exported_model_is_the_model(number: int, exported: Callable[[int], Path]) -> None:
    kind, _, channels, pad_mode, num_samples = CASES[number]
    case = exported(number)
    with np.load(case / "given.npz") as given, np.load(case / "got.npz") as outputs:
        waveform, z, got = given["waveform"], given["z"], dict(outputs)
    generator = SoundGenerator.load(str(case / "model"))
    autoencoder = generator.autoencoder
    segments = [
        Padder(pad_mode).right_pad(example.reshape(num_samples, channels), 4000 - num_samples) for example in waveform
    ]
    inputs, ranges = zip(*map(generator.normalise, segments), strict=True)
    latents = autoencoder.encode(np.stack(inputs))
    name = "z" if kind == "autoencoder" else "mu"
    np.testing.assert_allclose(got[f"encode/{name}"], latents[name], atol=1e-4)
    if name == "mu":
        np.testing.assert_allclose(got["encode/log_variance"], latents["log_variance"], atol=1e-4)
    np.testing.assert_allclose(got["encode/min_db"], [r.min_db for r in ranges], atol=0.01)
    np.testing.assert_allclose(got["encode/max_db"], [r.max_db for r in ranges], atol=0.01)

    decoded = autoencoder.decode(z)
    assert np.ptp(decoded, axis=0).max() > 1e-3  # different latents, different sounds
    np.testing.assert_allclose(got["decode/spectrogram"], decoded, atol=1e-5)
    assert got["decode/decibels"].shape == (5, 128, 63, channels)
    np.testing.assert_allclose(got["decode/decibels"], decoded * 95 - 70, atol=0.01)

    through = autoencoder.decode(latents[name])
    spans = np.reshape([r.span_db for r in ranges], (-1, 1, 1, 1))
    lows = np.reshape([r.min_db for r in ranges], (-1, 1, 1, 1))
    if kind == "sampled":
        assert np.abs(got["reconstruct/spectrogram"] - through).max() > 1e-3
        return
    np.testing.assert_allclose(got["reconstruct/spectrogram"], through, atol=1e-4)
    np.testing.assert_allclose(got["reconstruct/decibels"], through * spans + lows, atol=0.02)


def test_a_sampled_latent_has_the_posterior_s_moments(tmp_path: Path) -> None:
    model = waveform_model(model_folder(tmp_path, **KINDS["sampled"]))
    waveform = tf.constant(np.repeat(batch_of(real_sounds(1), 4000), 2000, axis=0))
    drawn: list[np.ndarray] = []
    model.decoder = lambda z, training: drawn.append(z.numpy()) or tf.zeros((1, 1, 1, 1))
    model.reconstruct(waveform)
    latents = model.encode(waveform[:1])
    deviation = np.exp(0.5 * latents["log_variance"].numpy()[0])
    np.testing.assert_allclose(drawn[0].mean(0), latents["mu"].numpy()[0], atol=5 * deviation.max() / 2000**0.5)
    np.testing.assert_allclose(drawn[0].std(0), deviation, rtol=0.1)


def waveform_model(folder: Path) -> WaveformModel:
    generator = SoundGenerator.load(str(folder))
    return WaveformModel(generator.autoencoder, generator.bundle)


@pytest.mark.parametrize(
    ("waveform", "rule"),
    [
        (np.zeros((1, 4001)), "at most 4000 samples"),
        (np.zeros((1, 0)), "at least one sample"),
        (np.full((1, 10), np.nan), "finite"),
    ],
)
def test_a_waveform_that_is_no_segment_is_refused(
    waveform: np.ndarray, rule: str, exported: Callable[[int], Path]
) -> None:
    encode = tf.saved_model.load(str(exported(0) / "saved")).signatures["encode"]
    with pytest.raises(tf.errors.InvalidArgumentError, match=rule):
        encode(waveform=tf.constant(waveform, tf.float32))


@pytest.mark.parametrize("kind", [kind if kind == "vae" else slow(kind) for kind in KINDS])
def test_onnx_files_give_what_the_model_gives(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    folder = model_folder(tmp_path / "model", **KINDS[kind])
    assert export.main([str(folder), "--output", str(tmp_path / "saved"), "--onnx", "--json"]) == 0
    assert {"encoder.onnx", "decoder.onnx", "saved_model.pb"} <= set(json.loads(capsys.readouterr().out)["files"])
    autoencoder = SoundGenerator.load(str(folder)).autoencoder
    spectrograms = np.random.default_rng(0).random((3, 128, 63, 1), np.float32)
    encoder, decoder = (
        onnxruntime.InferenceSession(tmp_path / "saved" / f"{name}.onnx") for name in ("encoder", "decoder")
    )
    names = [output.name for output in encoder.get_outputs()]
    assert sorted(names) == (["z"] if kind == "autoencoder" else ["log_variance", "mu"])
    latents = autoencoder.encode(spectrograms)
    for name, got in zip(names, encoder.run(None, {"spectrogram": spectrograms}), strict=True):
        np.testing.assert_allclose(got, latents[name], atol=1e-4)
    z = latents.get("mu", latents["z"])
    np.testing.assert_allclose(decoder.run(["spectrogram"], {"z": z})[0], autoencoder.decode(z), atol=1e-4)


def test_export_takes_a_new_folder_only(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(SettingError, match="--output"):
        export.main([str(folder), "--output", str(folder)])
    assert sorted(path.name for path in folder.iterdir()) == before
    with pytest.raises(SettingError, match="MODEL"):
        export.main([str(tmp_path / "none"), "--output", str(tmp_path / "saved")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
