"""What a terminal and a log get of a line that shows how far a work has come."""

from __future__ import annotations

import io
import os
import pty

import pytest

from pipelines.beam.progress import show_progress
from pipelines.console.live_line import LiveLine, counting


def test_a_log_gets_each_line_below_the_last() -> None:
    stream = io.StringIO()
    line = LiveLine(stream)
    for text in ("1/2", "2/2"):
        line.show(text)
    line.clear()
    line.end()
    assert stream.getvalue() == "1/2\n2/2\n"


def test_a_terminal_gets_one_line_that_is_replaced() -> None:
    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "w", encoding="utf-8") as stream:
        line = LiveLine(stream)
        for text in ("100/200 sounds", "2/2"):
            line.show(text)
        line.end()
        line.end()  # there is nothing to end any more
        line.show("gone")
        line.clear()
        expected, got = "\r100/200 sounds\033[K\r2/2\033[K\r\n\rgone\033[K\r\033[K", ""
        while len(got) < len(expected):  # it may come in parts
            got += os.read(controller, 4096).decode()
        assert got == expected
        assert line.columns > 0
    os.close(controller)


def test_a_line_is_due_when_the_time_is_up() -> None:
    line = LiveLine(io.StringIO(), plain_seconds=10)
    start = line._shown
    assert [line.is_due(start + seconds) for seconds in (1, 9.9, 10, 15, 20)] == [False, False, True, False, True]


def test_a_short_count_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with counting(3, "sounds") as counter:
        counter.add(3)
    assert counter.done == 3
    assert capsys.readouterr().err == ""


def test_a_run_ends_with_what_it_has_done() -> None:
    stream = io.StringIO()
    with show_progress(5, 2, stream):
        pass
    assert stream.getvalue() == "sources 0/5  shards 0/2\n"
