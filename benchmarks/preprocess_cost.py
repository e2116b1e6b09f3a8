"""What `audio-vae preprocess` uses for a file, a shard and an hour of audio, and from that for a million hours.

CPU time and bytes come from whole commands on this machine's disk; requests from a command whose audio and dataset lie
on an emulator of Cloud Storage on loopback, which counts them. A quantity for a source or a shard is the difference
between two runs, so that what a run costs anyhow is not in it.
"""

from __future__ import annotations

import pickle
import sys
import urllib.parse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from common import (
    ROOT,
    Measured,
    Report,
    copy_recordings,
    folder_bytes,
    measure,
    note,
    options,
    preprocess,
    table,
    workspace,
)

from pipelines.building.shards import ShardSummary
from pipelines.dataset.folder import open_dataset

HOURS = 1_000_000
BUCKET = "measured"
BEAM = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"  # also for a run of a few shards
LIST, STAT, READ, WRITE, DELETE = "list", "look up", "read", "write", "delete"


@dataclass(frozen=True)
class Used:
    """What a run over files of a kind used beyond what any run does."""

    cpu_seconds_a_source: float
    cpu_seconds_an_hour: float
    bytes_a_record: float
    manifest_bytes_a_source: float


def used(run: Measured, before: Measured, dataset: Path, sources: int) -> Used:
    """The difference between a run and one of ten short files."""
    found = open_dataset(str(dataset))
    hours = sum(split.seconds for split in found.splits.values()) / 3600
    cpu = run.cpu_seconds - before.cpu_seconds
    records = sum(shard.num_bytes for split in found.splits.values() for shard in split.shards)
    manifest = sum(path.stat().st_size for path in dataset.rglob("manifest.parquet"))
    return Used(cpu / sources, cpu / hours, records / found.num_examples, manifest / sources)


