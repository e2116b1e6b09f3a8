"""`history.csv`: the metrics of each epoch."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from pipelines import store
from pipelines.store import replacing
from vae_model.model_folder.folder import file_in

HISTORY_FILE = "history.csv"


def read_history(folder: Path | str) -> list[dict[str, Any]]:
    """The rows of a MODEL folder's `history.csv`, values as numbers; none when there is no such file."""
    path = file_in(folder, HISTORY_FILE)
    if not store.exists(path):
        return []
    rows = csv.DictReader(store.read_bytes(path).decode("utf-8").splitlines())
    return [{name: int(v) if name == "epoch" else float(v) for name, v in row.items() if v} for row in rows]


def write_history(folder: Path, rows: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(folder / HISTORY_FILE) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
