"""`audio-vae verify`: read every record back and compare it with what the manifest and `dataset.json` say."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from pipelines.beam.verify_on_beam import _run_checks
from pipelines.dataset.checking import check_dataset
from pipelines.dataset.folder import open_dataset

_ISSUES_SHOWN = 20


def main(argv: list[str]) -> int:
    """Run the command: 0 when everything fits, 1 when something does not."""
    parser = argparse.ArgumentParser(
        prog="audio-vae verify", description="Read every record of a dataset back and check it against the manifest."
    )
    parser.add_argument("dataset", metavar="DATASET")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    arguments = parser.parse_args(argv)
    dataset = open_dataset(arguments.dataset)
    problems = check_dataset(dataset) + _run_checks(dataset)
    values = {"dataset": dataset.uri, "ok": not problems, "num_examples": dataset.num_examples}
    values |= {"num_shards": len(dataset.shards), "sources": dataclasses.asdict(dataset.sources), "problems": problems}
    if arguments.json:
        print(json.dumps(values))
    else:
        for problem in problems[:_ISSUES_SHOWN]:
            print(problem, file=sys.stderr)
        more = f" (the first {_ISSUES_SHOWN} are shown)" if len(problems) > _ISSUES_SHOWN else ""
        result = (
            f"{len(problems)} problems{more}" if problems else f"{dataset.num_examples:,} records are as they should be"
        )
        print(f"{dataset.uri}: {result}", file=sys.stderr)
    return 1 if problems else 0