def write_long(folder: Path, files: int, seconds: float) -> Path:
    """Noise that swells and fades, 44.1 kHz, stereo, 16 bits."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    swell = np.sin(np.linspace(0, 40, int(seconds * 44100), dtype=np.float32))[:, None]
    for i in range(files):
        samples = rng.standard_normal((len(swell), 2), np.float32) * 0.1 * swell
        soundfile.write(folder / f"long_{i:03d}.wav", samples, 44100, subtype="PCM_16")
    return folder


def requests(inputs: Path, *flags: str) -> Counter[str]:
    """The requests that a run over these files makes, when they and the dataset lie in a bucket."""
    sys.path.insert(0, str(ROOT / "tests"))
    from gcp_storage_emulator.server import RequestHandler
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    from tests.helpers.google_cloud import storage_service

    counts: Counter[str] = Counter()

    class Counting(RequestHandler):
        def parse_request(self) -> bool:
            parsed: bool = super().parse_request()
            if parsed:
                counts[_kind(self.command, self.path)] += 1
            return parsed

    with storage_service(BUCKET, Counting) as url:
        client = storage.Client("measured", AnonymousCredentials(), client_options={"api_endpoint": url})
        bucket = client.bucket(BUCKET)
        for path in sorted(inputs.rglob("*.wav")):
            bucket.blob(f"in/{path.relative_to(inputs)}").upload_from_filename(path)
        counts.clear()
        environment = {
            "STORAGE_EMULATOR_HOST": url,
            "NO_GCE_CHECK": "true",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        }
        environment |= {"FSSPEC_GS_TOKEN": "anon", "FSSPEC_GCS_TOKEN": "anon"}
        command = [sys.executable, "-m", "vae_model.cli", "preprocess", f"gs://{BUCKET}/in"]
        measure([*command, "--output", f"gs://{BUCKET}/set", *flags], env=environment)
    return counts


def _kind(method: str, path: str) -> str:
    """What a request asks for, and whether of the audio or of the dataset."""
    url = urllib.parse.urlsplit(path)
    query = urllib.parse.parse_qs(url.query)
    name = urllib.parse.unquote(url.path).split("/o/", 1)[-1]
    where = " audio" if (query.get("prefix") or [name])[0].startswith("in") else " the dataset"
    if method == "GET":
        if url.path.endswith("/o"):
            return LIST + where
        return (READ if "media" in query.get("alt", []) or "/download/" in url.path else STAT) + where
    if method == "DELETE" or url.path.startswith("/batch"):
        return DELETE + " the dataset"
    return WRITE + " the dataset"


def slope(few: Counter[str], many: Counter[str], difference: int) -> dict[str, float]:
    """Requests for each of so many things that one run had more than the other."""
    kinds = sorted(few.keys() | many.keys())
    found = {kind: (many[kind] - few[kind]) / difference for kind in kinds}
    return {kind: value for kind, value in found.items() if value > 0.005}


def shuffled_bytes() -> int:
    """Pickled bytes of all that crosses a stage boundary for a shard: its place in the plan, its summary, its range."""
    summary = ShardSummary(
        "train-123456.tfrecord", "train", 1942, 64_000_000, 4_000_000_000, 1437.123456, 6, 0, -60.5, 39.5
    )
    return sum(len(pickle.dumps(value)) for value in ((1 << 40, 1 << 16), summary, (summary.min_db, summary.max_db)))


def million(short: Used, long: Used, seconds: float, shard_mb: float, a_source: float, a_shard: float) -> list[str]:
    """A row for a million hours in files of so many seconds."""
    records = HOURS * 3600 / 0.74
    sources = HOURS * 3600 / seconds
    size = records * long.bytes_a_record
    shards = size / (shard_mb * 1e6)
    cpu_hours = (HOURS * long.cpu_seconds_an_hour + sources * short.cpu_seconds_a_source) / 3600
    values = (sources, shards, cpu_hours, size / 1e12, sources * short.manifest_bytes_a_source / 1e9)
    return [
        f"{seconds:g} s",
        f"{shard_mb:g}",
        *(f"{value:,.0f}" if value >= 10 else f"{value:.2g}" for value in values),
        f"{shards * shuffled_bytes() / 1e9:.2g}",
        f"{(sources * a_source + shards * a_shard) / 1e6:,.0f}",
    ]


def main() -> int:
    parser = options(__doc__, 20_000)
    parser.add_argument("--long-files", type=int, default=12, help="files of --long-seconds (default 12)")
    parser.add_argument("--long-seconds", type=float, default=600.0)
    parser.add_argument("--bucket-files", type=int, default=60, help="short files in the bucket (default 60)")
    chosen = parser.parse_args()
    report = Report("preprocess-cost", "Preprocessing: what a million hours use", chosen.write)
    with workspace() as work:
        few = copy_recordings(chosen.recordings, work / "few", 10)
        nothing = preprocess(few, work / "few-set", BEAM)
        found: dict[str, Used] = {}
        kinds: dict[str, tuple[Callable[[], Path], int]] = {
            "spoken digits, 8 kHz, 0.43 s": (
                lambda: copy_recordings(chosen.recordings, work / "short", chosen.files),
                chosen.files,
            ),
            f"44.1 kHz stereo WAV, {chosen.long_seconds:g} s": (
                lambda: write_long(work / "long", chosen.long_files, chosen.long_seconds),
                chosen.long_files,
            ),
        }
        for number, (name, (make, count)) in enumerate(kinds.items()):
            note(name)
            inputs, dataset = make(), work / f"set-{number}"
            found[name] = used(preprocess(inputs, dataset, BEAM), nothing, dataset, count)
            note(f"{folder_bytes(dataset) / 1e6:,.0f} MB written")
        note("requests")
        n = chosen.bucket_files
        counts = {
            i: requests(copy_recordings(chosen.recordings, work / f"bucket-{i}", i), "--shard-mb=64")
            for i in (n, 2 * n)
        }
        a_source = slope(counts[n], counts[2 * n], n)
        cut = requests(work / f"bucket-{2 * n}", "--split=a=0.25,b=0.25,c=0.25")
        a_shard = slope(counts[2 * n], cut, 3)  # a shard for each split more
    _tell(report, found, a_source, a_shard)
    return report.finish("apache-beam", "numpy", "soxr", "gcsfs")


def _tell(report: Report, found: dict[str, Used], a_source: dict[str, float], a_shard: dict[str, float]) -> None:
    rows = [
        [
            name,
            f"{kind.cpu_seconds_a_source * 1e3:,.2f}",
            f"{kind.cpu_seconds_an_hour:,.1f}",
            f"{kind.bytes_a_record:,.0f}",
            f"{kind.manifest_bytes_a_source:,.0f}",
        ]
        for name, kind in found.items()
    ]
    header = ["files", "CPU ms a file", "CPU s an hour of audio", "bytes a record", "manifest bytes a file"]
    report.say("Settings of `default`: segments of 0.74 s, 256 x 64 in float16.", "", *table(header, rows), "")
    kinds = sorted(a_source.keys() | a_shard.keys())
    cells = [[kind, f"{a_source.get(kind, 0):.2f}", f"{a_shard.get(kind, 0):.2f}"] for kind in kinds]
    report.say(
        f"A shard's way through the job is {shuffled_bytes()} bytes. Requests to the bucket, of which a listing gives",
        "1,000 names or more:",
        "",
        *table(["request", "for a short source", "for a shard"], cells),
        "",
        f"{HOURS:,} hours from these figures, not measured. CPU time: an hour of the long files, and for each file",
        "that of a short one. Manifest: that of the short ones.",
        "",
    )
    short, long = found.values()
    per_source, per_shard = sum(a_source.values()), sum(a_shard.values())
    header = ["a file's length", "`--shard-mb`", "files", "shards", "CPU hours", "records, TB", "manifest, GB"]
    rows = [
        million(short, long, seconds, shard_mb, per_source, per_shard)
        for seconds, shard_mb in ((10.0, 64.0), (240.0, 64.0), (240.0, 1000.0), (3600.0, 1000.0))
    ]
    report.say(*table([*header, "shuffled, GB", "requests, millions"], rows))


if __name__ == "__main__":
    sys.exit(main())
