"""What all benchmarks share: time and memory of a whole process tree, the machine in words, sections of the results."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import importlib.metadata
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "benchmarks"
sys.path.insert(0, str(ROOT))  # `pipelines`, also where the package is not installed
RESULTS = ROOT / "docs" / "results.md"
RECORDINGS = ROOT.parent / "shared" / "data" / "fsdd" / "recordings"

_RSS_SECONDS = 0.25
_PSS_SECONDS = 4.0  # reading it costs milliseconds a process
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measured:
    """A command's cost, its children and theirs included.

    seconds: wall clock. cpu_seconds: user and system. rss_mb: highest sum of resident memory over all processes, where
    pages that they share count for each. pss_mb: the same with shared pages counted once, looked at once a second.
    """

    seconds: float
    cpu_seconds: float
    rss_mb: float
    pss_mb: float
    output: str


class BenchmarkError(Exception):
    """A command that is measured failed."""


def measure(command: Sequence[str], env: dict[str, str] | None = None, cwd: Path | None = None) -> Measured:
    """Run a command to its end and measure it. BenchmarkError with the end of its output when it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | (env or {}),
            cwd=cwd or ROOT,
        )
        tree = _Tree(process.pid)
        try:
            status = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            tree.stop()
        seconds = time.perf_counter() - start
        output.seek(0)
        text = output.read().decode(errors="replace")
    if status != 0:
        raise BenchmarkError(f"{' '.join(command)[:200]}: exit status {status}\n{text[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    waited = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(seconds, max(waited, tree.cpu_seconds), tree.rss / 1e6, tree.pss / 1e6, text)


class _Tree(threading.Thread):
    """Looks at a process and its descendants until it is stopped."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.rss = self.pss = 0.0
        self._cpu: dict[int, float] = {}
        self._ended = threading.Event()
        self.start()

    @property
    def cpu_seconds(self) -> float:
        """CPU time of all processes that were seen, as last seen: also of those that nobody waited for."""
        return sum(self._cpu.values())

    def stop(self) -> None:
        """End looking."""
        self._ended.set()
        self.join()

    def run(self) -> None:
        next_pss = 0.0
        seen: set[int] = set()
        while not self._ended.wait(_RSS_SECONDS):
            found = descendants(self.pid)
            # a process that is being started is a copy of its parent for a moment
            pids = [pid for pid in found if pid in seen]
            seen = set(found)
            self.rss = max(self.rss, sum(map(_rss_bytes, pids)))
            for pid in pids:
                self._cpu[pid] = max(self._cpu.get(pid, 0.0), _cpu_seconds(pid))
            if time.monotonic() >= next_pss:
                self.pss = max(self.pss, sum(map(_pss_bytes, pids)))
                next_pss = time.monotonic() + _PSS_SECONDS


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):
                with contextlib.suppress(OSError):
                    found += map(int, Path(f"/proc/{parent}/task/{thread}/children").read_text().split())
    return found


def _rss_bytes(pid: int) -> float:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return 0.0


def _cpu_seconds(pid: int) -> float:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
    return 0.0


def _pss_bytes(pid: int) -> float:
    with contextlib.suppress(OSError):
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        return int(found[1]) * 1024.0 if found else 0.0
    return 0.0


def machine(*packages: str) -> str:
    """This machine and these packages' versions, in one line."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PHYS_PAGES") * _PAGE / 2**30
    cores = len(os.sched_getaffinity(0))
    parts = [f"{cores} cores ({cpu[1] if cpu else platform.machine()})", f"{memory:.0f} GiB memory"]
    parts.append(f"Python {platform.python_version()}")
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            parts.append(f"{package} {importlib.metadata.version(package)}")
    return ", ".join(parts)


def busy() -> str:
    """A warning when other processes were at work, else nothing."""
    load = os.getloadavg()[0]
    return f" **Other work ran beside it: load {load:.1f} at its start.**" if load > 0.7 else ""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows]]


