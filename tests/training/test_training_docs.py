"""Every command of docs/training.md runs as it stands, in the order of the page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from pipelines.settings import settable
from pipelines.settings_file import read_settings
from tests.helpers.dataset_writer import noises, write_dataset
from tests.helpers.places import ROOT
from vae_model.commands import train
from vae_model.model_folder.config import FREE, ModelConfig, TrainConfig

TEXT = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    config = DatasetConfig(AudioConfig(sample_rate=4000, segment_seconds=0.25), SpectrogramConfig(64, 64))
    write_dataset(Path("dataset"), {"train": noises(66), "validation": noises(6)}, config)
    for name, text in re.findall(r"<!-- file: (\S+) -->\n```yaml\n(.*?)```", TEXT, re.DOTALL):
        Path(name).write_text(text, encoding="utf-8")
    found = re.findall(r"^audio-vae train (.*)$", TEXT, re.MULTILINE)
    commands = [each for each in found if "s3://" not in each]  # tests/model_folder/test_models_on_s3.py runs those
    assert len(commands) == 6
    for command in commands:
        if "--help" in command:
            with pytest.raises(SystemExit, match="0"):
                train.main(shlex.split(command))
        else:
            assert train.main(shlex.split(command)) == 0, command
    assert read_settings("again/config.yaml") == read_settings("other/config.yaml")
    assert read_settings("other/config.yaml")["batch_size"] == 16
    files = re.findall(r"^\| `(\S+?)/?` \| ", TEXT.split("## The folder of a model")[1], re.MULTILINE)
    assert sorted(files) == sorted(path.name for path in Path("model").iterdir())


def test_the_settings_are_all_there() -> None:
    for config in (ModelConfig, TrainConfig):
        for name, field in settable(config).items():
            flag = field.metadata["flag"] or f"--{name.replace('_', '-')}"
            row = next(line for line in TEXT.splitlines() if line.startswith(f"| {field.metadata['group']} |"))
            assert f"`{flag}`" in row, flag
    assert f"({', '.join(f'`{name}`' for name in FREE)})" in TEXT
