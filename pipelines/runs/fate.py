"""Who may write to a dataset folder, and what becomes of a run that is not committed yet."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator

from pipelines import store
from pipelines.dataset.names import PLAN
from pipelines.store.holding import flocked
from pipelines.store.paths import local_path

PLAN_FILE = "plan.json"
_OWNER_FILE, _FATE_FILE = "owner", "fate"  # on stores without locks
_COMMIT, _CLEAR = b"commit", b"clear"


def claim(run_uri: str) -> bool:
    """Make the folder of a new run and of its plan; False when another run has done so."""
    plan = store.join(run_uri, PLAN)
    store.make_folder(plan)
    if local_path(plan) is not None:
        return True  # `lock` is held
    try:
        store.replace_if_unchanged(store.join(plan, _OWNER_FILE), secrets.token_bytes(16), None)
    except store.Conflict:
        return False
    return True


@contextlib.contextmanager
def settling(run_uri: str) -> Iterator[bool]:
    """Hold an uncommitted run for this block alone, which commits it: it is never cleared away at the same time.

    Yields whether the run is still there to commit. Locally a lock does it (the builder of a killed run may live a
    moment longer than its lock of the dataset, so that one does not do). On another store whoever creates the run's
    fate file decides; it goes when the block fails, and with the plan when the run is committed.
    """
    if local_path(run_uri) is not None:
        with _plan_locked(run_uri) as is_there:
            yield is_there
        return
    fate = store.join(run_uri, PLAN, _FATE_FILE)
    if not _decided(fate, _COMMIT):
        yield False
        return
    is_there = store.exists(store.join(run_uri, PLAN, PLAN_FILE))  # what clears a run removes this first, fate last
    try:
        yield is_there
    except BaseException:
        store.remove_folder(fate)
        raise
    if not is_there:
        store.remove_folder(fate)


@contextlib.contextmanager
def clearing(run_uri: str) -> Iterator[bool]:
    """Hold an uncommitted run for this block alone, which clears it away. Yields False when it is being committed."""
    if local_path(run_uri) is not None:
        with _plan_locked(run_uri):
            yield True
        return
    may_clear = _decided(store.join(run_uri, PLAN, _FATE_FILE), _CLEAR)
    if may_clear:
        store.remove_folder(store.join(run_uri, PLAN, PLAN_FILE))
    yield may_clear


def _decided(fate: str, wish: bytes) -> bool:
    """Whether a run's fate is, from now on or since before, what is wished."""
    try:
        store.replace_if_unchanged(fate, wish, None)
    except store.Conflict:
        return False
    return True


def _plan_locked(run_uri: str) -> contextlib.AbstractContextManager[bool]:
    return flocked(local_path(store.join(run_uri, PLAN)) or "", wait=True, follows_links=False)
