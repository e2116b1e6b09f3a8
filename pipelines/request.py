"""What a call of `audio-vae preprocess` asks for, and what there is to do for it."""

from __future__ import annotations

import argparse
import dataclasses
import os
from dataclasses import dataclass
from typing import Any

from pipelines.audio.sources import Listing, list_sources
from pipelines.config import DTYPES, PAD_MODES, PRESETS, SEGMENTS, DatasetConfig
from pipelines.console.terminal import set_up_logging
from pipelines.dataset.folder import Dataset
from pipelines.errors import SettingError, WorkError, require
from pipelines.plan.changes import Changes, compare
from pipelines.plan.policy import MaxFailures, Policy
from pipelines.store.paths import local_path


@dataclass(frozen=True)
class Request:
    """Inputs, an output, and how to go about it."""

    inputs: list[str]
    output: str
    options: argparse.Namespace
    config: DatasetConfig
    policy: Policy
    max_failures: MaxFailures

    @classmethod
    def of(cls, options: argparse.Namespace, base: Dataset | None) -> Request:
        """From the command's options. SettingError when they differ from those of the dataset that is there, base."""
        config = settings(options, base.config if base else None)
        if base is not None and (differences := base.config.differences(config)):
            raise SettingError(f"--output {options.output}: was made with other settings: {'; '.join(differences)}")
        policy = Policy(options.checksum, options.keep_removed, options.retry_failed)
        limit = MaxFailures() if options.max_failures is None else MaxFailures.parse(options.max_failures)
        return cls(options.inputs, options.output, options, config, policy, limit)

    def compared(self, base: Dataset | None, *, may_be_empty: bool = False) -> tuple[Listing, Changes]:
        """List the inputs, and compare them with the dataset that is there. SettingError when there is no audio."""
        listing = list_sources(self.inputs)
        if len(listing.table) == 0 and not may_be_empty:
            raise SettingError(f"INPUT {' '.join(self.inputs)}: must hold at least one audio file")
        if self.options.expected_listing not in (None, listing.digest):
            raise WorkError(f"INPUT {' '.join(self.inputs)}: has changed while this run began")
        if self.options.checksum:
            from pipelines.audio.sources import add_checksums

            listing = dataclasses.replace(listing, table=add_checksums(listing.table))
        return listing, compare(listing, base, self.policy, self.config)


def check_options(options: argparse.Namespace) -> None:
    """SettingError when an option has no sense. Sets up the log as the options ask for it."""
    set_up_logging(options.verbose)
    require(options.shard_mb > 0, "--shard-mb", options.shard_mb, "a positive number of megabytes")
    timeout = options.decode_timeout_seconds
    require(timeout > 0, "--decode-timeout-seconds", timeout, "a positive number of seconds")
    require(options.workers is None or options.workers > 0, "--workers", options.workers, "a positive number")
    path = local_path(options.output)
    require(path is None or not os.path.isfile(path), "--output", options.output, "a folder")
    for uri in (*options.inputs, options.output):
        require(not uri.startswith("memory://"), "INPUT and --output", uri, "on a store that other processes can reach")


SHARD_MB = 64.0
DECODE_TIMEOUT_SECONDS = 60.0
_AUDIO = ("sample_rate", "channels", "segments", "segment_seconds", "segment_hop_seconds", "pad_mode")
_SPECTROGRAM = ("frame_size", "hop_length", "top_db")
_OTHER = ("dtype", "split", "split_pattern", "label_pattern")


def _split(text: str) -> tuple[tuple[str, float], ...]:
    """`validation=0.1,test=0.1`, or `none`."""
    if text == "none":
        return ()
    pairs = []
    for part in text.split(","):
        name, _, fraction = part.partition("=")
        try:
            pairs.append((name.strip(), float(fraction)))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} must look like validation=0.1,test=0.1, or be none") from None
    return tuple(pairs)


