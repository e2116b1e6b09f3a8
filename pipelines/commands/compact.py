"""`audio-vae compact`: make full shards of a dataset's small ones, without decoding."""

from __future__ import annotations

import argparse
import json
import sys

from pipelines.errors import shown
from pipelines.flags import parse
from pipelines.plan.tasks import SHARD_MB
from pipelines.runs.compacting import Compaction, compact_dataset


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae compact",
        description="Merge the small shards of each split into full ones. Nothing is decoded and no record changes. "
        "What is replaced stays for readers until audio-vae prune.",
    )
    result.add_argument("dataset", metavar="DATASET")
    result.add_argument(
        "--shard-mb", type=float, default=SHARD_MB, metavar="MB", help=f"size of a full shard ({SHARD_MB:g})"
    )
    result.add_argument("--dry-run", action="store_true", help="only say what would be done")
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return result


def main(argv: list[str]) -> int:
    """Run the command."""
    arguments = parse(parser(), argv)
    found = compact_dataset(arguments.dataset, shard_mb=arguments.shard_mb, dry_run=arguments.dry_run)
    if arguments.json:
        print(json.dumps(found.to_dict()))
    else:
        print(f"{shown(found.dataset.uri)}: {_result(found)}", file=sys.stderr)
    return 0


def _result(found: Compaction) -> str:
    """What came of it in a line."""
    if not found.splits:
        return "nothing to compact"
    verb = "would become" if found.run is None else "became"
    splits = (f"{name} {split.shards:,} to {split.into:,}" for name, split in found.splits.items())
    return f"{found.shards:,} small shards {verb} {found.into:,}: {', '.join(splits)}"


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("pipelines.commands.compact")
