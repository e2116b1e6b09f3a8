"""The page on a dataset: records worth a look, beside their recordings."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines import store
from pipelines.audio.features import mel_filters
from pipelines.config import LOG_MEL, LOG_SPECTROGRAM
from pipelines.console.counts import counted
from pipelines.dataset.folder import Dataset, open_dataset, read_records
from pipelines.dataset.names import RUNS
from pipelines.dataset.records import Record
from pipelines.dataset.tables import loudest_of_rows
from pipelines.errors import require
from pipelines.store.paths import Place
from vae_model.model_folder.outputs import output_file, shown
from vae_model.pages.errors_in_db import in_words, levels_of, phase_db, rms_db
from vae_model.pages.facts import LIST_BYTES, MAX_SECONDS, data_facts, name_of, sound_bytes
from vae_model.report import Comparison, Comparisons, Facts, Page, Rows, Section, Sound, write_page
from vae_model.sound.inverter import Inverter
from vae_model.sound.limiter import limited
from vae_model.sound.recordings import Recordings

MAX_CLIPPED = 100
"""Clipping is looked for in the recordings of so many sources, the loudest."""
MAX_FAILURES = 200
"""So many failures are listed; of more only the numbers."""
_COLUMNS = ["source", "status", "shard", "num_segments", "seconds", "max_db", "loudest_db", "error_stage", "error"]


@dataclass(frozen=True)
class DatasetPage:
    """The page on a dataset that was written. page: its file, an absolute path or a URI."""

    page: str
    num_bytes: int
    num_sounds: int


@dataclass(frozen=True)
class Pick:
    """A source that was chosen, by its row in the manifest, and why, in a few words."""

    row: int
    note: str


def write_dataset_page(
    dataset: Dataset | Place,
    output: Place = "browse.html",
    *,
    count: int = 8,
    seed: int = 0,
    recordings: Sequence[Place] = (),
) -> DatasetPage:
    """Write a page on which to see and hear what is in a dataset, one HTML file: `audio-vae browse`.

    dataset: an open one, or the path or URI of one. count: recordings of each kind, up to 50: random, loudest,
    quietest, clipped and shortest ones. seed: of the random ones. recordings: folders or files, also URIs, that the
    dataset was made of; those that it names itself are looked at where they are files on this machine. No model is
    needed, and no TensorFlow.

    >>> page = write_dataset_page(dataset, folder / "browse.html", count=2)
    >>> page.num_sounds, page.page.endswith("browse.html")
    (8, True)
    """
    require(0 < count <= 50, "--count", count, "from 1 to 50")
    require(0 <= seed < 2**31, "--seed", seed, "at least 0 and below 2**31")
    output = os.fspath(output)
    with output_file(output) as path:
        page = dataset_page(open_dataset(dataset), count, seed, [os.fspath(place) for place in recordings])
        num_bytes = write_page(page, path).stat().st_size
    return DatasetPage(shown(output), num_bytes, sum(len(section.sounds) for section in page.sections))


def dataset_page(dataset: Dataset, count: int, seed: int, recordings: Sequence[str] = ()) -> Page:
    """The page of a dataset, with up to `count` sources of each kind, fewer where they are long.

    recordings: as of Recordings.
    """
    audio, spectrogram = dataset.config.audio, dataset.config.spectrogram
    count = max(1, min(count, int(LIST_BYTES / (5 * sound_bytes(audio, spectrogram, MAX_SECONDS)))))
    table = dataset.manifest(_COLUMNS)
    written = table.filter(pc.equal(table["status"], "written"))
    failed = table.filter(pc.equal(table["status"], "failed"))
    known = Recordings(dataset, recordings)
    levels = pc.coalesce(loudest_of_rows(written, dataset.config), written["max_db"]).to_numpy()
    kinds = choose(written, levels - full_scale_db(dataset), known, count, seed)
    rows = sorted({pick.row for _, _, picks in kinds for pick in picks})
    sounds = {row: _sound(dataset, record, known) for row, record in _loudest_records(dataset, written, rows)}
    sections = [
        Section(title, intro, [Comparisons([_comparison(written, pick, sounds[pick.row]) for pick in picks])])
        for title, intro, picks in kinds
        if picks
    ]
    if len(failed):
        sections.append(_failures(failed))
    sections.append(Section("Numbers", "", [Facts(data_facts(dataset))]))
    hours = sum(split.seconds for split in dataset.splits.values()) / 3600
    lead = (
        f"{counted(dataset.num_examples, 'segment')} of {audio.segment_seconds:.3g} s from "
        f"{counted(dataset.sources.written, 'recording')}, {hours:,.2f} hours."
    )
    colophon = "All sounds are made from the records, by inversion: phases estimated from magnitudes. By audio-vae."
    return Page(f"What is in {name_of(dataset.uri)}", lead, sections=sections, colophon=colophon)


def full_scale_db(dataset: Dataset) -> float:
    """The level of a sine of full scale in its loudest cell: half the sum of a Hann window.

    In bands, those of it and of a quarter of its power in the bins above and below. 0 where a feature's levels are its
    own.
    """
    audio, spectrogram = dataset.config.audio, dataset.config.spectrogram
    in_bin = float(20 * np.log10(spectrogram.frame_size / 4))
    if spectrogram.feature == LOG_MEL:
        filters = np.pad(mel_filters(audio.sample_rate, spectrogram.frame_size, spectrogram.n_rows), [(0, 0), (1, 1)])
        around = filters[:, 1:-1] + (filters[:, :-2] + filters[:, 2:]) / 4
        return in_bin + float(10 * np.log10(around.max()))
    return in_bin if spectrogram.feature == LOG_SPECTROGRAM else 0.0


def choose(
    table: pa.Table, levels: NDArray[np.float64], recordings: Recordings, count: int, seed: int
) -> list[tuple[str, str, list[Pick]]]:
    """(title, what they are, the chosen rows of the manifest of written sources) of each kind.

    levels: the loudest of each row in dB, beside a sine of full scale.
    """
    seconds = table["seconds"].to_numpy()
    by_level, by_length = np.argsort(levels, kind="stable"), np.argsort(seconds, kind="stable")
    chance = np.sort(np.random.default_rng(seed).choice(len(table), min(count, len(table)), replace=False))

    def picks(rows: Iterable[np.intp]) -> list[Pick]:
        return [
            Pick(int(row), f"{seconds[row]:.2f} s, loudest {levels[row]:+.1f} dB".replace("-", "−")) for row in rows
        ]

    note = "The loudest segment of each, made from its record; levels are relative to a sine of full scale."
    return [
        ("Random recordings", f"Any of the {len(table):,}. {note}", picks(chance)),
        ("Loudest recordings", "Those with the loudest cell.", picks(by_level[::-1][:count])),
        (
            "Quietest recordings",
            "Those whose loudest cell is the lowest: silence, if there is any.",
            picks(by_level[:count]),
        ),
        (
            "Clipped recordings",
            f"Those of the {min(MAX_CLIPPED, len(table)):,} loudest with most samples in a row at full scale.",
            _clipped(table, recordings, by_level[::-1][:MAX_CLIPPED], count),
        ),
        ("Shortest recordings", "A segment is padded to its full length.", picks(by_length[:count])),
    ]


def _clipped(table: pa.Table, recordings: Recordings, rows: NDArray[np.intp], count: int) -> list[Pick]:
    """The most clipped among some sources, as far as their recordings can be read."""
    found = []
    for row in rows:
        clipped = recordings.clipped_samples(table["source"][int(row)].as_py())
        if clipped:
            found.append((clipped, int(row)))
    return [Pick(row, counted(clipped, "clipped sample")) for clipped, row in sorted(found, reverse=True)[:count]]


def _loudest_records(dataset: Dataset, table: pa.Table, rows: list[int]) -> Iterator[tuple[int, Record]]:
    """(row, its source's loudest record) of rows of the manifest, each shard read once."""
    wanted: dict[str, dict[str, int]] = {}
    for row in rows:
        run, shard, source = (table[name][row].as_py() for name in ("run", "shard", "source"))
        wanted.setdefault(store.join(dataset.uri, RUNS, run, shard), {})[source] = row
    for uri, sources in wanted.items():
        loudest: dict[int, tuple[float, Record]] = {}
        for record in read_records(uri, dataset.record):
            row = sources.get(record.source, -1)
            if row < 0:
                continue
            level = record.loudest_db(dataset.config.level_channels)
            if row not in loudest or level > loudest[row][0]:
                loudest[row] = level, record
        yield from ((row, record) for row, (_, record) in loudest.items())


def _sound(dataset: Dataset, record: Record, recordings: Recordings) -> Sound:
    """A record made sound, with what was lost on the way."""
    audio, spectrogram = dataset.config.audio, dataset.config.spectrogram
    inverter = Inverter(audio, spectrogram)
    drawn, inverted = inverter.levels_and_waveform(record.log_spectrogram)
    waveform = limited(inverted, audio.sample_rate)
    where = "" if record.segment == 0 else f"From {record.start_seconds:.1f} s, b"
    original = recordings.segment(record)
    lost = None if original is None else rms_db(drawn, levels_of(inverter, original))
    caption = f"{where or 'B'}y inversion: {in_words(representation=lost, phase=phase_db(inverter, drawn, inverted))}"
    coherence = inverter.to_coherence(record.log_spectrogram)
    return Sound.excerpt(caption, waveform, audio.sample_rate, drawn, spectrogram.hop_length, MAX_SECONDS, coherence)


def _comparison(table: pa.Table, pick: Pick, sound: Sound) -> Comparison:
    return Comparison(table["source"][pick.row].as_py(), [sound], pick.note)


def _failures(failed: pa.Table) -> Section:
    """The sources that could not be used, and why."""
    stages = Counter(failed["error_stage"].to_pylist())
    told = ", ".join(f"{count:,} in {stage}" for stage, count in stages.most_common())
    more = f" The first {MAX_FAILURES} are listed." if len(failed) > MAX_FAILURES else ""
    rows = failed.slice(0, MAX_FAILURES).select(["source", "error_stage", "error"]).to_pylist()
    cells = [[row["source"], row["error_stage"] or "", row["error"] or ""] for row in rows]
    title, intro = "Failures", f"{counted(len(failed), 'file')} could not be used: {told}.{more}"
    return Section(title, intro, [Rows(["File", "Stage", "Reason"], cells)])
