"""A process that is spoken to in lines of JSON: its answers, its end, its silence."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.audio.child import START_SECONDS, Child, Ended

_MODULE = """
import ctypes, json, os, sys, time
from pipelines.audio.child import open_answers, write_line

answers = open_answers()
write_line(answers, "here")
for line in sys.stdin.buffer:
    request = json.loads(line)
    print("this is for standard error")
    if request == "crash":
        ctypes.string_at(0)
    if request == "hang":
        time.sleep(600)
    if request == "leave":
        sys.exit(3)
    write_line(answers, {"of": request, "word": os.environ["WORD"], "arguments": sys.argv[1:]})
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    (tmp_path / "answering.py").write_text(_MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with tempfile.TemporaryFile() as errors:
        child = Child("answering", ["--one"], {"WORD": "hello"}, errors)
        assert child.wait(START_SECONDS)
        assert child.receive() == "here"
        yield child
        child.end()
        errors.seek(0)
        assert set(errors.read().decode().splitlines()) <= {"this is for standard error"}


def test_each_request_has_its_answer(child: Child) -> None:
    for request in ("a", {"b": [1, None]}, "x" * 200_000):
        child.send(request)
        assert child.receive() == {"of": request, "word": "hello", "arguments": ["--one"]}
    assert not child.wait(0)


@pytest.mark.parametrize(("request_", "status"), [("crash", -signal.SIGSEGV), ("leave", 3)])
def test_an_end_is_told_from_an_answer(child: Child, request_: str, status: int) -> None:
    child.send(request_)
    with pytest.raises(Ended):
        child.receive()
    child.end(kill=False)
    assert child.status == status


def test_one_that_is_silent_can_be_ended(child: Child) -> None:
    child.send("hang")
    assert not child.wait(0.2)
    child.end()
    assert child.status == -signal.SIGKILL


def test_nobody_is_there_to_take_a_request(child: Child) -> None:
    child.kill()
    with pytest.raises(Ended):
        child.send("x" * 200_000)
