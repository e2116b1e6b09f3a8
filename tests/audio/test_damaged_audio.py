"""Whatever a file holds, it is written or it fails with a reason, and costs nothing but itself."""

from __future__ import annotations

import errno
import io
import os
import time
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import soundfile

from pipelines.audio.loading import Loader
from pipelines.errors import SourceError
from tests.helpers.console import audio_vae, audio_vae_json
from tests.helpers.damaged import SOUND_NAMES, write_damaged
from tests.helpers.dataset_state import SMALL, manifest_rows, orphans, problems, serialized_records, write_small
from tests.helpers.places import FSDD, ROOT

COUNT = 500 if os.environ.get("AUDIO_VAE_LONG") else 120

_STUBS = '''
import ctypes, os, time, soundfile

_SoundFile = soundfile.SoundFile


class SoundFile(_SoundFile):
    """Crashes, hangs or eats memory on files of certain names, some on opening and some while reading."""

    def __init__(self, file, *arguments, **options):
        self._odd = os.path.basename(str(file))
        if self._odd == "crash_open.wav":
            ctypes.string_at(0)
        if self._odd == "hang_open.wav":
            time.sleep(600)
        super().__init__(file, *arguments, **options)

    def read(self, *arguments, **options):
        if self._odd == "crash_read.wav":
            ctypes.string_at(0)
        if self._odd == "hang_read.wav":
            time.sleep(600)
        if self._odd == "killed.wav":
            os.kill(os.getpid(), 9)
        if self._odd == "error.wav":
            raise RuntimeError("soxr_process failed")
        if self._odd == "memory.wav":
            raise MemoryError
        return super().read(*arguments, **options)


soundfile.SoundFile = SoundFile
'''


def test_each_is_written_or_failed_with_a_reason(tmp_path: Path) -> None:
    recordings = sorted(FSDD.glob("*.wav"))[::97] if FSDD.is_dir() else []
    folder, dataset = tmp_path / "in", tmp_path / "dataset"
    total = write_damaged(folder, COUNT, seed=7, recordings=recordings)
    options = ["--decode-timeout-seconds", 30, "--keep-duplicates", *SMALL]  # some are damaged alike
    start = time.monotonic()
    values = audio_vae_json("preprocess", folder, "--output", dataset, *options)
    assert time.monotonic() - start < 240
    counts = values["sources"]
    assert counts["found"] == counts["written"] + counts["failed"] == total
    assert counts["written"] > total // 5
    assert counts["failed"] > total // 5
    rows = manifest_rows(dataset)
    assert len({row["source"] for row in rows}) == len(rows) == total
    records = serialized_records(dataset)
    for row in rows:
        mine = sum(source == row["source"] for source, _ in records)
        if row["status"] == "failed":
            assert row["error_stage"] in ("list", "open", "decode", "extract")
            assert len(row["error"]) > 3
            assert "\n" not in row["error"]
            assert mine == 0
        else:
            assert mine == row["num_segments"] > 0
            assert row["error"] is None
            assert -100.01 <= row["min_db"] <= row["max_db"] < 600
            assert row["num_segments"] >= row["seconds"] / 0.1 - 0.01
    assert problems(dataset) == []
    assert orphans(dataset) == set()
    failed = {row["source"]: (row["error_stage"], row["error"]) for row in rows if row["status"] == "failed"}
    assert failed["folder.wav"] == ("list", "is a folder")
    assert failed["pipe.wav"] == ("list", "is no regular file")
    assert failed["dangling.wav"] == ("list", "is a link to nothing")
    assert failed["caf\\xe9.wav"] == ("list", "its name is not UTF-8")
    written = {row["source"] for row in rows if row["status"] == "written"}
    for name in SOUND_NAMES:
        assert [source for source in written if source.endswith(name)], name
    for source, (_, reason) in failed.items():
        if "_empty" in source or "_text" in source:
            assert "not recognised" in reason or "unknown" in reason.lower() or "Error" in reason, (source, reason)
    longest = max(row["seconds"] or 0 for row in rows)
    assert longest < 3600, "a header that lies about its rate must not fill the disk"


