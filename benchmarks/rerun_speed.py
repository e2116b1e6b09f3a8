"""What a rerun costs: with nothing new, with 30 new files, and planning 1,000 new among 1,000,000 known sources."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from common import Measured, Report, copy_recordings, measure, note, options, preprocess, table, workspace

from pipelines.audio.sources import LISTING, Listing
from pipelines.config import PRESETS
from pipelines.dataset.folder import MANIFEST, Dataset, Run, Shard, Sources, Split, open_dataset
from pipelines.dataset.names import ENTRY, MANIFEST_FILE, RUNS
from pipelines.plan.changes import compare
from pipelines.plan.estimating import Estimator
from pipelines.plan.policy import MaxFailures, Policy
from pipelines.plan.tasks import tasks
from pipelines.runs import plan_files

NEW_FILES = 30
PER_SHARD = 1_000
ROOT_URI = "gs://bucket/recordings"


def names(count: int) -> pa.Array:
    """Relative paths of a big corpus, in order."""
    numbers = np.arange(count)
    folders, files = (pc.cast(pa.array(part), pa.string()) for part in (numbers // 1000, numbers))
    padded = (pc.utf8_lpad(part, width, "0") for part, width in ((folders, 5), (files, 8)))
    speakers, recordings = padded
    return pc.binary_join_element_wise("speaker-", speakers, "/recording-", recordings, ".flac", "")


def write_known(folder: Path, known: int) -> None:
    """A dataset of so many sources: its manifest and `dataset.json`, without the shards, which planning never opens."""
    config = PRESETS["course"]
    num_shards = -(-known // PER_SHARD)
    shards = pa.array([f"train-{number:05d}.tfrecord" for number in range(num_shards)])
    run = Run("000001-20260101T000000Z", (ROOT_URI,), Sources(known, known, 0, 0, 0), known)
    constant = {"status": "written", "split": "train", "num_segments": 1, "seconds": 0.74, "min_db": -60.0}
    columns = {name: pa.repeat(value, known) for name, value in (constant | {"max_db": 20.0}).items()}
    columns |= {"source": names(known), "size": pa.array(np.arange(known) % 100_000 + 10_000)}
    columns |= {"stamp": pc.cast(pa.array(np.arange(known) + 10**18), pa.string())}
    columns |= {"shard": shards.take(pa.array(np.arange(known) // PER_SHARD))}
    columns |= {name: pa.nulls(known, pa.string()) for name in ("error_stage", "error")}
    rows = pa.table({field.name: columns[field.name].cast(field.type) for field in MANIFEST}, schema=MANIFEST)
    run_folder = folder / RUNS / run.name
    run_folder.mkdir(parents=True)
    pq.write_table(rows, run_folder / MANIFEST_FILE, compression="zstd", row_group_size=1 << 17)
    named = tuple(Shard(f"{RUNS}/{run.name}/{name}", PER_SHARD, 66_000_000, 1) for name in shards.to_pylist())
    split = Split(known, 0.74 * known, named)
    dataset = Dataset(str(folder), config, -60.0, 20.0, {"train": split}, run.sources, (run,))
    (folder / ENTRY).write_bytes(dataset.to_json())


def plan(folder: Path, known: int, new: int) -> None:
    """What a run does between listing its inputs and starting Beam; prints its parts' seconds as JSON."""
    total = known + new
    listing_table = pa.table(
        {
            "source": names(total),
            "root": pa.repeat(ROOT_URI, total),
            "size": pa.array(np.arange(total) % 100_000 + 10_000),
            "stamp": pc.cast(pa.array(np.arange(total) + 10**18), pa.string()),
            "error": pa.nulls(total, pa.string()),
            "digest": pa.nulls(total, pa.string()),
        },
        schema=LISTING,
    )
    listing = Listing(listing_table, {}, (ROOT_URI,))
    config = PRESETS["course"]
    start = time.perf_counter()
    base = open_dataset(str(folder))
    changes = compare(listing, base, Policy(), config)
    compared = time.perf_counter()
    cut = tasks(changes, config, Estimator(changes.build, config), 64.0)
    run = plan_files.plan_run(str(folder), base, config, listing, changes, cut, MaxFailures())
    ended = time.perf_counter()
    assert (changes.new, changes.unchanged, run.num_sources) == (new, known, new)
    print(json.dumps({"compare": compared - start, "plan": ended - compared, "shards": run.num_tasks}))


