"""Expressions from a stranger's dataset: they mean what they mean to `re`, and none hangs a run."""

from __future__ import annotations

import json
import re
import signal
import threading
from pathlib import Path

import pytest

from pipelines import matching
from pipelines.errors import SettingError
from tests.helpers.console import run_in_process
from tests.helpers.dataset_state import SMALL, write_small

SLOW = (r"^(a+)+$", r"^(a|a|aa)*$", r"^(?:[a-z]+)*\.flac$", r"(?P<x>(?:a*)*)b", r"(.*a){24}$")
NAME = "a" * 64 + "!.wav"


@pytest.fixture(autouse=True)
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "DEADLINE_SECONDS", 0.3)


@pytest.mark.parametrize("in_thread", [False, True])
@pytest.mark.parametrize("pattern", SLOW)
def test_an_expression_that_never_ends_is_refused(pattern: str, in_thread: bool) -> None:
    caught: list[SettingError] = []

    def search() -> None:
        try:
            matching.search("split_pattern", re.compile(pattern), NAME)
        except SettingError as error:
            caught.append(error)

    if in_thread:
        thread = threading.Thread(target=search)
        thread.start()
        thread.join(20)
    else:
        search()
    (error,) = caught
    rule = "an expression that searches a name in 0.3 s; it took longer for"
    assert str(error).startswith(f"split_pattern={pattern!r} must be {rule} '{NAME[:20]}")


@pytest.mark.parametrize("in_thread", [False, True])
def test_others_find_what_re_finds(in_thread: bool) -> None:
    cases = [(r"_[0-4]\.wav$", "take_3.wav"), (r"(?P<digit>\d)_(?P<speaker>\w+)_\d+", "x/7_jörg_12.wav")]
    cases += [(r"^(a+)+$", "aaaa"), (r"(?i)KICK", "kick.wav"), (r"é$", "caf\u00e9"), (r"$", "line\n"), (r"q", "abc")]
    found: list[tuple] = []

    def search() -> None:
        for pattern, name in cases:
            match = matching.search("label_pattern", re.compile(pattern), name)
            found.append((match and match.span(), match and match.groupdict()))

    thread = threading.Thread(target=search) if in_thread else None
    if thread:
        thread.start()
        thread.join(20)
    else:
        search()
    own = [re.search(pattern, name) for pattern, name in cases]
    assert found == [(match and match.span(), match and match.groupdict()) for match in own]


def test_an_alarm_of_the_callers_stays() -> None:
    previous = signal.signal(signal.SIGALRM, lambda signum, frame: None)
    signal.setitimer(signal.ITIMER_REAL, 100)
    try:
        matching.search("split_pattern", re.compile("a"), "a")
        assert 90 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100
        assert signal.getsignal(signal.SIGALRM).__name__ == "<lambda>"  # type: ignore[union-attr]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["split_pattern", "label_pattern"])
def test_a_stranger_s_dataset_hangs_nobody(tmp_path: Path, setting: str) -> None:
    """Neither the launcher, which settles splits, nor the builders, which find labels."""
    folder, dataset = tmp_path / "in", tmp_path / "dataset"
    write_small(folder / "a.wav", 440)
    first = run_in_process("preprocess", folder, "--output", dataset, "--split", "none", *SMALL)
    assert first.returncode == 0, first.stderr
    entry = json.loads((dataset / "dataset.json").read_text())
    slow = r"^(?P<x>(a+)+)$"
    entry["config"][setting] = [["test", slow]] if setting == "split_pattern" else slow
    (dataset / "dataset.json").write_text(json.dumps(entry))
    write_small(folder / ("a" * 64 + ".wav"), 550)
    done = run_in_process("preprocess", folder, "--output", dataset)
    assert done.returncode in (1, 2)
    assert f"{setting}={slow!r} must be an expression that searches a name in" in done.stderr
