"""Regular expressions of a dataset's settings, searched in names with a deadline: a stranger may have written both."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from typing import Any

from pipelines.errors import SettingError

DEADLINE_SECONDS = 5.0
"""For one name; any expression that is meant for names takes microseconds."""


class _TooLong(Exception):
    """The deadline has passed."""


def search(setting: str, pattern: re.Pattern[str], name: str) -> re.Match[str] | None:
    """`pattern.search(name)`. SettingError, by the setting's name, when it takes longer than the deadline.

    `re` looks for signals while it searches, but those reach the main thread alone: others let a child try first.
    """
    try:
        if threading.current_thread() is threading.main_thread():
            return _with_alarm(pattern, name)
        if _may_be_slow(pattern):
            _require_fast(pattern, name)
        return pattern.search(name)
    except _TooLong:
        rule = f"an expression that searches a name in {DEADLINE_SECONDS:g} s; it took longer for {name[:200]!r}"
        raise SettingError(f"{setting}={pattern.pattern!r} must be {rule}") from None


def _with_alarm(pattern: re.Pattern[str], name: str) -> re.Match[str] | None:
    def stop(signum: int, frame: Any) -> None:
        raise _TooLong

    previous = signal.signal(signal.SIGALRM, stop)
    rest, interval = signal.setitimer(signal.ITIMER_REAL, DEADLINE_SECONDS)
    try:
        return pattern.search(name)
    finally:
        signal.setitimer(signal.ITIMER_REAL, rest, interval)
        signal.signal(signal.SIGALRM, previous if previous is not None else signal.SIG_DFL)


def _may_be_slow(pattern: re.Pattern[str]) -> bool:
    """Whether an expression repeats something that repeats or chooses: only then can its time double with a letter."""
    return bool(re.search(r"[*+}]\??[^()]*\)+\??[*+{]|\|[^()]*\)+\??[*+{]|\\[1-9]|\(\?P=", pattern.pattern))


_CHILD = "import json, re, sys\npattern, flags, name = json.load(sys.stdin)\nre.compile(pattern, flags).search(name)\n"


def _require_fast(pattern: re.Pattern[str], name: str) -> None:
    question = json.dumps([pattern.pattern, pattern.flags, name]).encode()
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", _CHILD], stdin=subprocess.PIPE) as child:
        try:
            child.communicate(question, timeout=DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            raise _TooLong from None
