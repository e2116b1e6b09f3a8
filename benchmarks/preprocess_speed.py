"""Files a second of `audio-vae preprocess --preset course` beside the plain script and bare loops, at two sizes.

Every row is a whole process, start-up included. `--rivals beam tfds lhotse` measures other ways, on fewer files.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

from common import (
    CACHE,
    BenchmarkError,
    Measured,
    Report,
    copy_recordings,
    measure,
    note,
    options,
    preprocess,
    table,
    workspace,
)

from pipelines.building.supervision import BUILDER_ENVIRONMENT
from pipelines.dataset.folder import open_dataset

RIVALS = Path(__file__).resolve().parent / "rivals"
REQUIREMENTS = {
    "tfds": ["tensorflow-datasets==4.9.10", "tensorflow-cpu", "apache-beam", "google-crc32c", "librosa", "soundfile"],
    "lhotse": ["lhotse==1.33.0", "librosa", "torch", "torchaudio"],
}
RIVAL_NAMES = ("beam", "tfds", "lhotse")
PLAIN = "plain script: librosa, one after another, `np.save`"
OURS = "**audio-vae preprocess --preset course**"
LIMIT = "limit: bare loops on all cores, nothing written, resampled 64 files in a call, as the pipeline does"
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TQDM_DISABLE": "1"}

Run = Callable[[Path], Measured]


def environment(name: str) -> Path:
    """The interpreter of an environment with a rival in it, made on the first call."""
    folder = CACHE / name
    python = folder / "bin" / "python"
    done = folder / ".installed"
    if not done.exists():
        note(f"making the environment {folder}")
        venv.create(folder, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command += REQUIREMENTS[name]
        installed = subprocess.run(command, capture_output=True, text=True, check=False)
        if installed.returncode != 0:
            raise BenchmarkError(f"pip install {' '.join(REQUIREMENTS[name])}: {installed.stderr.strip()[-300:]}")
        done.touch()
    return python


def script(python: str | Path, name: str, *arguments: object, env: dict[str, str] | None = None) -> Measured:
    """A rival's script."""
    return measure([str(python), str(RIVALS / name), *map(str, arguments)], QUIET | (env or {}))


def row(name: str, files: int, found: Measured) -> list[str]:
    """A line of the table."""
    speed, cpu = files / found.seconds, found.cpu_seconds / files * 1000
    numbers = [f"{files:,}", f"{found.seconds:.1f}", f"{speed:,.0f}", f"{cpu:.2f}"]
    return [name, *numbers, f"{found.rss_mb:,.0f}", f"{found.pss_mb:,.0f}"]


class Rows:
    """Rows of a table, each measured; what did not run is a remark."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = []
        self.remarks: list[str] = []

    def run(self, name: str, files: int, what: Callable[[], Measured]) -> Measured | None:
        note(f"{name}, {files:,} files")
        try:
            found = what()
        except BenchmarkError as error:
            self.remarks.append(f"- {name}: did not run: {' '.join(str(error).split())[-400:]}")
            return None
        self.rows.append(row(name, files, found))
        note(f"  {files / found.seconds:,.0f} files/s, {found.cpu_seconds:.1f} s CPU, {found.rss_mb:,.0f} MB")
        return found

    def table(self) -> list[str]:
        header = ["", "files", "seconds", "files/s", "CPU ms a file", "resident MB", "proportional MB"]
        return [*table(header, self.rows), "", *self.remarks]


def inputs_of(recordings: Path, folder: Path, files: int) -> Path:
    """So many files, all of them in the system's cache, so that nobody pays for the disk."""
    found = copy_recordings(recordings, folder, files)
    for path in found.rglob("*.wav"):
        path.read_bytes()
    return found


