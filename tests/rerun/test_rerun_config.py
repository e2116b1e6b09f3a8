"""The file of `audio-vae rerun`: what it may hold, and what a mistake in it gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.console.durations import seconds_of
from pipelines.errors import SettingError
from pipelines.plan.policy import MaxFailures
from pipelines.request import RunOptions
from tests.helpers.console import run_in_process
from vae_model.commands import rerun
from vae_model.model_folder.presets import PRESETS
from vae_model.rerun.config import read_config

PLACES = "workspace: work\ninputs: [sounds]\n"


def config(folder: Path, text: str) -> str:
    (folder / "rerun.yaml").write_text(text)
    return str(folder / "rerun.yaml")


def test_paths_start_at_the_file_and_uris_stay(tmp_path: Path) -> None:
    read = read_config(config(tmp_path, "workspace: work\ninputs: [sounds, 's3://bucket/more', /abs]\nmodels: ../m\n"))
    assert read.places.inputs == (str(tmp_path / "sounds"), "s3://bucket/more", "/abs")
    assert read.workspace == str(tmp_path / "work")
    assert read.dataset == str(tmp_path / "work" / "dataset") == read.request.output
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
    request = read.request
    assert (request.inputs, request.output) == ((str(tmp_path / "sounds"),), str(tmp_path / "work" / "dataset"))
    assert request.preset == "tiny"
    patterns = (("test", "_0"), ("validation", "_1"))
    assert request.settings == {"split": (("test", 0.2),), "split_pattern": patterns}
    assert request.run == RunOptions(workers=3, max_failures=MaxFailures(2, percent=True), checksum=True)
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
        (PLACES + "preprocess: {sample_rate: fast}\n", "preprocess: sample_rate='fast' must be an integer"),
        (PLACES + "preprocess: {hop_length: 256.5}\n", "preprocess: hop_length=256.5 must be an integer"),
        (PLACES + "train: {epochs: 3.5}\n", "train: epochs=3.5 must be an integer"),
        (PLACES + "preprocess: {hop_length: 0}\n", "preprocess: hop_length=0 must be a positive number of samples"),
        (PLACES + "preprocess: {workers: -3}\n", "preprocess: workers=-3 must be a positive number"),
        (PLACES + "preprocess: {shard_mb: many}\n", "preprocess: shard_mb='many' must be a number"),
        (PLACES + "preprocess: {label_pattern: '('}\n", "preprocess: label_pattern='(' must be a regular expression"),
        (PLACES + "preprocess: {split: 'test'}\n", "preprocess: split='test' must be like validation=0.1,test=0.1"),
        (PLACES + "preprocess: {split: {test: 2}}\n", "preprocess: split test=2.0 must be a fraction between 0 and 1"),
        (PLACES + "preprocess: {max_failures: few}\n", "preprocess: max_failures='few' must be a count like 10 or a"),
        (PLACES + "preprocess: {dtype: int8}\n", "preprocess: dtype='int8' must be one of float16, float32, uint8"),
        (PLACES + "preprocess: {preset: tinny}\n", "preprocess: preset='tinny' must be one of default"),
        (
            PLACES + "preprocess: {preset: tiny, segment_hop_seconds: 2}\n",
            "preprocess: segment_hop_seconds=2.0 must be at most segment_seconds=1.02",
        ),
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


@pytest.mark.parametrize("mistake", ["hop_length: 0", "workers: -3", "label_pattern: '('", "hop_length: 256.5"])
def test_a_mistake_in_preprocess_is_told_before_a_lock_is_taken(mistake: str, tmp_path: Path) -> None:
    path = config(tmp_path, PLACES + f"preprocess: {{{mistake}}}\n")
    with pytest.raises(SettingError) as caught:
        rerun.main([path, "--json"])
    assert str(caught.value).startswith(f"{path}: preprocess: {mistake.split(':')[0]}=")
    assert [found.name for found in tmp_path.iterdir()] == ["rerun.yaml"]
