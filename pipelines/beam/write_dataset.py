"""Records of anyone's pipeline to a dataset folder as `audio-vae preprocess` leaves it for `audio-vae train`."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsDict, AsIter, AsSingleton, PCollection

from pipelines.audio.sources import LISTING, Listing
from pipelines.beam.elements import AudioFile, Failure, FileRecord, serialized
from pipelines.building.processing import Coverage, Row, failure
from pipelines.building.shards import ShardSummary, save_shard
from pipelines.building.task import ShardTask, shard_name
from pipelines.config import DatasetConfig, split_of
from pipelines.dataset.records import merged_range
from pipelines.errors import SettingError, WorkError, require
from pipelines.plan.changes import compare
from pipelines.plan.policy import MaxFailures, Policy
from pipelines.request import RunOptions
from pipelines.runs import committing, plan_files
from pipelines.runs.folder import PlannedRun, open_base

Place = tuple[str, int]
"""A split, and the number of a shard in it."""
Written = tuple[ShardSummary, tuple[str, ...]]
"""What became of a shard, and the roots of its files."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A record as it is written, with what its manifest row needs of it.

    loudest_db: its loudest level, None where max_db is that.
    """

    file: AudioFile
    segment: int
    serialized: bytes
    min_db: float
    max_db: float
    start_seconds: float
    end_seconds: float
    loudest_db: float | None = None


def entry_of(element: FileRecord, config: DatasetConfig) -> Entry:
    """The bytes of a record. SettingError when its shape is not that of the settings."""
    record = element.record
    shape = tuple(record.spectrogram.shape)
    require(shape == config.record_shape, "record.shape", shape, f"{config.record_shape}, as the settings have it")
    data = serialized(element, config)
    seconds = record.start_seconds, element.end_seconds
    levels = config.level_channels
    loudest = record.loudest_db(levels) if levels < config.n_channels else None
    return Entry(element.file, record.segment, data, record.min_db, record.max_db, *seconds, loudest)


def place_of(source: str, split_bytes: dict[str, int], config: DatasetConfig, shard_mb: float) -> Place:
    """The shard of a source: always the same one of as many as its split needs."""
    split = split_of(source, config)
    count = max(1, math.ceil(split_bytes.get(split, 0) / (shard_mb * 1e6)))
    digest = hashlib.sha256(source.encode()).digest()
    return split, int.from_bytes(digest[8:16], "big") % count  # the first eight have settled the split


def plan_new(_: int, output: str, config: DatasetConfig, max_failures: MaxFailures) -> PlannedRun:
    """The folder of a first run, whose shards are not known yet."""
    nothing = Listing(LISTING.empty_table(), {}, ())
    changes = compare(nothing, None, Policy(), config)
    return plan_files.plan_run(output, None, config, nothing, changes, (), max_failures)


def write_place(group: tuple[Place, Iterable[Entry | Failure]], run: PlannedRun) -> Written:
    """Write one shard with all records of its files in the order of their names; a file that failed has none.

    WorkError when two files have one name.
    """
    (split, number), elements = group
    entries: dict[str, list[Entry]] = {}
    failures: dict[str, Failure] = {}
    roots: dict[str, str] = {}
    for element in elements:
        file = element.file
        if roots.setdefault(file.source, file.root) != file.root:
            raise WorkError(f"{file.source}: two files must not have one relative path, with and without root= too")
        if isinstance(element, Entry):
            entries.setdefault(file.source, []).append(element)
        elif file.source not in failures or element.segment < failures[file.source].segment:
            failures[file.source] = element
    shard = shard_name(split, number)
    records: list[bytes] = []
    rows: list[Row] = []
    for source in sorted(roots):
        if source in failures:
            failed = failures[source]
            file, row = failed.file, failure(failed.stage, failed.reason)
        else:
            ordered = sorted(entries[source], key=lambda entry: entry.segment)
            file, row = ordered[0].file, _row(source, ordered, run.config.audio.leaves_out)
            records += [entry.serialized for entry in ordered]
        written_to = None if source in failures else shard
        known = {"source": source, "size": file.size, "stamp": file.stamp, "split": split, "shard": written_to}
        known["digest"] = file.digest
        rows.append(known | row)
    built = save_shard(ShardTask(shard, split), records, rows, run.config.dtype, run.uri)
    plan_files.write_rows(run, built)
    return built.summary, tuple(sorted(set(roots.values())))


def _row(source: str, ordered: list[Entry], may_lack: bool) -> Row:
    segments = [entry.segment for entry in ordered]
    if may_lack and len(set(segments)) < len(segments):
        raise WorkError(f"{source}: must have each of its segments once, it has {segments[:10]}")
    if not may_lack and segments != list(range(len(segments))):
        raise WorkError(f"{source}: must have each of its segments from 0 on once, it has {segments[:10]}")
    covered = Coverage()
    for entry in ordered:
        covered.add(entry.start_seconds, entry.end_seconds)
    return {
        "status": "written",
        "num_segments": len(ordered),
        "seconds": round(covered.total, 6),
        **dict(zip(("min_db", "max_db"), merged_range((entry.min_db, entry.max_db) for entry in ordered), strict=True)),
        "loudest_db": max((entry.loudest_db for entry in ordered if entry.loudest_db is not None), default=None),
        "error_stage": None,
        "error": None,
        "warning": ordered[0].file.warning,
    }


def commit_written(_: int, run: PlannedRun, written: Iterable[Written]) -> str:
    """Make the run real, the last step; returns the dataset's path or URI."""
    shards = list(written)
    summaries = [summary for summary, _ in shards]
    roots = tuple(sorted({root for _, of_shard in shards for root in of_shard}))
    tried = sum(summary.written + summary.failed for summary in summaries)
    run = dataclasses.replace(run, inputs=roots, num_sources=tried)
    whole = merged_range((summary.min_db, summary.max_db) for summary in summaries)
    return committing.commit(run, summaries, whole).uri


