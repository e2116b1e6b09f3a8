"""Files a second of `audio-vae preprocess --preset course` beside its rivals and beside bare loops, on FSDD tenfold.

Every row is a whole process, start-up included. Slow rivals get fewer files, which the table says.
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
    folder_bytes,
    link_recordings,
    measure,
    note,
    options,
    preprocess,
    table,
    workspace,
)

from pipelines.building.supervision import BUILDER_ENVIRONMENT

RIVALS = Path(__file__).resolve().parent / "rivals"
REQUIREMENTS = {
    "tfds": ["tensorflow-datasets==4.9.10", "tensorflow-cpu", "apache-beam", "google-crc32c", "librosa", "soundfile"],
    "lhotse": ["lhotse==1.33.0", "librosa", "torch", "torchaudio"],
}
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


def main() -> int:
    parser = options(__doc__, 30_000)
    parser.add_argument("--slow-files", type=int, default=3_000, help="files for Beam's, TFDS's and lhotse's rows")
    parser.add_argument("--without", nargs="*", default=[], choices=["beam", "tfds", "lhotse"], help="leave rivals out")
    chosen = parser.parse_args()
    slow = min(chosen.slow_files, chosen.files)
    report = Report("preprocess-speed", "Preprocessing: speed", chosen.write)
    rows: list[list[str]] = []
    remarks: list[str] = []
    with workspace() as work:
        many = link_recordings(chosen.recordings, work / "many", chosen.files)
        few = link_recordings(chosen.recordings, work / "few", slow)
        for path in many.rglob("*.wav"):  # so that nobody pays for the disk
            path.read_bytes()

        def run(name: str, files: int, what: Callable[[], Measured]) -> Measured | None:
            note(f"{name}, {files:,} files")
            try:
                found = what()
            except BenchmarkError as error:
                remarks.append(f"- {name}: did not run: {' '.join(str(error).split())[-400:]}")
                return None
            rows.append(row(name, files, found))
            note(f"  {files / found.seconds:,.0f} files/s, {found.cpu_seconds:.1f} s CPU, {found.rss_mb:,.0f} MB")
            return found

        plain = run(
            "plain script: librosa, one after another, `np.save`",
            chosen.files,
            lambda: script(sys.executable, "plain_script.py", many, work / "plain"),
        )
        dataset = work / "dataset"
        ours = run(
            "**audio-vae preprocess --preset course**",
            chosen.files,
            lambda: preprocess(many, dataset, "--preset", "course"),
        )
        written = folder_bytes(dataset) / 1e6 if dataset.exists() else 0.0
        limit = run(
            "limit: bare loops on all cores, nothing written",
            chosen.files,
            lambda: script(sys.executable, "bare_loops.py", many, env=BUILDER_ENVIRONMENT),
        )
        grouped = run(
            "limit, resampled 64 files in a call, as the pipeline does",
            chosen.files,
            lambda: script(sys.executable, "bare_loops.py", many, 64, env=BUILDER_ENVIRONMENT),
        )
        if "beam" not in chosen.without:
            for workers in (1, 2):
                run(
                    f"obvious Beam pipeline, {workers} process{'es' if workers > 1 else ''}",
                    slow,
                    lambda n=workers: script(sys.executable, "obvious_beam.py", few, work / f"beam-{n}", n),
                )
        if "tfds" not in chosen.without:
            run(
                "TensorFlow Datasets on Beam, 1 process",
                slow,
                lambda: script(environment("tfds"), "tfds_beam.py", few, work / "tfds", 1),
            )
        if "lhotse" not in chosen.without:
            run(
                "lhotse, 2 jobs",
                slow,
                lambda: script(environment("lhotse"), "lhotse_jobs.py", few, work / "lhotse", 2),
            )
    report.say(
        "FSDD's recordings, hard-linked into subfolders, with the settings of `course`: 22,050 Hz, 0.74 s, frame 512,",
        "hop 256, float32. Each row is a whole process, start-up included. Memory is the highest sum over all its",
        "processes: resident, where shared pages count for each, and proportional, where they count once.",
        "",
        *table(["", "files", "seconds", "files/s", "CPU ms a file", "resident MB", "proportional MB"], rows),
        "",
        *remarks,
    )
    if plain and ours:
        ratio = plain.seconds / ours.seconds
        report.claim("throughput over the plain script's (aim 4)", ratio, "at least", 3)
    if limit and grouped and ours:
        ratio = ours.cpu_seconds / limit.cpu_seconds
        report.claim("CPU time over the limit's", ratio, "at most", 1.35)
        strict = ours.cpu_seconds / grouped.cpu_seconds
        report.say(f"The run wrote {written:,.0f} MB. Its CPU time is {strict:.2f} times that of the grouped limit.")
    return report.finish("apache-beam", "numpy", "soxr", "soundfile", "librosa", "tensorflow")


if __name__ == "__main__":
    sys.exit(main())
