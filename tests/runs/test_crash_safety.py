"""However a run ends, the dataset is the old one or the new one, whole; and the next run makes up for it."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.beam.build_without_beam import FEW_SHARDS
from pipelines.dataset.folder import open_dataset
from tests.helpers.console import audio_vae
from tests.helpers.dataset_state import SMALL, contents, orphans, problems, snapshot, write_small
from tests.helpers.moments import Moments
from tests.helpers.places import ROOT
from tests.helpers.slow import slow

LONG = bool(os.environ.get("AUDIO_VAE_LONG"))
KILLS = 50 if LONG else 8

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")

State = dict[str, bytes] | None


def state_of(dataset: Path) -> State:
    """What readers see of a dataset, None when there is none."""
    return contents(dataset) if (dataset / "dataset.json").exists() else None


def write_first(folder: Path) -> Path:
    for i in range(12):
        write_small(folder / f"tone_{i:02d}.wav", 300 + 50 * i)
    (folder / "bad.wav").write_text("no sound")
    return folder


def change(folder: Path) -> Path:
    """New, changed and removed sources: shards are built, copied and left alone."""
    for i in range(12, 14):
        write_small(folder / f"tone_{i:02d}.wav", 300 + 50 * i)
    write_small(folder / "tone_03.wav", 1000, seconds=0.4)
    (folder / "tone_05.wav").unlink()
    return folder


class Story(dict[str, Path]):
    """Inputs `first` of a run and `second` of a rerun, `in` as their name, and the datasets `old` and `new` they give.

    changes: how many either makes in the dataset's folder; about so many, whatever the order of its processes.
    """

    def __init__(self, paths: dict[str, Path], changes: dict[str, int]) -> None:
        super().__init__(paths)
        self.changes = changes


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Both runs, undisturbed."""
    top = tmp_path_factory.mktemp("story")
    first = write_first(top / "first" / "in")
    shutil.copytree(top / "first", top / "second", copy_function=shutil.copy2)
    second = change(top / "second" / "in")
    # Both lie under one name while they are read, because a dataset remembers its inputs.
    paths = {"first": first, "second": second, "in": top / "in", "old": top / "old", "new": top / "new"}
    point_to(paths, "first")
    changes = {}
    for which, name in (("first", "old"), ("second", "new")):
        if name == "new":
            shutil.copytree(paths["old"], paths["new"])
        point_to(paths, which)
        moments = Moments(paths[name], top / f"scratch_{name}")
        assert moments.run(*command(paths, paths[name])).returncode == 0
        changes[which] = moments.count
    assert min(changes.values()) > 30
    last = [len([s for s in open_dataset(str(paths[n])).shards if s.run.startswith(r)]) for n, r in RUNS]
    assert last[0] > FEW_SHARDS >= last[1]  # so that the first run goes through Beam and the rerun without it
    assert problems(paths["old"]) == problems(paths["new"]) == []
    return Story(paths, changes)


OPTIONS = [*SMALL, "--shard-mb", "0.012"]
RUNS = (("old", "000001"), ("new", "000002"))
BEAM = ("--direct_num_workers", "2")


def point_to(paths: dict[str, Path], name: str) -> None:
    paths["in"].unlink(missing_ok=True)
    paths["in"].symlink_to(paths[name], target_is_directory=True)


def command(paths: dict[str, Path], dataset: Path) -> list[object]:
    return ["preprocess", paths["in"], "--output", dataset, "--workers", 2, *OPTIONS]


@pytest.mark.slow
@pytest.mark.parametrize(("which", "flags"), [("first", BEAM), ("second", ()), *([("second", BEAM)] if LONG else [])])
def test_kill_9_at_any_moment(which: str, flags: tuple[str, ...], story: Story, tmp_path: Path) -> None:
    """In the suite each killed run finds what the last one left; in the long version each is followed by a rerun."""
    point_to(story, which)
    before, after = (None, story["old"]) if which == "first" else (story["old"], story["new"])
    old, new = before and contents(before), contents(after)
    dataset = tmp_path / "dataset"
    moments = Moments(dataset, tmp_path / "scratch")

    def start_over() -> None:
        shutil.rmtree(dataset, ignore_errors=True)
        if before is not None:
            shutil.copytree(before, dataset)

    def finish() -> None:
        assert moments.run(*command(story, dataset), *flags).returncode == 0
        assert state_of(dataset) == new
        left = {str(path.relative_to(before)) for path in before.rglob("*")} if before else set()
        assert {name for name in orphans(dataset) if name not in left} == set()
        assert moments.left_files == []

    kills = KILLS // 2
    seen = []
    start_over()
    for i in range(kills):
        at = 1 + round(i * (story.changes[which] - 1) / (kills - 1))
        done = moments.run(*command(story, dataset), *flags, at=at)
        assert done.returncode in (-signal.SIGKILL, 0)
        seen.append(done.returncode)
        assert state_of(dataset) in (old, new)
        assert old is None or (dataset / "dataset.json").exists()
        if LONG:
            finish()
            start_over()
    assert seen.count(-signal.SIGKILL) >= kills - 1
    finish()