def verdict(name: str, value: float, relation: str, bound: float, unit: str = "") -> tuple[str, bool]:
    """A claim beside what was found, and whether it holds."""
    holds = value <= bound if relation == "at most" else value >= bound
    return f"{'holds' if holds else 'FALLS SHORT'}: {name}: {value:.4g}{unit}, {relation} {bound:g}{unit}", holds


def write_section(name: str, lines: Sequence[str], path: Path = RESULTS) -> None:
    """Put a section between its markers in the results, or at their end when it is new there."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    section = "\n".join([begin, *lines, end])
    text = path.read_text(encoding="utf-8") if path.exists() else "# Results\n"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    text = pattern.sub(lambda _: section, text) if pattern.search(text) else f"{text.rstrip()}\n\n{section}\n"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


@dataclass
class Report:
    """Collects what a script found, prints it, and writes it into the results unless told not to."""

    name: str
    title: str
    write: bool
    lines: list[str] = dataclasses.field(default_factory=list)
    claims: list[tuple[str, bool]] = dataclasses.field(default_factory=list)
    load: str = dataclasses.field(default_factory=busy)

    def say(self, *lines: str) -> None:
        """Add lines."""
        self.lines += lines

    def claim(self, name: str, value: float, relation: str, bound: float, unit: str = "") -> None:
        """Add a claim with its verdict. relation: `at most` or `at least`."""
        self.claims.append(verdict(name, value, relation, bound, unit))

    def finish(self, *packages: str) -> int:
        """Print and write; the exit status is 1 when a claim falls short."""
        command = f"python benchmarks/{Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}".strip()
        when = f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC"
        lines = [f"## {self.title}", "", f"`{command}`, {when}, on {machine(*packages)}.{self.load}", "", *self.lines]
        if self.claims:
            lines += ["", *(f"- {text}" for text, _ in self.claims)]
        print("\n".join(lines))
        if self.write:
            write_section(self.name, lines)
        return 0 if all(holds for _, holds in self.claims) else 1


def note(text: str) -> None:
    """Say on standard error what is going on."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def options(description: str | None, files: int) -> argparse.ArgumentParser:
    """The options of every script."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=files, help=f"number of sources (default {files:,})")
    parser.add_argument("--recordings", type=Path, default=RECORDINGS, help="folder with FSDD's recordings")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave docs/results.md alone")
    return parser


@contextlib.contextmanager
def workspace() -> Iterator[Path]:
    """A folder on the repository's disk, removed afterwards."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="work-", dir=CACHE) as folder:
        yield Path(folder)


def copy_recordings(recordings: Path, folder: Path, files: int) -> Path:
    """Fill a folder with so many files: the recordings in order, then again in another subfolder.

    No two have the same content, or `preprocess` would decode one of them: a sample in the middle is another.
    """
    originals = [path.read_bytes() for path in sorted(recordings.glob("*.wav"))[:files]]
    names = [path.name for path in sorted(recordings.glob("*.wav"))[:files]]
    if not originals:
        raise BenchmarkError(f"{recordings}: holds no .wav file; give --recordings")
    for number in range(files):
        again, which = divmod(number, len(originals))
        below = folder / f"{again:03d}"
        below.mkdir(parents=True, exist_ok=True)
        content = bytearray(originals[which])
        content[len(content) // 4 * 2] ^= again & 255
        content[len(content) // 4 * 2 + 2] ^= again >> 8
        (below / names[which]).write_bytes(content)
    return folder


def preprocess(inputs: Path, output: Path, *flags: str) -> Measured:
    """`audio-vae preprocess` as a user runs it."""
    return measure([*audio_vae(), "preprocess", str(inputs), "--output", str(output), *flags])


def audio_vae() -> list[str]:
    """The console command of this environment."""
    script = Path(sys.executable).with_name("audio-vae")
    return [str(script)] if script.exists() else [sys.executable, "-m", "vae_model.cli"]


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
