"""The file of `audio-vae rerun`: what it may hold, and what a mistake in it gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.console.durations import seconds_of
from pipelines.errors import SettingError
from tests.helpers.console import run_in_process
from vae_model.model_folder.config import PRESETS
from vae_model.rerun.config import read_config

PLACES = "workspace: work\ninputs: [sounds]\n"


def config(folder: Path, text: str) -> str:
    (folder / "rerun.yaml").write_text(text)
    return str(folder / "rerun.yaml")


def test_paths_start_at_the_file_and_uris_stay(tmp_path: Path) -> None:
    read = read_config(config(tmp_path, "workspace: work\ninputs: [sounds, 's3://bucket/more', /abs]\nmodels: ../m\n"))
    assert read.places.inputs == (str(tmp_path / "sounds"), "s3://bucket/more", "/abs")
    assert read.workspace == str(tmp_path / "work")
    assert read.dataset == str(tmp_path / "work" / "dataset") == read.options.output
    assert read.models == str(tmp_path.parent / "m")


def test_sections_are_the_settings_of_the_commands(tmp_path: Path) -> None:
    text = PLACES + (
        "preprocess: {preset: tiny, split: 'test=0.2', split_pattern: ['test=_0', 'validation=_1'], checksum: true,\n"
        "  keep_removed: false, max_failures: 2%, workers: 3}\n"
        "train: {preset: tiny, epochs: 7, conv_strides: [4, 2, [4, 2]]}\n"
        "retrain: {max_age: 7d, learning_rate: 1e-4}\n"
        "beam: [--runner=FlinkRunner]\n"
    )
    read = read_config(config(tmp_path, text))
    options = read.options
    assert (options.preset, options.split, options.workers) == ("tiny", (("test", 0.2),), 3)
    assert options.split_pattern == [("test", "_0"), ("validation", "_1")]
    assert (options.checksum, options.keep_removed, options.max_failures) == (True, False, "2%")
    assert read.first.train.epochs == 7
    assert read.first.model.conv_strides == (4, 2, (4, 2))
    assert read.first.model.conv_filters == PRESETS["tiny"].model.conv_filters
    assert read.retrain.max_age_seconds == 7 * 24 * 3600
    assert read.retrain.learning_rate == 1e-4
    assert read.places.beam == ("--runner=FlinkRunner",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inputs: [a]\n", "workspace must be given"),
        ("workspace: w\n", "inputs must be given"),
        (PLACES + "promot: {}\n", "promot must be a setting: did you mean promote?"),
        (
            PLACES + "retrain: {min_new_example: 3}\n",
            "retrain: min_new_example must be a setting: did you mean min_new_",
        ),
        (PLACES + "promote: {tolerence: 1}\n", "promote: tolerence must be a setting: did you mean tolerance?"),
        (PLACES + "train: {epoch: 1}\n", "train: epoch must be a setting: did you mean epochs?"),
        (PLACES + "train: {preset: tinny}\n", "train: preset='tinny' must be one of default"),
        (
            PLACES + "preprocess: {sample_rates: 1}\n",
            "preprocess: sample_rates must be a setting: did you mean sample_r",
        ),
        (PLACES + "preprocess: {sample_rate: fast}\n", "preprocess: argument --sample_rate/--sample-rate: invalid int"),
        (PLACES + "preprocess: {output: else}\n", "preprocess: output must be a setting"),
        (PLACES + "preprocess: {checksum: 3}\n", "preprocess: checksum=3 must be true or false"),
        (PLACES + "preprocess: [1]\n", "preprocess=[1] must hold settings"),
        (PLACES + "retrain: {max_age: soon}\n", "retrain: max_age='soon' must be a length of time such as"),
        (PLACES + "promote: {metric: mse}\n", "promote: metric='mse' must be one of rmse_db"),
        (PLACES + "promote: {keep_models: 0}\n", "promote: keep_models=0 must be a positive integer"),
        (PLACES + "inputs: sounds\n", "inputs='sounds' must be a list, each text"),
    ],
)
def test_a_mistake_names_file_key_and_rule(text: str, message: str, tmp_path: Path) -> None:
    path = config(tmp_path, text)
    with pytest.raises(SettingError) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mistake_ends_the_command_before_anything_is_made(tmp_path: Path) -> None:
    path = config(tmp_path, PLACES + "retrain: {epoch: 3}\n")
    done = run_in_process("rerun", path, "--json")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"audio-vae rerun: {path}: retrain: epoch must be a setting: did you mean epochs?\n"
    assert [found.name for found in tmp_path.iterdir()] == ["rerun.yaml"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5s", 1.5), ("15m", 900), ("12 h", 43200), ("7d", 604800)]
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert seconds_of("max_age", text) == seconds


@pytest.mark.parametrize("text", ["", "-3s", "d", "1w", "1h30m"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(SettingError, match="interval="):
        seconds_of("interval", text)