def ours(inputs: Path, dataset: Path) -> Measured:
    """The command, as a user runs it; what it wrote must be there."""
    found = preprocess(inputs, dataset, "--preset", "course")
    written, files = open_dataset(str(dataset)).num_examples, sum(1 for _ in inputs.rglob("*.wav"))
    if written != files:
        raise BenchmarkError(f"{written} records were written of {files} files")
    return found


def measure_size(files: int, inputs: Path, work: Path, rows: Rows, report: Report) -> None:
    """The rows and claims of one size."""
    plain = rows.run(PLAIN, files, lambda: script(sys.executable, "plain_script.py", inputs, work / "plain"))
    done = rows.run(OURS, files, lambda: ours(inputs, work / "dataset"))
    limit = rows.run(LIMIT, files, lambda: script(sys.executable, "bare_loops.py", inputs, 64, env=BUILDER_ENVIRONMENT))
    if plain and done and limit:
        ratio = plain.seconds / done.seconds
        report.claim(f"throughput over the plain script's, {files:,} files", ratio, "at least", 4)
        report.say(
            f"With {files:,} files the CPU time is {done.cpu_seconds / limit.cpu_seconds:.2f} times the limit's.", ""
        )


def measure_sizes(sizes: list[int], recordings: Path, write: bool) -> int:
    """The command beside the plain script and beside bare loops, at each size."""
    report = Report("preprocess-speed", "Preprocessing: speed", write)
    rows = Rows()
    for files in sorted(sizes):
        with workspace() as work:
            measure_size(files, inputs_of(recordings, work / "in", files), work, rows, report)
    report.say(
        "FSDD's recordings, again and again with another sample in the middle, so that none is a duplicate, with the",
        "settings of `course`: 22,050 Hz, 0.74 s, frame 512, hop 256, float32. Each row is a whole process, start-up",
        "included. Memory is the highest sum over all its processes: resident, where shared pages count for each, and",
        "proportional, where they count once.",
        "",
        *rows.table(),
    )
    return report.finish("apache-beam", "numpy", "soxr", "soundfile", "librosa")


def measure_rivals(rivals: list[str], files: int, recordings: Path, write: bool) -> int:
    """The command beside other ways, which get few files because they are slow."""
    report = Report("preprocess-rivals", "Preprocessing: other ways", write)
    rows = Rows()
    with workspace() as work:
        inputs = inputs_of(recordings, work / "in", files)
        rows.run(OURS, files, lambda: ours(inputs, work / "dataset"))
        for workers in (1, 2) if "beam" in rivals else ():
            rows.run(
                f"obvious Beam pipeline, {workers} process{'es' if workers > 1 else ''}",
                files,
                lambda n=workers: script(sys.executable, "obvious_beam.py", inputs, work / f"beam-{n}", n),
            )
        if "tfds" in rivals:
            rows.run(
                "TensorFlow Datasets on Beam, 1 process",
                files,
                lambda: script(environment("tfds"), "tfds_beam.py", inputs, work / "tfds", 1),
            )
        if "lhotse" in rivals:
            rows.run(
                "lhotse, 2 jobs",
                files,
                lambda: script(environment("lhotse"), "lhotse_jobs.py", inputs, work / "lhotse", 2),
            )
    report.say("As in the section above.", "", *rows.table())
    return report.finish("apache-beam", "tensorflow", "librosa")


def main() -> int:
    parser = options(__doc__, 0)
    parser.set_defaults(files=None)
    parser.add_argument("--sizes", type=int, nargs="*", default=[12_000, 30_000], help="numbers of files")
    parser.add_argument(
        "--rivals", nargs="*", default=[], choices=RIVAL_NAMES, help="measure these too, in a section of their own"
    )
    chosen = parser.parse_args()
    status = measure_sizes(chosen.sizes, chosen.recordings, chosen.write) if chosen.sizes else 0
    if chosen.rivals:
        files = chosen.files or 3_000
        status = max(status, measure_rivals(chosen.rivals, files, chosen.recordings, chosen.write))
    return status


if __name__ == "__main__":
    sys.exit(main())