@pytest.mark.parametrize(
    ("number", "whom", "share", "flags"),
    [
        (signal.SIGTERM, "leader", 0.02, ()),
        slow(signal.SIGINT, "group", 0.4, ()),
        slow(signal.SIGINT, "group", 0.5, BEAM),
        slow(signal.SIGTERM, "leader", 0.93, BEAM),
        *([(signal.SIGINT, "group", share / 20, flags) for share in range(20) for flags in ((), BEAM)] if LONG else []),
    ],
)
def test_terminated_and_interrupted(
    number: int, whom: str, share: float, flags: tuple[str, ...], story: Story, tmp_path: Path
) -> None:
    point_to(story, "second")
    dataset = tmp_path / "dataset"
    shutil.copytree(story["old"], dataset)
    moments = Moments(dataset, tmp_path / "scratch")
    state, old, new = snapshot(dataset), contents(dataset), contents(story["new"])
    at = max(1, round(share * story.changes["second"]))
    done = moments.run(*command(story, dataset), *flags, at=at, number=number, whom=whom)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "audio-vae preprocess: interrupted"
    assert "Traceback" not in done.stderr
    assert state_of(dataset) in (old, new)
    if state_of(dataset) == old:
        assert {name: value[1] for name, value in snapshot(dataset).items()} == {n: v[1] for n, v in state.items()}
    assert moments.left_files == []


def test_a_builder_that_the_system_kills_once_costs_nothing(story: Story, tmp_path: Path) -> None:
    point_to(story, "first")
    moments = Moments(tmp_path / "dataset", tmp_path / "scratch")
    done = moments.run(*command(story, tmp_path / "dataset"), at=3, whom="builder")
    assert done.returncode == 0, done.stderr
    assert state_of(tmp_path / "dataset") == contents(story["old"])
    assert orphans(tmp_path / "dataset") == set()


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Callable[[int], None]]:
    """A file system of its own with `size` bytes; yields a function that gives it another size."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield (
            lambda size: (
                subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True, capture_output=True)
                and None
            )
        )
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def can_mount(folder: Path) -> bool:
    probe = folder / "probe"
    probe.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(probe)], capture_output=True)
    if done.returncode == 0:
        subprocess.run(["umount", str(probe)], check=True)
    return done.returncode == 0


def assert_refused_for_space(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("audio-vae preprocess: ")]
    assert len(lines) == 1, done.stderr
    assert "cannot be " in lines[0] or " needs " in lines[0]  # refused at the plan
    assert words in lines[0]
    assert "Traceback" not in done.stderr


def test_the_disk_fills_up(story: Story, tmp_path: Path) -> None:
    if not can_mount(tmp_path):
        pytest.skip("needs the right to mount a small file system")
    point_to(story, "second")
    free_kb = (0, 4, 8, 16, 24, 32, 40, 48, 56, 64) if LONG else (0, 28)
    with small_disk(tmp_path / "disk", 4 << 20) as resize:
        dataset = tmp_path / "disk" / "dataset"
        shutil.copytree(story["old"], dataset)
        old = contents(dataset)
        used = os.statvfs(dataset)
        used_bytes = (used.f_blocks - used.f_bfree) * used.f_bsize
        for free in free_kb:
            resize(used_bytes + (free << 10))
            done = audio_vae(*command(story, dataset))
            if done.returncode == 0:
                assert free > 32
                break
            assert_refused_for_space(done, "the disk at ")
            assert contents(dataset) == old
            assert problems(dataset) == []
            assert orphans(dataset) == orphans(story["old"])
        resize(4 << 20)
        assert audio_vae(*command(story, dataset)).returncode == 0
        assert contents(dataset) == contents(story["new"])


@pytest.mark.slow
def test_a_file_grows_too_large(story: Story, tmp_path: Path) -> None:
    """A limit on the size of files stands for a quota where no file system can be mounted."""
    point_to(story, "first")
    dataset = tmp_path / "dataset"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4500, 4500))

    done = audio_vae(*command(story, dataset), preexec_fn=limit)
    assert_refused_for_space(done, "File too large")
    assert not dataset.exists()


@pytest.mark.slow
def test_two_runs_at_once(story: Story, tmp_path: Path) -> None:
    """The first goes on, the second says why it does not, and so does prune."""
    point_to(story, "second")
    dataset = tmp_path / "dataset"
    shutil.copytree(story["old"], dataset)
    words = [sys.executable, "-m", "vae_model.cli", *map(str, command(story, dataset))]
    first = subprocess.Popen(words, env=dict(os.environ, PYTHONPATH=str(ROOT)), stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not list(dataset.glob("runs/000002-*/plan")):
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        first.send_signal(signal.SIGSTOP)
        state = snapshot(dataset)
        for arguments in (command(story, dataset), ["prune", dataset]):
            second = audio_vae(*arguments)
            assert second.returncode == 1
            assert f"DATASET {dataset}: another run is writing to it" in second.stderr
        assert snapshot(dataset) == state
    finally:
        first.send_signal(signal.SIGCONT)
        _, said = first.communicate(timeout=120)
    assert first.returncode == 0, said
    assert contents(dataset) == contents(story["new"])
