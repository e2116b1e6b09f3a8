"""Settings from files and flags: what a run is made of, what a mistake gets, and that a run can be repeated."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines.config import AudioConfig, DatasetConfig
from pipelines.errors import SettingError
from pipelines.flags import parse
from pipelines.settings import settable, with_values
from pipelines.settings_file import read_settings, settings_text
from tests.helpers.console import audio_vae
from vae_model.commands import train
from vae_model.model_folder.config import ModelConfig, TrainConfig
from vae_model.model_folder.presets import PRESETS, Preset
from vae_model.training.trainer import settled_settings


def settings(tmp_path: Path, text: str, *flags: str) -> Preset:
    """The settings that `audio-vae train` uses with a file of this text and these flags."""
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    arguments = parse(train.parser(), ["DATASET", "--output", "MODEL", "--config", str(path), *flags])
    return settled_settings(arguments.preset, read_settings(path), str(path), train.given_settings(arguments))


def test_a_flag_goes_before_the_file_and_the_file_before_the_preset(tmp_path: Path) -> None:
    text = "preset: tiny\nepochs: 7\nlearning_rate: 5e-4\nconv_strides: [2, 2, [4, 1]]\noutput_bias: false\n"
    preset = settings(tmp_path, text, "--epochs", "9", "--model", "autoencoder")
    tiny = PRESETS["tiny"]
    assert preset.model == dataclasses.replace(tiny.model, kind="autoencoder", conv_strides=(2, 2, (4, 1)))
    assert preset.train == dataclasses.replace(tiny.train, epochs=9, learning_rate=0.0005, output_bias=False)
    assert settings(tmp_path, "preset: tiny", "--preset", "course").model.decode == "sampled"
    assert settings(tmp_path, "", "--output-bias") == PRESETS["default"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reconstruction_wieght: 5", "reconstruction_wieght must be a setting: did you mean reconstruction_weight?"),
        ("input_shape: [2, 2, 1]", "input_shape must be a setting, one of kind, conv_filters"),
        ("1: 2", "1 must be a setting, one of"),
        ("epochs: many", "epochs='many' must be an integer"),
        ("epochs: 2.5", "epochs=2.5 must be an integer"),
        ("epochs: true", "epochs=True must be an integer"),
        ("epochs:", "epochs=None must be an integer"),
        ("epochs: 0", "epochs=0 must be a positive integer"),
        ("learning_rate: fast", "learning_rate='fast' must be a number"),
        ("output_bias: 1", "output_bias=1 must be true or false"),
        ("schedule: cosin", "schedule='cosin' must be one of constant, cosine"),
        ("decode: 1", "decode=1 must be text"),
        ("conv_filters: 3", "conv_filters=3 must be a list, each an integer"),
        ("conv_filters: [8, x]", "conv_filters=[8, 'x'] must be a list, each an integer"),
        ("conv_strides: [[2, 1, 1]]", "must be a list, each an integer or a list of 2"),
        ("preset: tin", "preset='tin' must be one of default"),
        ("preset: [tiny]", "preset=['tiny'] must be one of default"),
        ("epochs: 3\nseed: [1", "line 2 must be YAML"),
        ("epochs: 3\n\tseed: 1", "line 2 must be YAML"),
        ("- epochs: 3", "must hold settings, each a line `name: value`, not a list"),
    ],
)
def test_a_mistake_in_a_file_names_file_key_and_rule(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        settings(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'run.yaml'}")
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"none\.yaml must be a readable file: No such file"):
        read_settings(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"decode: \xe4\xff")
    with pytest.raises(SettingError, match=r"latin\.yaml must be a text file in UTF-8"):
        read_settings(tmp_path / "latin.yaml")


@pytest.mark.parametrize("preset", list(PRESETS))
def test_what_is_written_is_read_back_as_it_was(tmp_path: Path, preset: str) -> None:
    configs = [PRESETS[preset].model, dataclasses.replace(PRESETS[preset].train, learning_rate=1e-5, seed=3)]
    (tmp_path / "config.yaml").write_text(settings_text(configs), encoding="utf-8")
    values = read_settings(tmp_path / "config.yaml")
    assert values["learning_rate"] == 1e-5
    assert with_values([ModelConfig(), TrainConfig()], values) == configs


def test_any_settings_dataclass_can_be_read_from_a_file() -> None:
    values = {"sample_rate": 8000, "segment_seconds": 1, "segments": "first"}
    assert with_values([AudioConfig()], values, "job.yaml") == [
        AudioConfig(8000, segments="first", segment_seconds=1.0)
    ]
    dataset = with_values([DatasetConfig()], {"split": [["test", 0.25]], "label_pattern": None})[0]
    assert dataset == DatasetConfig(split=(("test", 0.25),))
    with pytest.raises(SettingError, match=r"job\.yaml: sample_rate=0 must be"):
        with_values([AudioConfig()], {"sample_rate": 0}, "job.yaml")


@pytest.mark.parametrize("config", [ModelConfig, TrainConfig])
def test_every_setting_has_help_and_a_group_of_the_command(config: type) -> None:
    for name, field in settable(config).items():
        assert field.metadata.get("group") in train.GROUPS, name
        assert field.metadata["help"], name
    assert set(settable(ModelConfig)).isdisjoint(settable(TrainConfig) | {"preset": None})


def test_help_has_the_groups_and_the_values_of_the_preset() -> None:
    text = " ".join(train.parser("tiny").format_help().split())
    places = [text.index(f"{group}:") for group in train.GROUPS]
    assert places == sorted(places)
    tiny, default = PRESETS["tiny"], PRESETS["default"]
    assert f"size of the latent (default: {tiny.model.latent_space_dim})" in text
    assert "(default: 4,2,[4,2])" in text
    assert f"records a step (default: {default.train.batch_size})" in " ".join(train.parser().format_help().split())
    assert text.index("the loss:") < text.index("--reconstruction-weight W") < text.index("how it is trained:")


def test_help_on_the_console_takes_the_preset_and_loads_no_tensorflow() -> None:
    done = audio_vae("train", "--help", "--preset", "course")
    assert done.returncode == 0, done.stderr
    assert "(default: 512,256,128,64,32)" in " ".join(done.stdout.split())
    code = "import sys; from vae_model.commands import train; train.parser(); sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--epocs", "3"], "--epocs must be an argument of this command: did you mean --epochs?"),
        (["--reconstruction_weight=3"], "did you mean --reconstruction-weight?"),
        (["--epochs", "3.5"], "argument --epochs: '3.5' must be an integer"),
        (["--conv-filters", "8,x"], "argument --conv-filters: '8,x' must be a list, each an integer"),
        (["more"], "more must be an argument of this command"),
    ],
)
def test_a_mistyped_flag_is_named(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        train.main(["DATASET", "--output", "MODEL", *flags])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_flags_take_lists(tmp_path: Path) -> None:
    preset = settings(tmp_path, "preset: tiny", "--conv-filters", "8,16,24", "--conv-strides", "2,[4,1],2")
    assert preset.model.conv_filters == (8, 16, 24)
    assert preset.model.conv_strides == (2, (4, 1), 2)
    assert yaml.safe_load(settings_text([preset.model]))["conv_strides"] == [2, [4, 1], 2]
