"""The options of `audio-vae preprocess`, beside which Beam's own pass through."""

from __future__ import annotations

import argparse
import dataclasses
import os
from typing import Any

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

from pipelines.config import DTYPES, PAD_MODES, PRESETS, SEGMENTS, DatasetConfig
from pipelines.errors import SettingError
from pipelines.planning import SHARD_MB
from pipelines.supervision import DECODE_TIMEOUT_SECONDS

LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
"""Named, because Beam's DirectRunner chooses between three runners by graph and network."""

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


class PreprocessOptions(PipelineOptions):  # type: ignore[misc]
    """Settings of the dataset and of the run."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
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
        run.add_argument("--json", action="store_true", help="print one JSON object on standard output")
        run.add_argument("--verbose", action="store_true", help="show Beam's log too")


def settings(options: PreprocessOptions, existing: DatasetConfig | None) -> DatasetConfig:
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


def with_local_runner(options: PreprocessOptions) -> bool:
    """Name the local runner unless another is asked for; whether the job runs in this process."""
    standard, direct = options.view_as(StandardOptions), options.view_as(DirectOptions)
    if standard.runner is not None:
        return str(standard.runner) == LOCAL_RUNNER
    workers = options.workers
    if workers is not None and workers < 1:
        raise SettingError(f"--workers={workers} must be a positive number of processes")
    standard.runner = LOCAL_RUNNER
    if direct.direct_num_workers in (None, 1):
        direct.direct_num_workers = workers or os.cpu_count() or 1
    if direct.direct_running_mode in (None, "in_memory") and direct.direct_num_workers > 1:
        direct.direct_running_mode = "multi_threading"
    return True
