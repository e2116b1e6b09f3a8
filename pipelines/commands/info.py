"""`audio-vae info`: what is in a dataset, from `dataset.json` and the manifests alone."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math

from pipelines.console.counts import left_out
from pipelines.dataset.facts import DatasetFacts, describe_dataset
from pipelines.flags import parse


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(prog="audio-vae info", description="Show what is in a dataset.")
    result.add_argument("dataset", metavar="DATASET")
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return result


def main(argv: list[str]) -> int:
    """Run the command. SettingError and WorkError are the caller's to print."""
    arguments = parse(parser(), argv)
    facts = describe_dataset(arguments.dataset)
    print(json.dumps(facts.to_dict()) if arguments.json else text(facts))
    return 0


def text(facts: DatasetFacts) -> str:
    """The figures for people, on one screen."""
    shape = " x ".join(str(size) for size in facts.record.shape)
    sources = dataclasses.asdict(facts.sources)
    lines = [
        facts.dataset,
        f"records    {facts.num_examples:,} of {facts.record.dtype} {shape} (bins x frames x channels)",
        f"audio      {facts.hours:,.2f} hours, {facts.num_bytes / 1e6:,.1f} MB in {len(facts.runs)} runs",
        f"range      {facts.min_db:.2f} to {facts.max_db:.2f} dB",
        "sources    " + ", ".join(f"{count:,} {name}" for name, count in sources.items()),
    ]
    lines += [f"duplicates {facts.duplicates:,} files with the content of a source"] if facts.duplicates else []
    lines += [f"left out   {left_out(facts.left_out, facts.silent)}"] if facts.left_out else []
    for name, split in facts.splits.items():
        shards = f"{split.num_shards} shards"
        lines.append(f"  {name:<11}{split.num_examples:>9,} records  {split.hours:>9,.2f} hours  {shards}")
    for stage, count in facts.failures_by_stage.items():
        lines.append(f"  failed in {stage}: {count:,}")
    most = max((level.sources for level in facts.levels), default=1)
    lines += ["loudest cell of each source, dB"] if facts.levels else []
    for level in facts.levels:
        bar = "#" * math.ceil(40 * level.sources / most)
        lines.append(f"  {level.from_db:>5} to {level.to_db:>4} {level.sources:>9,} {bar}")
    return "\n".join(lines)


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("pipelines.commands.info")
