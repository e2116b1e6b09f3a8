"""The Airflow DAG, run by Airflow itself: `airflow dags test` on SQLite, each task a real `audio-vae` command.

`make test-airflow` makes Airflow's own environment; the ordinary suite leaves these tests out.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.places import ROOT
from tests.helpers.reruns import files, write_config, write_sounds

pytestmark = pytest.mark.airflow

AIRFLOW = ROOT / ".cache" / "airflow" / "bin" / "airflow"
DAG = "audio_vae_rerun"
STAGES = ["preprocess", "train", "evaluate", "promote", "report"]
TASKS = ["new_audio", *STAGES]
SECONDS_FOR_A_RUN = 300


@dataclass(frozen=True)
class DagRun:
    """What Airflow's database holds of a run: its state, and for each task the state, tries and XCom."""

    output: str
    exit_status: int
    state: str
    tasks: dict[str, str]
    tries: dict[str, int]
    xcoms: dict[str, Any]

    def stage(self, name: str) -> dict[str, Any]:
        """What a stage said, from the XCom of its task."""
        values: dict[str, Any] = self.xcoms[name]["stages"][name]
        return values


@dataclass
class Airflow:
    """An installation in a folder of its own: home, SQLite database and no examples."""

    home: Path
    environment: dict[str, str]
    _runs: int = field(default=0)

    def call(self, *arguments: str) -> None:
        """Run a command of Airflow that must succeed."""
        command = [str(AIRFLOW), *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_dag(self, config: Path, *, watch: dict[str, Callable[[int], None]] | None = None, **params: Any) -> DagRun:
        """`airflow dags test`. watch: what to do, once, when a text comes in the log; it is given Airflow's pid."""
        self._runs += 1
        moment = f"2026-03-{self._runs:02d}T00:00:00+00:00"
        conf = {"config": str(config), "settle_seconds": 0, "wait_minutes": 0} | params
        waiting = dict(watch or {})
        lines = []
        with subprocess.Popen(
            [str(AIRFLOW), "dags", "test", DAG, moment, "--conf", json.dumps(conf)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            end = time.monotonic() + SECONDS_FOR_A_RUN
            assert process.stdout is not None
            for line in process.stdout:  # a run says something every second
                lines.append(line)
                for text in [text for text in waiting if text in line]:
                    waiting.pop(text)(process.pid)
                if time.monotonic() > end:
                    process.terminate()
        output = "".join(lines)
        assert not waiting, f"never said {list(waiting)}:\n{output}"
        return self._read(moment, output, process.returncode)

    def _read(self, moment: str, output: str, exit_status: int) -> DagRun:
        with sqlite3.connect(self.home / "airflow.db") as database:
            query = "SELECT run_id, state FROM dag_run WHERE dag_id = ? AND logical_date LIKE ?"
            found = database.execute(query, (DAG, f"{moment[:10]}%")).fetchall()
            assert len(found) == 1, output
            ((run, state),) = found
            query = "SELECT task_id, state, try_number FROM task_instance WHERE run_id = ?"
            instances = database.execute(query, (run,)).fetchall()
            query = "SELECT task_id, value FROM xcom WHERE run_id = ? AND key = 'return_value'"
            xcoms = {task: json.loads(value) for task, value in database.execute(query, (run,))}
        database.close()
        states = {task: state for task, state, _ in instances}
        tries = {task: number for task, _, number in instances}
        return DagRun(output, exit_status, state, {task: states[task] for task in TASKS}, tries, xcoms)


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """Airflow with its tables made, one retry after a second, and the command of this checkout."""
    if not AIRFLOW.exists():
        pytest.skip(f"no {AIRFLOW}: make test-airflow installs it")
    home = tmp_path_factory.mktemp("airflow")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "AUDIO_VAE"))}
    environment |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "deploy" / "airflow" / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AUDIO_VAE_COMMAND": f"{sys.executable} -m vae_model.cli",
        "AUDIO_VAE_RETRIES": "1",
        "AUDIO_VAE_RETRY_DELAY_SECONDS": "1",
        "AUDIO_VAE_POKE_SECONDS": "1",
        "PYTHONPATH": str(ROOT),
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
    }
    result = Airflow(home, environment)
    result.call("db", "migrate")
    return result


