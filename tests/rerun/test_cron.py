"""deploy/cron and docs/scheduling.md: the units are sound, the crontab's line runs, every key is explained."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines.settings import settable
from tests.helpers.places import ROOT
from tests.helpers.reruns import write_config, write_sounds
from vae_model.rerun.config import Compact, Places, Promote, Retrain, read_config
from vae_model.rerun.state import ModelEntry, State

FOLDER = ROOT / "deploy" / "cron"
HOME = "/srv/audio-vae"
PAGE = (ROOT / "docs" / "scheduling.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "rerun.yaml"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    """In copies whose program exists; what systemd does not understand it says, though with status 0."""
    for name in ("audio-vae-rerun.service", "audio-vae-rerun.timer"):
        text = (FOLDER / name).read_text()
        text = text.replace(f"ExecStart={HOME}/.venv/bin/audio-vae", f"ExecStart={sys.executable}")
        (tmp_path / name).write_text(text)
    units = [str(path) for path in tmp_path.iterdir()]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Persistent=true" in (tmp_path / "audio-vae-rerun.timer").read_text()


@pytest.mark.slow
def test_the_line_of_the_crontab_runs(tmp_path: Path) -> None:
    """As cron runs it: by sh, without the environment of anybody."""
    lines = [line for line in (FOLDER / "crontab").read_text().splitlines() if line and not line.startswith("#")]
    settings = dict(line.split("=", 1) for line in lines[:-1])
    *times, command = lines[-1].split(maxsplit=5)
    assert times == ["30", "2", "*", "*", "*"]
    assert "%" not in command  # cron would take it for the end of the line
    write_sounds(tmp_path / "sounds", 0, 10)
    write_config(tmp_path, train={"epochs": 1})
    program = tmp_path / ".venv" / "bin" / "audio-vae"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m vae_model.cli "$@"\n')
    program.chmod(0o755)

    def cron() -> int:
        line = [settings["SHELL"], "-c", command.replace(HOME, str(tmp_path))]
        environment = {"PATH": settings["PATH"], "HOME": str(tmp_path)}
        done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=300)
        assert (done.stdout, done.stderr) == ("", "")  # cron would mail it
        return done.returncode

    log = tmp_path / "log"
    assert cron() == 0, (log / "rerun.log").read_text()
    with (log / "rerun.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the last one is still at work
        assert cron() == 0
    assert cron() == 0
    said = [json.loads(line) for line in (log / "rerun.jsonl").read_text().splitlines()]
    assert [each["status"] for each in said] == ["done", "unchanged"]
    assert "promote    done     promoted: the first model" in (log / "rerun.log").read_text()
    rotated = re.findall(rf"{HOME}/log/(\S+)", (FOLDER / "logrotate.conf").read_text())
    assert {path.name for path in log.iterdir()} == {*rotated, "rerun.lock"}


def test_the_example_has_every_key() -> None:
    read = read_config(str(EXAMPLE))
    values = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    sections = {"preprocess", "compact", "train", "retrain", "promote"}
    assert values.keys() - sections == settable(Places).keys()
    assert values["retrain"].keys() == settable(Retrain).keys()
    assert values["promote"].keys() == settable(Promote).keys()
    assert values["compact"].keys() == settable(Compact).keys()
    assert read.dataset == str(ROOT / "examples" / "voices" / "dataset")
    assert read.places.inputs == (str(ROOT / "examples" / "recordings"),)


def test_the_page_explains_every_key_and_field() -> None:
    for kind, start in ((Places, ""), (Retrain, "retrain: "), (Promote, "promote: "), (Compact, "compact: ")):
        for name in settable(kind):
            assert f"| `{start}{name}` |" in PAGE
    table = PAGE.split("## state.json")[1].split("\n## ")[0]
    for kind, start in ((State, ""), (ModelEntry, "models[].")):
        for name in kind.__dataclass_fields__:
            assert re.search(rf"`({re.escape(start)})?{name}(\[\])?`", table), name
