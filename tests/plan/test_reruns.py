"""The same command again: only what is new costs anything, and what is there stays as it is, byte for byte."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.dataset.folder import open_dataset
from pipelines.dataset.records import parse
from tests.helpers.console import audio_vae, audio_vae_json, run_in_process
from tests.helpers.dataset_state import (
    SMALL,
    contents,
    manifest_rows,
    orphans,
    problems,
    serialized_records,
    snapshot,
    split_of_each,
    write_small,
)
from tests.helpers.places import ROOT


def preprocess(*arguments: object) -> dict[str, Any]:
    return audio_vae_json("preprocess", *arguments)


def global_range(dataset: Path) -> tuple[float, float]:
    opened = open_dataset(str(dataset))
    return opened.min_db, opened.max_db


def replace_unnoticed(path: Path, data: bytes) -> None:
    """Other content of the same size with the same modification time."""
    status = path.stat()
    assert len(data) <= status.st_size
    path.write_bytes(data.ljust(status.st_size, b"\0"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def without_beam(folder: Path) -> dict[str, str]:
    """An environment in which importing Beam or TensorFlow fails."""
    for name in ("apache_beam", "tensorflow"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "__init__.py").write_text("raise ImportError('not wanted here')")
    return dict(os.environ, PYTHONPATH=f"{folder}{os.pathsep}{ROOT}")


def test_a_dataset_grows_and_ends_where_a_fresh_run_would(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "in", tmp_path / "dataset"
    for i in range(8):
        write_small(folder / f"speaker{i % 2}" / f"tone_{i}.wav", 300 + 100 * i)
    write_small(folder / "speaker0" / "held_9.wav", 2000)
    bad = folder / "bad.wav"
    bad.write_bytes(b"text" * 2000)
    settings = [*SMALL, "--split", "validation=0.3", "--split-pattern", "test=/held_", "--split-pattern", "test=gone"]
    settings += ["--label-pattern", r"speaker(?P<speaker>\d)/(?P<kind>[a-z]+)_"]
    first = preprocess(folder, "--output", dataset, "--max-failures", "10%", *settings)
    assert first["sources"] == {"found": 10, "written": 9, "failed": 1, "removed": 0, "ignored": 0}
    splits = split_of_each(dataset)
    assert splits["speaker0/held_9.wav"] == "test"
    assert set(splits.values()) == {"train", "validation", "test"}
    before = serialized_records(dataset)
    spec = open_dataset(str(dataset)).record
    labels = {source: parse(data, spec).labels for (source, _), data in before.items()}
    assert labels["speaker1/tone_3.wav"] == {"speaker": "1", "kind": "tone"}
    assert labels["speaker0/held_9.wav"] == {"speaker": "0", "kind": "held"}

    # Nothing new: no byte changes, and neither Beam nor TensorFlow is even imported.
    state = snapshot(dataset)
    again = audio_vae(
        "preprocess", folder, "--output", dataset, "--json", environment=without_beam(tmp_path / "without")
    )
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == {
        "status": "unchanged",
        "dataset": str(dataset),
        "sources": first["sources"],
    }
    assert snapshot(dataset) == state

    # Two more, one changed to be the loudest of all, one gone, a folder that is named like a sound.
    write_small(folder / "speaker2" / "tone_10.wav", 440)
    write_small(folder / "another.wav", 660, seconds=0.05)
    write_small(folder / "speaker1" / "tone_1.wav", 500, seconds=0.35, level=0.99)
    (folder / "speaker0" / "tone_2.wav").unlink()
    (folder / "folder.wav").mkdir()
    (folder / "notes.txt").write_text("no sound")
    plan = preprocess(folder, "--output", dataset, "--dry-run")
    expected = {"files": 12, "unchanged": 8, "new": 3, "changed": 1, "removed": 1, "failed_before": 1, "ignored": 1}
    assert {name: plan[name] for name in expected} == expected
    assert plan["records"] == 3 + 1 + 4
    assert plan["hours"] == pytest.approx((0.25 + 0.05 + 0.35) / 3600, abs=1e-4)
    assert snapshot(dataset) == state
    unchanged = sorted(set(splits) - {"speaker1/tone_1.wav", "speaker0/tone_2.wav"})
    kept_bytes = {name: (folder / name).read_bytes() for name in unchanged}
    for name in unchanged:  # whoever decodes them again fails
        replace_unnoticed(folder / name, b"")
    second = preprocess(folder, "--output", dataset)
    for name, data in kept_bytes.items():
        replace_unnoticed(folder / name, data)
    assert second["this_run"] == {"found": 4, "written": 3, "failed": 1, "removed": 1, "ignored": 1}
    assert second["sources"] == {"found": 12, "written": 10, "failed": 2, "removed": 1, "ignored": 1}
    old_run = first["run"]
    after = snapshot(dataset)
    untouched = {name: value for name, value in state.items() if name.startswith(f"runs/{old_run}/")}
    assert {name: after[name] for name in untouched} == untouched
    records = serialized_records(dataset)
    assert {name for name, _ in records} == {*unchanged, "speaker1/tone_1.wav", "speaker2/tone_10.wav", "another.wav"}
    survivors = {key: data for key, data in before.items() if key[0] in unchanged}
    assert {key: records[key] for key in survivors} == survivors
    assert records["speaker1/tone_1.wav", 0] != before["speaker1/tone_1.wav", 0]
    assert problems(dataset) == []
    replaced = {shard.path for shard in open_dataset(str(dataset)).shards if shard.run == old_run}
    assert orphans(dataset) == {name for name in untouched if name.endswith(".tfrecord")} - replaced

    fresh = tmp_path / "fresh"
    preprocess(folder, "--output", fresh, *settings)
    assert serialized_records(fresh) == records
    assert split_of_each(fresh) == split_of_each(dataset)
    assert global_range(fresh) == global_range(dataset)
    grown, anew = open_dataset(str(dataset)), open_dataset(str(fresh))
    assert grown.sources == anew.sources.__class__(12, 10, 2, 1, 1)
    assert {n: s.num_examples for n, s in grown.splits.items()} == {n: s.num_examples for n, s in anew.splits.items()}
    seconds = {name: pytest.approx(split.seconds) for name, split in anew.splits.items()}
    assert {name: split.seconds for name, split in grown.splits.items()} == seconds
    moved = [name for name in splits if name in split_of_each(dataset) and splits[name] != split_of_each(dataset)[name]]
    assert moved == []

    # The file that failed looks as before but is sound now: it is left alone until it is asked for.
    good = write_small(tmp_path / "good.wav", 700).read_bytes()
    replace_unnoticed(bad, good)
    state = snapshot(dataset)
    assert preprocess(folder, "--output", dataset)["status"] == "unchanged"
    assert snapshot(dataset) == state
    third = preprocess(folder, "--output", dataset, "--retry-failed")
    assert third["sources"] == {"found": 12, "written": 11, "failed": 1, "removed": 1, "ignored": 1}
    assert ("bad.wav", 0) in serialized_records(dataset)
    assert problems(dataset) == []


def test_content_other_inputs_and_removal(tmp_path: Path) -> None:
    one, two, dataset = tmp_path / "one", tmp_path / "two", tmp_path / "dataset"
    paths = [write_small(one / f"tone_{i}.wav", 300 + 90 * i) for i in range(4)]
    alone = write_small(one / "alone.wav", 1500, level=0.9)
    (one / "bad.wav").write_text("text")
    preprocess(one, "--output", dataset, "--checksum", *SMALL, "--split", "none", "--split-pattern", "test=alone")
    before, state = serialized_records(dataset), snapshot(dataset)

    for path in paths:  # newer, with the same content
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**10))
    assert preprocess(one, "--output", dataset, "--checksum")["status"] == "unchanged"
    stamps = {row["source"]: row["stamp"].split()[0] for row in manifest_rows(dataset)}
    for path in paths:
        os.utime(path, ns=(0, int(stamps[path.name])))
    louder = write_small(tmp_path / "other.wav", 300, level=0.6).read_bytes()
    assert len(louder) == paths[0].stat().st_size
    replace_unnoticed(paths[0], louder)
    assert preprocess(one, "--output", dataset)["status"] == "unchanged"
    assert snapshot(dataset) == state
    changed = preprocess(one, "--output", dataset, "--checksum")
    assert changed["this_run"]["found"] == changed["this_run"]["written"] == 1
    records = serialized_records(dataset)
    assert {key for key in records if records[key] != before[key]} == {("tone_0.wav", i) for i in range(3)}

    # Another input adds to the dataset. What the first input lost meanwhile is none of its business.
    alone.unlink()
    assert preprocess(one, "--output", dataset, "--keep-removed")["status"] == "unchanged"
    write_small(two / "more.wav", 1000)
    (two / "broken.wav").write_text("text")
    added = preprocess(two, "--output", dataset)
    assert added["sources"] == {"found": 8, "written": 6, "failed": 2, "removed": 0, "ignored": 0}
    state = snapshot(dataset)
    for folder in (two, one):
        options = ["--keep-removed"] if folder is one else []
        assert preprocess(folder, "--output", dataset, *options)["status"] == "unchanged"
    assert snapshot(dataset) == state

    # Without --keep-removed it leaves; its shard held nothing else, so there is nothing to build.
    low_high = global_range(dataset)
    removed = preprocess(one, "--output", dataset)
    assert removed["this_run"] == {"found": 0, "written": 0, "failed": 0, "removed": 1, "ignored": 0}
    assert removed["sources"] == {"found": 7, "written": 5, "failed": 2, "removed": 1, "ignored": 0}
    assert "alone.wav" not in {source for source, _ in serialized_records(dataset)}
    assert "test" not in open_dataset(str(dataset)).splits
    rows = open_dataset(str(dataset)).manifest(["min_db", "max_db"]).to_pydict()
    expected = min(v for v in rows["min_db"] if v is not None), max(v for v in rows["max_db"] if v is not None)
    assert global_range(dataset) == expected != low_high

    # Only prune removes what no longer belongs, and nothing else.
    unused = orphans(dataset)
    assert len(unused) >= 2
    whole = contents(dataset)
    shown = audio_vae_json("prune", dataset, "--dry-run")
    assert orphans(dataset) == unused
    assert audio_vae_json("prune", dataset)["removed"] == shown["unused"]
    assert orphans(dataset) == set()
    assert contents(dataset) == whole
    verified = audio_vae_json("verify", dataset)
    assert verified["ok"]
    assert verified["num_examples"] == len(serialized_records(dataset)) == 15


def test_verify_finds_every_kind_of_damage(tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    kinds = ["flipped", "missing", "truncated", "phantom", "sound"]
    patterns = [word for kind in kinds for word in ("--split-pattern", f"{kind}={kind}")]
    for number, kind in enumerate(kinds):
        for i in range(2):
            write_small(tmp_path / "in" / f"{kind}_{i}.wav", 400 + 100 * i + 10 * number)
    preprocess(tmp_path / "in", "--output", dataset, *SMALL, "--split", "none", *patterns)
    assert problems(dataset) == []
    (run,) = (dataset / "runs").iterdir()
    shard = {kind: run / f"{kind}-00000.tfrecord" for kind in kinds}
    data = bytearray(shard["flipped"].read_bytes())
    data[len(data) // 2 + 100] ^= 1
    shard["flipped"].write_bytes(data)
    shard["missing"].unlink()
    os.truncate(shard["truncated"], shard["truncated"].stat().st_size - 1)
    manifest = pq.read_table(run / "manifest.parquet")
    row = {"source": "phantom_9.wav", "status": "written", "split": "phantom", "shard": "phantom-00000.tfrecord"}
    row |= {"num_segments": 3, "seconds": 0.25, "min_db": -50.0, "max_db": -1.0, "size": 1, "stamp": "1"}
    row = pa.Table.from_pylist([row], schema=manifest.schema)
    pq.write_table(pa.concat_tables([manifest, row]), run / "manifest.parquet")
    done = run_in_process("verify", dataset, "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert not found["ok"]
    for kind, words in {
        "flipped": "checksum of a record does not fit at byte",
        "missing": "is missing",
        "truncated": "bytes, dataset.json says",
        "phantom": "phantom_9.wav: has 0 records, the manifest says 3",
    }.items():
        (problem,) = [p for p in found["problems"] if p.startswith(f"runs/{run.name}/{kind}-00000.tfrecord: ")]
        assert words in problem
    assert not [p for p in found["problems"] if "sound-00000" in p]
    assert [p for p in found["problems"] if "the manifests have 11 written" in p]

    # A shard whose own checksums were made to fit is still not the one that was committed.
    entry = json.loads((dataset / "dataset.json").read_text())
    entry["splits"]["sound"]["shards"][0]["crc32c"] = google_crc32c.value(b"another shard")
    (dataset / "dataset.json").write_text(json.dumps(entry))
    assert [p for p in problems(dataset) if "sound-00000.tfrecord: has CRC32C" in p]


def test_what_is_refused_changes_nothing(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "in", tmp_path / "dataset"
    for i in range(3):
        write_small(folder / f"tone_{i}.wav", 300 + 90 * i)
    (folder / "bad.wav").write_text("text")
    (folder / "worse.wav").mkdir()

    # Two of five failed. A new dataset: not even its folder stays.
    many = run_in_process("preprocess", folder, "--output", dataset, "--max-failures", "39%", *SMALL)
    assert many.returncode == 3
    assert "2 of 5 sources failed, --max-failures=39% allows fewer" in many.stderr
    assert not dataset.exists()
    assert preprocess(folder, "--output", dataset, "--max-failures", "2", *SMALL)["sources"]["failed"] == 2
    state = snapshot(dataset)

    (folder / "awful.wav").write_text("text")
    (folder / "tone_0.wav").unlink()
    many = run_in_process("preprocess", folder, "--output", dataset, "--max-failures", "0")
    assert many.returncode == 3
    assert "1 of 1 sources failed, --max-failures=0 allows fewer" in many.stderr
    assert "awful.wav: open failed" in many.stderr
    assert "Traceback" not in many.stderr
    assert snapshot(dataset) == state

    other = run_in_process("preprocess", folder, "--output", dataset, "--frame-size", 128, "--dtype", "uint8")
    assert other.returncode == 2
    assert "frame_size: 64 != 128" in other.stderr
    assert "dtype: 'float16' != 'uint8'" in other.stderr
    shutil.rmtree(folder)
    gone = run_in_process("preprocess", folder, "--output", dataset)
    assert gone.returncode == 2
    assert f"INPUT {folder}: must exist" in gone.stderr
    folder.mkdir()
    empty = run_in_process("preprocess", folder, "--output", dataset)
    assert empty.returncode == 2
    assert "must hold at least one audio file" in empty.stderr
    assert snapshot(dataset) == state


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    write_small(tmp_path / "in" / "tone.wav", 300)
    theirs = tmp_path / "theirs" / "runs" / "1"
    theirs.mkdir(parents=True)
    (theirs / "events.log").write_text("years of work")
    done = run_in_process("preprocess", tmp_path / "in", "--output", tmp_path / "theirs", *SMALL)
    assert done.returncode == 2
    assert "must be a dataset or an empty folder" in done.stderr
    assert (theirs / "events.log").read_text() == "years of work"