def _split_pattern(text: str) -> tuple[str, str]:
    """`test=_[0-4]\\.wav$`."""
    name, equals, pattern = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} must look like test=EXPRESSION")
    return name, pattern


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Settings of the dataset, then those of the run."""
    data = parser.add_argument_group("what a record is (fixed when the dataset is made)")
    data.add_argument("--preset", choices=sorted(PRESETS), help="named settings to start from (default: default)")
    data.add_argument("--sample_rate", "--sample-rate", type=int, metavar="HZ")
    data.add_argument("--channels", type=int, metavar="N", help="1 mixes to mono, more are kept")
    data.add_argument("--segments", choices=SEGMENTS, help="cut whole files, or take the first segment only")
    data.add_argument("--segment_seconds", "--segment-seconds", type=float, metavar="S")
    data.add_argument("--segment_hop_seconds", "--segment-hop-seconds", type=float, metavar="S")
    data.add_argument("--pad_mode", "--pad-mode", metavar="MODE", help=f"one of {', '.join(PAD_MODES)}")
    data.add_argument("--frame_size", "--frame-size", type=int, metavar="SAMPLES", help="STFT window, n_fft")
    data.add_argument("--hop_length", "--hop-length", type=int, metavar="SAMPLES")
    data.add_argument("--top_db", "--top-db", type=float, metavar="DB", help="floor under the loudest cell")
    data.add_argument("--dtype", choices=DTYPES, help="how a record stores its array")
    data.add_argument("--split", type=_split, metavar="NAME=FRACTION,…", help="validation=0.1,test=0.1, or none")
    data.add_argument(
        "--split_pattern",
        "--split-pattern",
        type=_split_pattern,
        action="append",
        metavar="NAME=REGEX",
        help="files whose relative path matches go to this split; may be repeated",
    )
    data.add_argument(
        "--label_pattern", "--label-pattern", metavar="REGEX", help="named groups in the relative path are labels"
    )
    run = parser.add_argument_group("how this run works")
    run.add_argument("--workers", type=int, metavar="N", help="local worker processes (default: all cores)")
    run.add_argument("--shard_mb", "--shard-mb", type=float, default=SHARD_MB, metavar="MB")
    run.add_argument(
        "--decode_timeout_seconds", "--decode-timeout-seconds", type=float, default=DECODE_TIMEOUT_SECONDS, metavar="S"
    )
    run.add_argument("--max_failures", "--max-failures", metavar="N|P%", help="commit nothing past so many failures")
    run.add_argument("--checksum", action="store_true", help="compare files by content, not by time stamp")
    run.add_argument("--keep_removed", "--keep-removed", action="store_true", help="keep records of removed files")
    run.add_argument("--retry_failed", "--retry-failed", action="store_true", help="try failed files again")
    run.add_argument("--dry_run_plan", "--dry-run", action="store_true", help="print the plan, do nothing")
    run.add_argument(
        "--no_wait",
        "--no-wait",
        action="store_true",
        help="on Dataflow: hand the job over and end; it commits by itself",
    )
    run.add_argument("--expected_listing", "--expected-listing", help=argparse.SUPPRESS)  # set by `audio-vae watch`
    run.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    run.add_argument("--verbose", action="store_true", help="show Beam's log too")


def settings(options: argparse.Namespace, existing: DatasetConfig | None) -> DatasetConfig:
    """The settings that the options ask for: those of the preset, else of the dataset, else the default, then flags."""
    base = PRESETS[options.preset] if options.preset else existing or PRESETS["default"]

    def given(names: tuple[str, ...]) -> dict[str, Any]:
        values = {name: getattr(options, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    other = given(_OTHER)
    if "split_pattern" in other:
        other["split_pattern"] = tuple(other["split_pattern"])
    return dataclasses.replace(
        base,
        audio=dataclasses.replace(base.audio, **given(_AUDIO)),
        spectrogram=dataclasses.replace(base.spectrogram, **given(_SPECTROGRAM)),
        **other,
    )
