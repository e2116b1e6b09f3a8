"""Whose a MODEL folder is, where several workspaces may keep theirs in one folder: each has a file that says it.

Only the workspace that made a folder ever removes it. A name is taken by making its folder, which one alone can do.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets

from pipelines import store
from pipelines.errors import Conflict, SettingError, WorkError
from pipelines.store.files import read_json
from pipelines.store.holding import LEASE_FILE
from pipelines.store.paths import local_path

OWNER_FILE = "owner.json"
_MODEL_NAME = re.compile(r"[0-9]{6,12}-[0-9]{8}T[0-9]{6}Z")


def is_model(name: str) -> bool:
    """Whether a rerun may have called a model so."""
    return bool(_MODEL_NAME.fullmatch(name))


def claim(models: str, name: str, workspace: str) -> bool:
    """Make the folder of a new model for a workspace; False when there is one of that name."""
    owner = (json.dumps({"workspace": _seen_from(models, workspace)}) + "\n").encode()
    folder = local_path(models)
    if folder is None:
        try:
            store.replace_if_unchanged(store.join(models, name, OWNER_FILE), owner, None)
        except Conflict:
            return False
        return True
    partial = os.path.join(folder, f".{name}.{secrets.token_hex(4)}")
    store.make_folder(partial)
    store.write_bytes(os.path.join(partial, OWNER_FILE), owner)
    try:
        os.rename(partial, os.path.join(folder, name))  # fails where that is a folder with something in it
    except OSError as error:
        store.remove_folder(partial)
        if os.path.lexists(os.path.join(folder, name)):
            return False
        raise WorkError(f"{folder}: cannot be written: {error.strerror or error}") from error
    return True


def owner(models: str, name: str) -> str | None:
    """The workspace whose a model is, as seen from the models' folder; None when nothing says it."""
    try:
        values = read_json(store.join(models, name, OWNER_FILE))
    except (SettingError, FileNotFoundError):
        return None
    found = values.get("workspace")
    return found if isinstance(found, str) else None


def is_of_another(models: str, name: str, workspace: str) -> bool:
    """Whether a model is another workspace's."""
    found = owner(models, name)
    return found is not None and found != _seen_from(models, workspace)


def is_bare(models: str, name: str) -> bool:
    """Whether nothing was trained in a model's folder: it was claimed, or is empty."""
    return not set(store.names(store.join(models, name))) - {OWNER_FILE, LEASE_FILE}


def remove(models: str, name: str, workspace: str) -> None:
    """Remove a model that this workspace once had; one of another, or elsewhere behind a link, stays."""
    folder = local_path(store.join(models, name))
    if is_model(name) and not is_of_another(models, name, workspace) and not (folder and os.path.islink(folder)):
        store.remove_folder(store.join(models, name))


def remove_bare(models: str, name: str, workspace: str) -> None:
    """Remove the folder of a model whose training did not even begin."""
    folder = local_path(store.join(models, name))
    if owner(models, name) == _seen_from(models, workspace) and is_bare(models, name):
        remove(models, name, workspace)
    elif folder is not None:
        with contextlib.suppress(OSError):
            os.rmdir(folder)  # an empty one is nobody's


def _seen_from(models: str, workspace: str) -> str:
    """Where a workspace lies, so that both may be moved together."""
    here, there = local_path(models), local_path(workspace)
    if here is not None and there is not None:
        return os.path.relpath(os.path.realpath(there), os.path.realpath(here))
    return workspace.rstrip("/")
