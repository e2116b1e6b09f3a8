"""What is odd of a source is told, or makes it a failed row: never more than that one."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from pipelines.dataset.folder import open_dataset
from tests.helpers.console import ran
from tests.helpers.dataset_state import SMALL, contents, manifest_rows, problems, write_small
from tests.helpers.strange_sounds import by_pyav, cut, encoded, sine, tiny_flac_of_hours


def test_a_cut_file_is_written_and_told_or_fails_by_strict(tmp_path: Path) -> None:
    folder, dataset, strict = tmp_path / "in", tmp_path / "dataset", tmp_path / "strict"
    write_small(folder / "a.wav", 440)
    (folder / "cut.wav").write_bytes(cut(encoded(sine(1.0), "WAV")))
    run = ("preprocess", folder, "--split", "none", *SMALL, "--output")
    status, _, errors = ran(*run, dataset)
    warning = "is cut short: it promises 1 s, and 0.4998 s are there"
    assert f"warning: cut.wav: {warning}" in errors
    assert {row["source"]: row["warning"] for row in manifest_rows(dataset)} == {"a.wav": None, "cut.wav": warning}
    status, _, errors = ran(*run, strict, "--strict")
    assert status == 0
    assert f"failed: cut.wav: decode: {warning} (--strict)" in errors
    status, _, errors = ran(*run, tmp_path / "none", "--strict", "--max-failures", "0")
    assert status == 3
    assert open_dataset(str(dataset)).fingerprint == open_dataset(str(strict)).fingerprint


def test_limits_make_a_source_a_failed_row(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "in", tmp_path / "dataset"
    write_small(folder / "a.wav", 440)
    write_small(folder / "long.wav", 440, seconds=3.0)
    loud = 100 * sine(0.3)
    (folder / "loud.wav").write_bytes(encoded(loud, "WAV", "FLOAT"))
    run = ("preprocess", folder, "--split", "none", *SMALL, "--max-source-seconds", "2", "--output")
    assert ran(*run, dataset)[0] == 0
    reasons = {row["source"]: row["error"] for row in manifest_rows(dataset)}
    assert reasons == {
        "a.wav": None,
        "long.wav": "promises 3 s of sound, --max-source-seconds=2 allows less",
        "loud.wav": "its level of 32 dB over full scale is above --max-over-full-scale-db=20",
    }
    assert ran(*run, tmp_path / "let", "--max-over-full-scale-db", "inf")[0] == 0
    warnings = {row["source"]: row["warning"] for row in manifest_rows(tmp_path / "let")}
    assert warnings["loud.wav"] == "its level is 32 dB over full scale"
    for option, value in (("--max-source-seconds", "0"), ("--max-over-full-scale-db", "-1")):
        status, _, errors = ran(*run, dataset, option, value)
        assert (status, option[2:].replace("-", "_") in errors) == (2, True)


def test_a_manifest_from_before_the_warnings_is_read(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "in", tmp_path / "dataset"
    write_small(folder / "a.wav", 440)
    write_small(folder / "b.wav", 550)
    (folder / "bad.wav").write_bytes(b"RIFF")
    run = ("preprocess", folder, "--output", dataset, "--split", "none", *SMALL)
    assert ran(*run)[0] == 0
    for path in dataset.glob("runs/*/manifest.parquet"):
        pq.write_table(pq.read_table(str(path)).drop_columns(["warning"]), str(path))
    before = contents(dataset)
    assert "nothing new among 3 sources; 1 failed source so far" in ran(*run)[2]
    assert contents(dataset) == before
    (folder / "b.wav").unlink()
    write_small(folder / "c.wav", 660)
    assert ran(*run)[0] == 0
    assert {row["source"] for row in manifest_rows(dataset)} == {"a.wav", "bad.wav", "c.wav"}
    assert problems(dataset) == []


def test_odd_names_are_shown_escaped(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "in", tmp_path / "dataset"
    write_small(folder / "a.wav", 440)
    for name in ("two\nlines.wav", "\x1b[31mred.wav", "\u202egnp.wav", "bell\a.wav"):
        (folder / name).write_bytes(b"no sound")
    _, _, errors = ran("preprocess", folder, "--output", dataset, "--split", "none", *SMALL)
    for shown in (r"two\nlines.wav", r"\x1b[31mred.wav", r"\u202egnp.wav", r"bell\x07.wav"):
        assert f"failed: {shown}: open: Format not recognised: it is text" in errors
    assert not set(errors) & set("\x1b\u202e\a")
    (folder / "a.wav").unlink()
    status, _, errors = ran("preprocess", folder, "--output", tmp_path / "none", *SMALL)
    assert status == 1
    assert not set(errors) & set("\x1b\u202e\a")


def test_one_bad_source_is_one_failed_row(tmp_path: Path) -> None:
    """Also when the dataset is there already: nothing that a decoder raises ends the run."""
    folder, dataset = tmp_path / "in", tmp_path / "dataset"
    for number in range(6):
        write_small(folder / f"good_{number}.wav", 300 + 50 * number)
    m4a = by_pyav(sine(0.5, 48000), "mp4", "aac")
    bad = {
        "x.aac": b"",
        "page.m4a": b"<html><body>not found</body></html>",
        "pointer.webm": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "zeros.mka": bytes(1000),
        "list.wma": b"ffconcat version 1.0\nfile 'good_0.wav'\n",
        "half.m4a": cut(m4a),
        "noise.webm": b"\x1aE\xdf\xa3" + bytes(range(256)),
        "tiny.flac": tiny_flac_of_hours(),
    }
    for name, data in bad.items():
        (folder / name).write_bytes(data)
    run = ("preprocess", folder, "--output", dataset, "--split", "none", *SMALL)
    for number, extra in enumerate(("one.wav", "two.wav")):
        write_small(folder / extra, 700 + number)
        status, _, errors = ran(*run)
        assert status == 0, errors
        assert "Traceback" not in errors
        rows = {row["source"]: row for row in manifest_rows(dataset)}
        assert {name for name in bad if rows[name]["status"] == "failed"} == set(bad)
    assert open_dataset(str(dataset)).sources.written == 8
    assert problems(dataset) == []