def add_new(inputs: Path) -> None:
    """Add files with new names and new content."""
    known = sorted((inputs / "000").glob("*.wav"))[:NEW_FILES]
    (inputs / "new").mkdir()
    for path in known:
        (inputs / "new" / path.name).write_bytes(path.read_bytes()[:-2] + b"\x55\x05")


def main() -> int:
    parser = options(__doc__, 30_000)
    parser.add_argument("--known", type=int, default=1_000_000, help="known sources of the synthetic dataset")
    parser.add_argument("--new", type=int, default=1_000, help="new sources among them")
    parser.add_argument("--plan", type=Path, help="only plan over this synthetic dataset, for the benchmark itself")
    chosen = parser.parse_args()
    if chosen.plan:
        plan(chosen.plan, chosen.known, chosen.new)
        return 0
    report = Report("rerun-speed", "Preprocessing: reruns", chosen.write)
    with workspace() as work:
        note(f"{chosen.files:,} files")
        inputs, dataset = copy_recordings(chosen.recordings, work / "input", chosen.files), work / "dataset"
        for path in inputs.rglob("*.wav"):
            path.read_bytes()
        found: dict[str, Measured] = {"full": preprocess(inputs, dataset, "--preset", "course")}
        before = {path: path.stat().st_mtime_ns for path in dataset.rglob("*")}
        found["nothing"] = preprocess(inputs, dataset)
        assert before == {path: path.stat().st_mtime_ns for path in dataset.rglob("*")}, "a byte was written"
        add_new(inputs)
        found["new"] = preprocess(inputs, dataset)
        note(f"planning {chosen.new:,} new among {chosen.known:,}")
        write_known(work / "known", chosen.known)
        size_mb = sum(path.stat().st_size for path in (work / "known").rglob("*") if path.is_file()) / 1e6
        sizes = ["--known", str(chosen.known), "--new", str(chosen.new)]
        found["plan"] = measure([sys.executable, __file__, "--plan", str(work / "known"), *sizes])
    titles = {
        "full": f"full run, {chosen.files:,} files",
        "nothing": "again, nothing new",
        "new": f"again, {NEW_FILES} new files",
        "plan": f"planning {chosen.new:,} new among {chosen.known:,} known sources",
    }
    numbers = [[f"{m.seconds:.2f}", f"{m.cpu_seconds:.2f}", f"{m.rss_mb:,.0f}"] for m in found.values()]
    named = [[titles[name], *row] for name, row in zip(found, numbers, strict=True)]
    match = re.search(r"\{.*\}", found["plan"].output)
    parts = json.loads(match[0]) if match else {}
    report.say(
        "Whole processes, start-up included, `--preset course` on FSDD's files, no two equal. Planning has a synthetic",
        f"dataset ({size_mb:.0f} MB of manifest and `dataset.json`) and a synthetic listing: it reads the manifest and",
        f"compares ({parts.get('compare', 0):.1f} s), and writes the plan ({parts.get('plan', 0):.1f} s).",
        "",
        *table(["", "seconds", "CPU seconds", "resident MB"], named),
    )
    full, nothing = found["full"].seconds, found["nothing"].seconds
    report.claim("rerun with nothing new", nothing, "at most", 5, " s")
    report.claim("rerun with nothing new, part of the full run", nothing / full, "at most", 0.05)
    report.claim(f"rerun with {NEW_FILES} new files, part of the full run", found["new"].seconds / full, "at most", 0.1)
    report.claim("planning", found["plan"].seconds, "at most", 30, " s")
    report.claim("planning's memory", found["plan"].rss_mb, "at most", 1500, " MB")
    return report.finish("apache-beam", "pyarrow")


if __name__ == "__main__":
    sys.exit(main())