def read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def test_a_schedule_lives_through_new_audio_a_kill_and_damage(airflow: Airflow, tmp_path: Path) -> None:
    sounds, work = tmp_path / "sounds", tmp_path / "work"
    write_sounds(sounds, 0, 20)
    config = write_config(tmp_path, report=True)

    # The first run: every task does its work, and its XCom is what the stage printed.
    first = airflow.test_dag(config)
    assert (first.exit_status, first.state) == (0, "success"), first.output
    assert first.tasks == dict.fromkeys(TASKS, "success")
    assert first.xcoms["new_audio"]["new"] == 20
    assert first.stage("preprocess")["sources"]["written"] == 20
    assert first.stage("promote")["promoted"] is True
    old = read(work / "state.json")["promoted"]
    assert first.stage("train")["model"] == old
    assert "training model" in first.output  # what the command says is in the task's log
    assert (work / "report.html").exists()

    # The second waits for audio, which arrives meanwhile. The task that trains is told to end, and tried again: it
    # goes on with the same training, which began at the last model.
    second = airflow.test_dag(
        config,
        wait_minutes=5,
        watch={
            "UP_FOR_RESCHEDULE": lambda _: write_sounds(sounds, 20, 20),
            "training model": lambda pid: os.kill(pid, signal.SIGTERM),
        },
    )
    assert (second.exit_status, second.state) == (0, "success"), second.output
    assert second.tasks == dict.fromkeys(TASKS, "success")
    assert second.xcoms["new_audio"]["new"] == 20
    assert second.tries == dict.fromkeys(TASKS, 1) | {"train": 2}
    dataset = read(work / "dataset" / "dataset.json")
    assert (dataset["sources"]["written"], len(dataset["runs"])) == (40, 2)
    trained = second.stage("train")
    assert trained["from"] == old
    assert trained["reason"] == f"model {trained['model']} was interrupted"
    assert second.stage("evaluate")["drift"]["level_db"] is not None
    state = read(work / "state.json")
    assert [model["name"] for model in state["models"]] == [old, trained["model"]]

    # Nothing new: every task is skipped, with its reason, and no file is touched.
    before = files(work)
    third = airflow.test_dag(config)
    assert (third.exit_status, third.state) == (0, "success"), third.output
    assert third.tasks == dict.fromkeys(TASKS, "skipped")
    assert third.stage("train")["reason"].startswith("nothing changed")
    assert files(work) == before

    # A shard is damaged, so that training fails, twice. What comes after does not run, and the model in use stays.
    write_sounds(sounds, 40, 20)
    shard = work / "dataset" / next(iter(dataset["splits"]["train"]["shards"]))["path"]
    shard.write_bytes(shard.read_bytes()[:-100])
    in_use = files(work / "models" / state["promoted"])
    fourth = airflow.test_dag(config)
    assert (fourth.exit_status, fourth.state) == (1, "failed"), fourth.output
    unreached = dict.fromkeys(["evaluate", "promote", "report"], "upstream_failed")
    assert fourth.tasks == {"new_audio": "success", "preprocess": "success", "train": "failed"} | unreached
    assert fourth.tries["train"] == 2
    assert fourth.xcoms["train"]["status"] == "failed"
    assert shard.name in fourth.xcoms["train"]["error"]
    assert read(work / "state.json")["promoted"] == state["promoted"]
    assert files(work / "models" / state["promoted"]) == in_use
    assert read(work / "dataset" / "dataset.json")["sources"]["written"] == 60


def test_a_wrong_setting_is_not_retried(airflow: Airflow, tmp_path: Path) -> None:
    config = write_config(tmp_path, inputs=["nowhere"])
    run = airflow.test_dag(config)
    assert (run.exit_status, run.state) == (1, "failed"), run.output
    assert run.tasks == {"new_audio": "failed"} | dict.fromkeys(STAGES, "upstream_failed")
    assert run.tries["new_audio"] == 1
    assert "a setting is wrong (exit status 2)" in run.output
    assert str(tmp_path / "nowhere") in run.output
    assert not (tmp_path / "work").exists()


def test_too_many_failed_sources_are_not_retried(airflow: Airflow, tmp_path: Path) -> None:
    write_sounds(tmp_path / "sounds", 0, 4)
    (tmp_path / "sounds" / "broken.wav").write_bytes(b"no sound at all")
    run = airflow.test_dag(write_config(tmp_path, preprocess={"max_failures": 0}))
    assert (run.exit_status, run.state) == (1, "failed"), run.output
    later = dict.fromkeys(STAGES[1:], "upstream_failed")
    assert run.tasks == {"new_audio": "success", "preprocess": "failed"} | later
    assert run.tries["preprocess"] == 1
    assert "too many sources failed (exit status 3)" in run.output
    assert not (tmp_path / "work" / "dataset" / "dataset.json").exists()
