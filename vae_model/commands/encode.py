"""The command `audio-vae encode`: audio files to latents in a Parquet file. A job on Beam where Beam is."""

from __future__ import annotations

import argparse
import json
import sys

from pipelines.audio.limits import RUN, SourceLimits
from pipelines.flags import add_settings, given, has_others, parse
from vae_model.commands.arguments import add_code
from vae_model.encoding import Encoding, encode

_FAILURES_SHOWN = 10


def parser() -> argparse.ArgumentParser:
    """The command's arguments but Beam's."""
    result = argparse.ArgumentParser(
        prog="audio-vae encode",
        description="Write the latents of audio files into a Parquet file, a row for each segment.",
        epilog="Beam's own options (--runner, --flink_master, …) pass through unchanged.",
        allow_abbrev=False,
    )
    result.add_argument("model", metavar="MODEL", help="folder that `audio-vae train` wrote")
    result.add_argument("inputs", nargs="+", metavar="INPUT", help="folder, file, or URI of a bucket")
    result.add_argument("--output", required=True, metavar="PARQUET", help="the file, made or replaced at the end")
    result.add_argument(
        "--label-pattern",
        metavar="REGEX",
        help="named groups in the relative path are labels (default: that of the model's dataset)",
    )
    result.add_argument("--batch-size", type=int, metavar="N", help="segments at once (default: by the model's size)")
    result.add_argument("--workers", type=int, metavar="N", help="local workers (default: all cores)")
    result.add_argument("--shard-mb", type=float, default=64.0, metavar="MB", help="spectrograms a task (64)")
    result.add_argument("--decode-timeout-seconds", type=float, default=60.0, metavar="S")
    result.add_argument("--max-failures", metavar="N|P%%", help="write nothing past so many failed files")
    add_settings(result, (SourceLimits(),), {RUN: result})
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    result.add_argument("--verbose", action="store_true", help="show Beam's log too")
    add_code(result)
    return result


def main(argv: list[str]) -> int:
    """Run the command: 0 also when some files could not be used. Errors are the caller's to print."""
    own = parser()
    ours, beam_flags, also_known = argv, list[str](), list[str]()
    if has_others(argv, own._option_string_actions):
        from pipelines.beam.launch import beam_flag_names, split_beam_flags

        ours, beam_flags = split_beam_flags(argv, own._option_string_actions)
        also_known = beam_flag_names()
    arguments = parse(own, ours, also_known)
    done = encode(
        arguments.model,
        arguments.inputs,
        arguments.output,
        label_pattern=arguments.label_pattern,
        batch_size=arguments.batch_size,
        workers=arguments.workers,
        shard_mb=arguments.shard_mb,
        decode_timeout_seconds=arguments.decode_timeout_seconds,
        limits=SourceLimits(**given(arguments, (SourceLimits(),))),
        max_failures=arguments.max_failures,
        beam_flags=beam_flags,
        verbose=arguments.verbose,
    )
    _report(done, arguments.json)
    return 0


def _report(done: Encoding, as_json: bool) -> None:
    """What was written, and each source that failed with its reason (the first few)."""
    for line in done.failures[:_FAILURES_SHOWN]:
        print(f"failed: {line}", file=sys.stderr)
    if len(done.failures) > _FAILURES_SHOWN:
        more = len(done.failures) - _FAILURES_SHOWN
        print(f"… and {more:,} more; all are in {done.sources_table}", file=sys.stderr)
    sources = done.sources
    text = f"{done.num_segments:,} segments of {sources.written:,} sources, {sources.failed:,} sources failed"
    print(f"{done.output}: {text}", file=sys.stderr)
    if as_json:
        print(json.dumps(done.to_dict()))


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("vae_model.commands.encode")
