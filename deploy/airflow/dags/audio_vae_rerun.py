"""`audio-vae rerun` as an Airflow 3 DAG: wait for new audio, then a task for each stage.

audio-vae lives in a Python environment of its own and is run as a command, so its dependencies and Airflow's never
meet. Each stage decides itself what is left to do, so every stage is always asked: one with nothing to do shows as
skipped and those after it still run. Exit status 1 is retried, 2 (a setting is wrong) and 3 (too many sources
failed) are not. docs/scheduling.md describes the settings, which are read from the environment.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from types import FrameType
from typing import Any

from airflow.sdk import Param, PokeReturnValue, TriggerRule, chain, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

COMMAND = shlex.split(os.environ.get("AUDIO_VAE_COMMAND", "/srv/audio-vae/.venv/bin/audio-vae"))
CONFIG = os.environ.get("AUDIO_VAE_CONFIG", "/srv/audio-vae/rerun.yaml")
SCHEDULE = os.environ.get("AUDIO_VAE_SCHEDULE", "@daily")
RETRIES = int(os.environ.get("AUDIO_VAE_RETRIES", "3"))
RETRY_DELAY = timedelta(seconds=float(os.environ.get("AUDIO_VAE_RETRY_DELAY_SECONDS", "300")))
POKE_SECONDS = float(os.environ.get("AUDIO_VAE_POKE_SECONDS", "300"))

TIMEOUTS = {
    "preprocess": timedelta(hours=12),
    "train": timedelta(hours=48),
    "evaluate": timedelta(hours=4),
    "promote": timedelta(minutes=30),
    "report": timedelta(hours=2),
}
"""The stages in their order, and how long a try of each may take. A training goes on where its last try ended."""

LONGEST_WAIT = timedelta(days=7)
_GRACE_SECONDS = 60.0  # a training saves what it has when it is asked to stop
_NEVER_RETRIED = {2: "a setting is wrong", 3: "too many sources failed"}

log = logging.getLogger(__name__)


def audio_vae(*arguments: str) -> tuple[int, dict[str, Any] | None]:
    """Run the command; its exit status, and the JSON object that it printed, if any.

    Its standard error goes to the task's log line by line. It ends when the task does: by signal, timeout or error.
    """
    log.info("%s", shlex.join([*COMMAND, *arguments]))
    with tempfile.TemporaryFile() as printed:  # a pipe that nobody empties could fill up
        try:
            child = subprocess.Popen(
                [*COMMAND, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,  # a signal to our group would come twice, and cost a training's last steps
            )
        except OSError as error:
            raise AirflowFailException(f"AUDIO_VAE_COMMAND={shlex.join(COMMAND)} cannot be run: {error}") from error
        with child, _ended_with_the_task(child):
            assert child.stderr is not None
            for line in child.stderr:
                log.info("%s", line.rstrip())
            status = child.wait()
        printed.seek(0)
        text = printed.read().decode(errors="replace").strip()
    try:
        values = json.loads(text) if text else None
    except ValueError:
        log.warning("standard output is no JSON object: %s", text[:1000])
        values = None
    return status, values if isinstance(values, dict) else None


@contextlib.contextmanager
def _ended_with_the_task(child: subprocess.Popen[str]) -> Iterator[None]:
    """Pass SIGTERM on to the child, and leave none behind when the block ends early."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        child.terminate()

    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, pass_on) if in_main_thread else None
    try:
        yield
    finally:
        if child.poll() is None:
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_GRACE_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # the child's own helpers, should it have left any
        if in_main_thread:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def check(status: int, values: dict[str, Any] | None, what: str) -> dict[str, Any]:
    """The object of a command that succeeded. AirflowException when it is worth a retry, else AirflowFailException."""
    if status == 0 and values is not None:
        return values
    reason = (values or {}).get("error") or "the log above says why"
    if status in _NEVER_RETRIED:
        raise AirflowFailException(f"{what}: {_NEVER_RETRIED[status]} (exit status {status}): {reason}")
    ended = f"ended by signal {-status}" if status < 0 else f"exit status {status}"
    raise AirflowException(f"{what}: failed ({ended}): {reason}")


def pending(config: str) -> dict[str, Any]:
    """What preprocess would find: counts of new, changed and removed files, and the `listing`'s digest."""
    return check(*audio_vae("rerun", config, "--pending", "--json"), what="looking for new audio")


@dag(
    dag_id="audio_vae_rerun",
    schedule=SCHEDULE,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,  # a rerun takes in all that is new, so a missed one has nothing of its own
    max_active_runs=1,
    doc_md=__doc__,
    tags=["audio-vae"],
    params={
        "config": Param(CONFIG, type="string", minLength=1, description="The YAML file of audio-vae rerun"),
        "wait_minutes": Param(60, type="number", minimum=0, description="Wait so long for new audio; 0: look once"),
        "settle_seconds": Param(30, type="number", minimum=0, description="New audio must stay the same for so long"),
    },
    default_args={
        "retries": RETRIES,
        "retry_delay": RETRY_DELAY,
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(hours=2),
    },
)
def audio_vae_rerun() -> None:
    """Wait for new audio, then all stages in their order."""

    @task.sensor(
        mode="reschedule",  # waits without holding a worker
        poke_interval=POKE_SECONDS,
        timeout=LONGEST_WAIT.total_seconds(),
        execution_timeout=timedelta(hours=1),
    )
    def new_audio(params: Any = None, ti: Any = None) -> PokeReturnValue:
        """Done when there is new audio that has settled; skipped when none came in time."""
        found = pending(params["config"])
        if found["status"] == "pending":
            time.sleep(params["settle_seconds"])
            again = pending(params["config"])
            if again["listing"] == found["listing"]:
                return PokeReturnValue(True, again)
            log.info("files are still changing")
        began = ti.get_first_reschedule_date(get_current_context())
        waited = (datetime.now(timezone.utc) - began).total_seconds() if began else 0.0
        if waited >= 60 * params["wait_minutes"]:
            ti.xcom_push(key="return_value", value=found)
            raise AirflowSkipException(f"no new audio that has settled in {params['wait_minutes']} minutes")
        return PokeReturnValue(False)

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def stage(name: str, params: Any = None, ti: Any = None) -> dict[str, Any]:
        """Run a stage; what it printed is the task's XCom, also when it was skipped or failed."""
        status, values = audio_vae("rerun", params["config"], "--stage", name, "--json")
        if values is not None:
            ti.xcom_push(key="return_value", value=values)
        done = check(status, values, what=name)
        if done["stages"][name]["status"] == "skipped":
            raise AirflowSkipException(done["stages"][name]["reason"])
        return done

    chain(
        new_audio(),
        *(
            stage.override(task_id=name, execution_timeout=timeout)(name)  # type: ignore[attr-defined]
            for name, timeout in TIMEOUTS.items()
        ),
    )


audio_vae_rerun()
