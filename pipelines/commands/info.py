"""`audio-vae info`: what is in a dataset, from `dataset.json` and the manifests alone."""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

from pipelines.dataset.facts import describe
from pipelines.dataset.folder import open_dataset


def _text(values: dict[str, Any]) -> str:
    bounds, sources = values["global_range"], values["sources"]
    shape = " x ".join(str(size) for size in values["record"]["shape"])
    lines = [
        values["dataset"],
        f"records    {values['num_examples']:,} of {values['record']['dtype']} {shape} (bins x frames x channels)",
        f"audio      {values['hours']:,.2f} hours, {values['num_bytes'] / 1e6:,.1f} MB in {len(values['runs'])} runs",
        f"range      {bounds['min_db']:.2f} to {bounds['max_db']:.2f} dB",
        "sources    " + ", ".join(f"{count:,} {name}" for name, count in sources.items()),
    ]
    for name, split in values["splits"].items():
        shards = f"{split['num_shards']} shards"
        lines.append(f"  {name:<11}{split['num_examples']:>9,} records  {split['hours']:>9,.2f} hours  {shards}")
    for stage, count in values["failures_by_stage"].items():
        lines.append(f"  failed in {stage}: {count:,}")
    most = max((level["sources"] for level in values["levels"]), default=1)
    lines += ["loudest cell of each source, dB"] if values["levels"] else []
    for level in values["levels"]:
        bar = "#" * math.ceil(40 * level["sources"] / most)
        lines.append(f"  {level['from_db']:>5} to {level['to_db']:>4} {level['sources']:>9,} {bar}")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="audio-vae info", description="Show what is in a dataset.")
    parser.add_argument("dataset", metavar="DATASET")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    arguments = parser.parse_args(argv)
    values = describe(open_dataset(arguments.dataset))
    print(json.dumps(values) if arguments.json else _text(values))
    return 0
