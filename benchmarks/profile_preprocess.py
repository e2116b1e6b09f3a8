"""Where the time of `audio-vae preprocess --preset course` goes: CPU time of each step on FSDD, and what is left over.

The steps are run one after the other over the same files in this process, with the functions that the pipeline calls;
the whole command is run as users run it. Both in CPU time, which other work on the machine disturbs least.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from common import Report, copy_recordings, measure, note, options, preprocess, table, workspace

from pipelines.audio.decoding import open_audio
from pipelines.audio.loading import resample_alike
from pipelines.audio.segments import Padder, cut_segments
from pipelines.audio.spectrogram import LogSpectrogramExtractor, MinMaxNormaliser
from pipelines.building.savers import RecordSaver
from pipelines.building.supervision import BUILDER_ENVIRONMENT
from pipelines.config import PRESETS
from pipelines.dataset.records import Record, serialize

AT_ONCE = 64  # files that the pipeline resamples together
T = TypeVar("T")


class Stopwatch:
    """CPU seconds of this process by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def each(self, step: str, what: Callable[[Any], T], values: Iterable[Any]) -> list[T]:
        """Call a function on each value and put the time down to a step."""
        start = time.process_time()
        results = [what(value) for value in values]
        self.seconds[step] = self.seconds.get(step, 0.0) + time.process_time() - start
        return results


def steps(paths: list[str], folder: str) -> Stopwatch:
    """Pass files through all steps."""
    config = PRESETS["course"]
    audio, spectrogram = config.audio, config.spectrogram
    extractor = LogSpectrogramExtractor(spectrogram.frame_size, spectrogram.hop_length, spectrogram.top_db)
    normaliser, padder = MinMaxNormaliser(), Padder(audio.pad_mode)
    size, watch = audio.segment_samples, Stopwatch()

    def decode(path: str) -> Any:
        with open_audio(path, audio.segment_seconds) as stream:
            return next(stream.blocks), stream.sample_rate

    def cut(waveform: Any) -> Any:
        return next(cut_segments([waveform], size, size, audio.sample_rate, padder)).samples

    def record(array: Any) -> Record:
        return Record(array, -80.0, 0.0, "000/0_speaker_0.wav", 0, 0.0, 64)

    with open(f"{folder}/train.tfrecord", "w+b", buffering=1 << 20) as file:
        saver = RecordSaver(file, config.dtype)
        for start in range(0, len(paths), AT_ONCE):
            decoded = watch.each("open and decode", decode, paths[start : start + AT_ONCE])
            alike: dict[tuple[int, int], list[Any]] = {}
            for samples, rate in decoded:
                alike.setdefault((rate, len(samples).bit_length()), []).append(samples)
            groups = [(waveforms, rate) for (rate, _), waveforms in alike.items()]
            resampled = watch.each("resample", lambda g: resample_alike(*g, audio.sample_rate), groups)
            segments = watch.each("cut and pad", cut, [waveform for group in resampled for waveform in group])
            decibels = watch.each("STFT and decibels", extractor.extract, segments)
            normalised = watch.each("normalise", normaliser.normalise, decibels)
            records = [record(array) for array in normalised]
            serialized = watch.each("serialize", lambda r: serialize(r, config.dtype), records)
            watch.each("checksum and write", saver.save_serialized, serialized)
    return watch


COMMAND = """
from pipelines.console import terminal
terminal.settle()
import pipelines.commands.preprocess, pipelines.update
terminal.import_beam()
import pipelines.beam.launch, pipelines.beam.build_on_beam
"""
"""What the process of the command imports."""


def import_seconds(code: str) -> float:
    """CPU time of a process that imports what this code does."""
    code += "\nimport time; print('cpu', time.process_time())"
    found = [measure([sys.executable, "-c", code]).output for _ in range(3)]
    return min(float(match[1]) for text in found if (match := re.search(r"cpu ([\d.]+)", text)))


def main() -> int:
    parser = options(__doc__, 30_000)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    if not BUILDER_ENVIRONMENT.items() <= os.environ.items():  # libraries read it when they are loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | BUILDER_ENVIRONMENT)
    report = Report("profile-preprocess", "Preprocessing: where the time goes", chosen.write)
    with workspace() as work:
        inputs = copy_recordings(chosen.recordings, work / "input", chosen.files)
        (work / "few").mkdir()
        few = copy_recordings(chosen.recordings, work / "few" / "input", 10)
        paths = [str(path) for path in sorted(inputs.rglob("*.wav"))]
        steps(paths[:AT_ONCE], str(work))  # so that nothing is done for the first time
        note(f"steps of {chosen.files:,} files")
        watch = steps(paths, str(work))
        note("the whole command")
        flags = ("--preset", "course", "--workers", str(chosen.workers))
        whole = preprocess(inputs, work / "dataset", *flags)
        note("the command on ten files")
        small = preprocess(few, work / "few" / "dataset", *flags, "--shard-mb", "0.1")  # so many that Beam runs them
        parent, builder = import_seconds(COMMAND), import_seconds("import pipelines.building.builder")
    start_up = {
        f"start of {chosen.workers} builder processes (imports)": builder * chosen.workers,
        "start of the command, with Beam (imports)": parent,
        "Beam's job, planning and commit of ten files": max(
            0.0, small.cpu_seconds - parent - builder * chosen.workers - sum(watch.seconds.values()) * 10 / chosen.files
        ),
    }
    parts = watch.seconds | start_up
    rest = whole.cpu_seconds - sum(parts.values())
    parts["the rest: listing, planning, rows, manifest, progress, bookkeeping"] = rest
    rows = [
        [name, f"{seconds:.2f}", f"{seconds / chosen.files * 1e6:.0f}", f"{seconds / whole.cpu_seconds:.0%}"]
        for name, seconds in parts.items()
    ]
    rows.append(["**whole command**", f"{whole.cpu_seconds:.2f}", f"{whole.cpu_seconds / chosen.files * 1e6:.0f}", ""])
    report.say(
        f"CPU time of {chosen.files:,} of FSDD's files with the settings of `course` and {chosen.workers} builder",
        f"processes, in {whole.seconds:.1f} s of wall clock. Steps are measured alone, in one process; the rest is",
        "what the whole command takes beyond them (with all cores busy each step takes a little longer than alone).",
        "",
        *table(["step", "CPU seconds", "µs a file", "of all"], rows),
    )
    report.claim("the rest, µs a file", rest / chosen.files * 1e6, "at most", 102.5)
    return report.finish("apache-beam", "numpy", "soxr", "soundfile")


if __name__ == "__main__":
    sys.exit(main())
