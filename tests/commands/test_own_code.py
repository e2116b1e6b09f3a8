"""Classes of a user's own from docs/own-code.md, with every command, and none that is imported unasked."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipelines import spectrogram_config
from pipelines.dataset.folder import open_dataset
from tests.helpers.dataset_writer import write_dataset
from tests.helpers.places import ROOT
from tests.helpers.sounds import tone, write_tones
from tests.helpers.tones_model import CONFIG, tones
from vae_model import VAE, cli, train_model
from vae_model.model_folder import own_code
from vae_model.vae import own_classes

Command = Callable[..., dict[str, Any]]
TRAIN = ["--preset", "tiny", "--epochs", "1", "--latent-space-dim", "3", "--conv-filters", "4", "--conv-kernels", "3"]
TRAIN += ["--conv-strides", "2"]
MODULES = ("my_losses", "my_models", "my_features")


@pytest.fixture
def forget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The page's modules in the working folder; what is called makes this process as it was before any was imported."""
    page = (ROOT / "docs" / "own-code.md").read_text(encoding="utf-8")
    for name, code in re.findall(r"<!-- snippet: (\w+) -->\n```python\n(.*?)```", page, re.DOTALL):
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def forgotten() -> None:
        monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(tmp_path)])
        monkeypatch.setattr(own_code, "_allowed", set())
        monkeypatch.setattr(own_classes, "_known", {})
        monkeypatch.setattr(spectrogram_config, "_allowed_features", set())
        for name in MODULES:
            monkeypatch.delitem(sys.modules, name, raising=False)

    forgotten()
    return forgotten


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    return write_dataset(tmp_path / "dataset", {"train": tones(24, 0), "validation": tones(8, 1)}, CONFIG)


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert cli.main([*map(str, words)]) == 2
    return capsys.readouterr().err


def test_a_loss_of_one_s_own_is_what_is_minimised(
    forget: Callable[[], None], dataset: str, tmp_path: Path, command: Command
) -> None:
    result = command("train", dataset, "--output", "model", *TRAIN, "--import", "my_losses")
    metrics = result["metrics"]
    model = VAE.load("model")
    assert type(model).__name__ == "SharpVAE"
    records = [record.spectrogram for record in open_dataset(dataset).records("validation")]
    batch = np.stack(records).astype(np.float32)
    outputs = model.model(batch)
    (_, (own, _)) = model.model.sample_losses(batch, outputs)
    plain = np.square(batch - np.array(outputs["reconstruction"])).mean(axis=(1, 2, 3))
    assert (np.array(own) > plain * 1.001).all()
    assert metrics["val_loss"] > 0
    assert json.loads(Path("model/bundle.json").read_text())["model"]["code"] == "my_losses"
    assert "code: my_losses" in Path("model/config.yaml").read_text()


@pytest.mark.slow
def test_an_architecture_of_one_s_own_goes_through_the_commands(
    forget: Callable[[], None], dataset: str, tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ["--import", "my_models"]
    command("train", dataset, "--output", "model", *TRAIN, *own)
    names = [layer.name for layer in VAE.load("model").model.encoder.layers]
    assert "frames_in_order" in names
    soundfile.write(tmp_path / "one.wav", tone(440, 0.5, 4000), 4000)
    commands: dict[str, list[Any]] = {
        "reconstruct": ["model", "one.wav", "--output", "heard"],
        "generate": ["model", "--count", "1", "--output", "new"],
        "evaluate": ["model", dataset],
        "interpolate": ["model", "one.wav", "one.wav", "--steps", "2", "--output", "way"],
    }
    for name, words in commands.items():
        forget()
        told = refused(capsys, name, *words)
        assert "code=my_models" in told, name
        assert "give --import my_models" in told, name
        assert "my_models" not in sys.modules
        command(name, *words, *own)
    forget()
    assert "give --import my_models" in refused(capsys, "train", dataset, "--output", "b", "--from", "model")
    assert "give --import my_models" in refused(
        capsys, "train", dataset, "--output", "c", "--config", "model/config.yaml"
    )
    assert "my_models" not in sys.modules
    command("train", dataset, "--output", "d", "--config", "model/config.yaml", *own)
    forget()
    command("train", dataset, "--output", "model", "--resume", "--epochs", "2", *own)


@pytest.mark.slow
def test_a_model_made_in_python_is_one_for_commands(
    forget: Callable[[], None], dataset: str, tmp_path: Path, command: Command
) -> None:
    train_model(dataset, "trained", preset="tiny", epochs=1, quiet=True, code="my_models", latent_space_dim=3)
    own = sys.modules["my_models"].RecurrentVAE
    made = own((32, 16, 1), (4,), (3,), (2,), 3)
    made.save("made", sample_rate=4000, hop_length=64)
    forget()
    assert command("generate", "made", "--count", "1", "--output", "new", "--import=my_models")["written"]
    forget()
    sys.path.append(str(tmp_path))
    import my_models  # type: ignore[import-not-found]

    again = VAE.load("made")
    assert isinstance(again, my_models.RecurrentVAE)
    batch = np.zeros((1, 32, 16, 1), np.float32)
    np.testing.assert_array_equal(again.encode(batch)["mu"], made.encode(batch)["mu"])


def test_what_is_asked_for_must_be_there(
    forget: Callable[[], None], dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("two.py").write_text("from vae_model import VAE\nclass A(VAE): ...\nclass B(VAE): ...\n")
    words = ["train", dataset, "--output", "m", *TRAIN]
    assert "must be one class: two:A or two:B" in refused(capsys, *words, "--import", "two")
    assert "must be a module that can be imported: No module named 'none_such'" in refused(
        capsys, *words, "--import", "none_such"
    )
    assert "a module's name, or module:Class" in refused(capsys, *words, "--import", "../x")
    told = refused(capsys, *words, "--import", "my_models", "--model", "autoencoder")
    assert "must be of kind autoencoder, it is of vae: give --model vae" in told


def test_the_page_s_feature_makes_a_dataset(forget: Callable[[], None], tmp_path: Path, command: Command) -> None:
    sounds = write_tones(tmp_path / "tones", sample_rate=8000)
    words = ["preprocess", sounds, "--output", "slow", "--preset", "tiny", "--workers", "1"]
    command(*words, "--feature", "my_features:Slow")
    (first, *_) = open_dataset("slow").records("train")
    np.testing.assert_array_equal(first.spectrogram[:, 0], first.spectrogram[:, 1])