@pytest.mark.slow
def test_a_decoder_that_crashes_or_hangs_costs_its_file_only(tmp_path: Path) -> None:
    """The decoder is made to crash, hang, or be killed for want of memory, in the process that really decodes."""
    folder, dataset = tmp_path / "in", tmp_path / "dataset"
    for i in range(6):
        write_small(folder / f"tone_{i}.wav", 300 + 100 * i)
    write_small(folder / "crash_open.wav", 1000, subtype="PCM_24")  # numpy decodes 16 bits
    (tmp_path / "stubs").mkdir()
    (tmp_path / "stubs" / "sitecustomize.py").write_text(_STUBS)
    environment = dict(os.environ, PYTHONPATH=f"{tmp_path / 'stubs'}{os.pathsep}{ROOT}")
    options = ["--decode-timeout-seconds", 1.5, "--split", "none", *SMALL]
    plan = audio_vae("preprocess", folder, "--output", dataset, "--dry-run", *options, environment=environment)
    assert plan.returncode == 0, plan.stderr
    for number, name in enumerate(("crash_read", "hang_open", "hang_read", "killed", "error", "memory")):
        write_small(folder / f"{name}.wav", 1100 + 100 * number, subtype="PCM_24")
    done = audio_vae("preprocess", folder, "--output", dataset, *options, environment=environment)
    assert done.returncode == 0, done.stderr
    rows = {row["source"]: row for row in manifest_rows(dataset)}
    assert {name for name, row in rows.items() if row["status"] == "written"} == {f"tone_{i}.wav" for i in range(6)}
    reasons = {name: (row["error_stage"], row["error"]) for name, row in rows.items() if row["status"] == "failed"}
    crashed, hung = "the decoder crashed (SIGSEGV)", "no progress for 1.5 s (--decode-timeout-seconds)"
    assert reasons == {
        "crash_open.wav": ("decode", crashed),
        "crash_read.wav": ("decode", crashed),
        "hang_open.wav": ("decode", hung),
        "hang_read.wav": ("decode", hung),
        "killed.wav": ("decode", "the decoder was killed twice (SIGKILL), as when memory is short"),
        "error.wav": ("decode", "RuntimeError: soxr_process failed"),
        "memory.wav": ("decode", "MemoryError"),
    }
    assert f"failed: crash_open.wav: decode: {crashed}" in done.stderr
    assert problems(dataset) == []
    assert orphans(dataset) == set()
    assert {source for source, _ in serialized_records(dataset)} == {f"tone_{i}.wav" for i in range(6)}


class FlakyFileSystem(fsspec.AbstractFileSystem):
    """A store of one file, whose connection breaks after so many bytes."""

    protocol = "flaky"
    content = b""
    breaks_at = 1 << 30

    def _open(self, path: str, *arguments: Any, **options: Any) -> Any:
        file = io.BytesIO(self.content)
        read = file.read

        def read_until_it_breaks(size: int = -1) -> bytes:
            if file.tell() + size > self.breaks_at:
                raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
            return read(size)

        file.read = read_until_it_breaks  # type: ignore[method-assign]
        return file


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_connection_that_breaks_is_not_the_end_of_the_sound(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.register_implementation("flaky", FlakyFileSystem, clobber=True)
    file = io.BytesIO()
    samples = np.random.default_rng(0).normal(0, 0.1, 400_000)
    soundfile.write(file, samples, 8000, format=suffix.upper())
    monkeypatch.setattr(FlakyFileSystem, "content", file.getvalue())
    monkeypatch.setattr("pipelines.store.remote._FIRST_WAIT_SECONDS", 0.01)
    loader = Loader(8000)
    assert len(loader.load(f"flaky://sound.{suffix}")) == len(samples)
    for share in (0.0, 0.5):
        monkeypatch.setattr(FlakyFileSystem, "breaks_at", share * len(file.getvalue()))
        with pytest.raises(SourceError, match="Connection reset by peer"):
            loader.load(f"flaky://sound.{suffix}")
