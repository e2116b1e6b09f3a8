"""What becomes of a run that is not committed yet: it is committed, or it is cleared away, and never both.

A run is built by processes that may outlive the one that began them, and a Dataflow job commits with nobody waiting. So
whoever finds an uncommitted run can't tell a killed one from one that is a second from its commit. Locally the system
knows who lives: whoever commits or clears holds a lock on the plan's folder. A store has no locks, and a lease would
need somebody who renews it, and clocks that agree. What a store has is a write that succeeds only where there is
nothing yet. So a run's fate is an object, `plan/fate`, that says `commit` or `clear` and is never changed: who creates
it decides, and all that come later read the decision out of their refusal. What each race comes to:

- The committer is first: it may replace dataset.json, and who wants to clear goes on without. Between two committers
  dataset.json's own condition decides; the fate is about one run alone.
- The clearer is first: it removes plan.json before all else, then the folder, the fate with it. A committer that comes
  while the fate is there is refused; one that comes later creates a new fate, finds no plan.json, and takes it back.
- A step is repeated (Beam does that), or an answer was lost on the way: the same wish is found written, and holds.
- Two clear at once, or one clears on where another was killed: the same wish again; removing twice harms nothing.
- The commit fails: the fate goes, and the next run may clear. The committer is killed: the fate stays, and so does the
  run, as it may be in dataset.json already. When a later run is committed it can no longer be, and `prune` removes it.
- A builder of a cleared run still writes: no run of that name is begun again, and the next one clears what it left.
"""

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