@beam.typehints.with_input_types(FileRecord)
class WriteDataset(beam.PTransform):
    """Records to a new dataset folder: shards, manifest, schema, `dataset.json`; the splits are those of `preprocess`.

    output: a folder that is empty or not there yet. config: the settings that the records were made with, which the
    dataset says of itself. failures: of the steps before; a file in one of them is in the manifest as failed and has no
    record. shard_mb: a shard's size, about. Gives the dataset's path once it is committed; a pipeline that ends before
    leaves none. A later `audio-vae preprocess` over the same files with the same settings finds nothing to do, but for
    files that are silent as min_level_db has it: no record comes from them, and it notes them.

    >>> import apache_beam as beam
    >>> from pipelines.beam import CutSegments, ExtractFeatures, Normalise, ReadAudio, WriteDataset
    >>> with beam.Pipeline() as pipeline:
    ...     audio = pipeline | ReadAudio("sounds/")
    ...     extracted = audio.waveforms | CutSegments() | ExtractFeatures()
    ...     records = extracted.features | Normalise()
    ...     failures = [audio.failures, extracted.failures]
    ...     _ = records | WriteDataset("dataset", failures=failures) | beam.Map(print)
    dataset
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        config: DatasetConfig | None = None,
        failures: Iterable[PCollection[Failure]] = (),
        max_failures: MaxFailures | None = None,
        shard_mb: float = RunOptions().shard_mb,
    ) -> None:
        super().__init__()
        require(shard_mb > 0, "shard_mb", shard_mb, "a positive number of megabytes")
        self.output = os.fspath(output).rstrip("/")
        self.config = config or DatasetConfig()
        self.failures = tuple(failures)
        self.max_failures = max_failures or MaxFailures()
        self.shard_mb = shard_mb
        if open_base(self.output) is not None:
            raise SettingError(f"output={self.output}: must be a new folder; PreprocessAudio adds to a dataset")

    def expand(self, records: PCollection[FileRecord]) -> PCollection[str]:
        def place(element: Entry | Failure, split_bytes: dict[str, int], config: DatasetConfig, mb: float) -> Any:
            return place_of(element.file.source, split_bytes, config, mb), element

        def size(entry: Entry, config: DatasetConfig) -> tuple[str, int]:
            return split_of(entry.file.source, config), len(entry.serialized)

        once = records.pipeline | "Once" >> beam.Create([0])
        plan = beam.Map(plan_new, self.output, self.config, self.max_failures)
        run = once | "Plan" >> plan | "PlanOnce" >> beam.Reshuffle()
        entries = records | "Serialize" >> beam.Map(entry_of, self.config).with_output_types(Entry)
        sizes = entries | "Sizes" >> beam.Map(size, self.config) | "SplitBytes" >> beam.CombinePerKey(sum)
        elements = (entries, *self.failures) | "WithFailures" >> beam.Flatten()
        grouped = (
            elements
            | "ChooseShard" >> beam.Map(place, AsDict(sizes), self.config, self.shard_mb)
            | "Shards" >> beam.GroupByKey()
        )
        written = grouped | "WriteShard" >> beam.Map(write_place, AsSingleton(run))
        return once | "Commit" >> beam.Map(commit_written, AsSingleton(run), AsIter(written)).with_output_types(str)
