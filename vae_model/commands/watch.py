"""The command `audio-vae watch`: takes new audio in by itself, for people without a scheduler."""

from __future__ import annotations

import argparse

from pipelines.console.durations import seconds_of
from pipelines.errors import SettingError
from vae_model.rerun.watching import watch

_AT_LEAST_EVERY_SECONDS = 86400.0
"""How often a rerun looks anew though no audio came: a model may have become too old."""


def parser() -> argparse.ArgumentParser:
    """The command's own arguments; the others are those of `preprocess`."""
    result = argparse.ArgumentParser(
        prog="audio-vae watch",
        usage="audio-vae watch INPUT... --output DATASET [options]\n       audio-vae watch --config CONFIG [options]",
        description="Bring a dataset up to date whenever audio came and no file has changed for a while, or, with "
        "--config, do `audio-vae rerun`. What fails is said and tried again. Ctrl-C or SIGTERM ends it.",
        epilog="All options of `audio-vae preprocess` go with INPUT, those of Beam too. A folder may still be empty.",
        allow_abbrev=False,
    )
    result.add_argument("--config", metavar="CONFIG", help="the file of a rerun; its inputs are watched")
    result.add_argument("--interval", default="60s", metavar="TIME", help="between two looks (60s)")
    result.add_argument("--settle", default="30s", metavar="TIME", help="without a change before a run begins (30s)")
    result.add_argument("--json", action="store_true", help="print what came of each run as a JSON object in a line")
    return result


def main(argv: list[str]) -> int:
    """Run the command until it is asked to end: 0 then, 2 when a setting is wrong. Errors are the caller's to print."""
    arguments, rest = parser().parse_known_args(argv)
    interval = seconds_of("--interval", arguments.interval)
    settle = seconds_of("--settle", arguments.settle)
    if interval <= 0:
        raise SettingError(f"--interval={arguments.interval} must be longer than nothing")
    if arguments.config is not None:
        if rest:
            raise SettingError(f"{rest[0]} must not be given with --config, whose file says what is done")
        from vae_model.rerun.config import read_config

        inputs = list(read_config(arguments.config).places.inputs)
        command, every = ["rerun", arguments.config], _AT_LEAST_EVERY_SECONDS
    else:
        from pipelines.commands.preprocess import parse_options, request_of

        options, beam_flags = parse_options(rest, "audio-vae watch")
        request_of(options, beam_flags).require_places()
        if options.dry_run_plan or options.no_wait:
            raise SettingError("--dry-run and --no-wait must not be given to watch: it waits for what it does")
        inputs, command, every = options.inputs, ["preprocess", *rest], None
    return watch(
        inputs,
        command,
        interval_seconds=interval,
        settle_seconds=settle,
        every_seconds=every,
        as_json=arguments.json,
    ).exit_status


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("vae_model.commands.watch")
