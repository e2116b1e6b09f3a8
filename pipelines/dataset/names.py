"""What things in a dataset folder are called. Nothing of another name is read there, or ever removed."""

from __future__ import annotations

import re

ENTRY = "dataset.json"
SCHEMA_FILE = "schema.pbtxt"
RUNS = "runs"
MANIFEST_FILE = "manifest.parquet"
PLAN = "plan"
WRITTEN, FAILED, DUPLICATE, SILENT = "written", "failed", "duplicate", "silent"
"""The status of a manifest's row; those of silent sources and of duplicates have no records, and did not fail."""
DUPLICATE_OF = "duplicate of "
"""What the `error` of a duplicate begins with; the name of the source that has its content follows."""
SPLIT_NAME = r"[a-z][a-z0-9_]*"
SHARD_NAME = rf"{SPLIT_NAME}-[0-9]{{1,12}}\.tfrecord"
_RUN = re.compile(r"([0-9]{1,12})-[0-9]{8}T[0-9]{6}Z")
_TEMPORARY = r"\.tmp-[0-9a-z-]+"
_OF_DATASET = re.compile(rf"({re.escape(ENTRY)}|{re.escape(SCHEMA_FILE)}){_TEMPORARY}")
_OF_RUN = re.compile(rf"{PLAN}|\.building-\w+|({re.escape(MANIFEST_FILE)}|{SHARD_NAME})({_TEMPORARY})?", re.ASCII)
_OF_PLAN = re.compile(
    r"owner|fate|(tasks\.jsonl|plan\.json|(carried|failed|" + SHARD_NAME + rf"\.rows)\.parquet)({_TEMPORARY})?"
)


def run_number(name: str) -> int:
    """The number of a run's folder `<number>-<utc>`, -1 when the name is no run's."""
    match = _RUN.fullmatch(name)
    return int(match[1]) if match else -1


def is_split(name: str) -> bool:
    """Whether a split may be called so."""
    return bool(re.fullmatch(SPLIT_NAME, name))


def split_of_shard(name: str) -> str | None:
    """The split that a shard's file name begins with, None when the name is no shard's."""
    return name.rsplit("-", 1)[0] if re.fullmatch(SHARD_NAME, name) else None


def is_temporary(name: str) -> bool:
    """Whether a file beside `dataset.json` is one that was being written when its writer was killed."""
    return bool(_OF_DATASET.fullmatch(name))


def is_of_run(name: str) -> bool:
    """Whether a run writes a file or folder of this name into its folder."""
    return bool(_OF_RUN.fullmatch(name))


def is_unfinished(name: str) -> bool:
    """Whether it is one of these that is there only until the run is committed."""
    return is_of_run(name) and (name == PLAN or name.startswith(".") or ".tmp-" in name)


def is_of_plan(name: str) -> bool:
    """Whether a run writes a file of this name into the folder of its plan."""
    return bool(_OF_PLAN.fullmatch(name))
