"""Datasets in which some files are equal or have moved, as tables to compare."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pipelines.dataset.folder import MANIFEST, open_dataset
from tests.helpers.console import audio_vae_json
from tests.helpers.dataset_state import SMALL

SPLITS = ["--split", "validation=0.3,test=0.3", *SMALL]
Row = dict[str, Any]


def preprocess(folder: Path | list[Path], dataset: Path, *options: object) -> dict[str, Any]:
    folders = folder if isinstance(folder, list) else [folder]
    return audio_vae_json("preprocess", *folders, "--output", dataset, *options)


def rows(dataset: Path) -> dict[str, Row]:
    """The row of every file that the dataset knows, by name."""
    opened = open_dataset(str(dataset))
    found: dict[str, Row] = {}
    for _, table, live in opened.rows_by_run(MANIFEST.names):
        for row in table.filter(live).to_pylist():
            assert row["source"] not in found
            found[row["source"]] = row
    return found


def splits(dataset: Path) -> dict[str, str]:
    """The split of each content that has records, by digest: each is in one."""
    written = [row for row in rows(dataset).values() if row["status"] == "written"]
    found = {row["digest"]: row["split"] for row in written}
    assert len(found) == len(written)
    return found


def duplicates(dataset: Path) -> dict[str, str]:
    """Each duplicate with what its row says of it."""
    return {name: row["error"] for name, row in rows(dataset).items() if row["status"] == "duplicate"}


def names_by_digest(dataset: Path) -> dict[str, str]:
    return {row["digest"]: name for name, row in rows(dataset).items() if row["status"] == "written"}


def copy(folder: Path) -> None:
    shutil.copytree(folder / "2026", folder / "copies")


def move_all(folder: Path) -> None:
    (folder / "2026" / "sub").mkdir()
    for path in (folder / "2026").glob("*.wav"):
        path.rename(folder / "2026" / "sub" / path.name)
