"""The transforms that anyone may compose: what they give, and that a dataset of theirs is the one of `preprocess`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
import soundfile
from apache_beam.io import fileio
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.typehints.decorators import TypeCheckError

from pipelines import store
from pipelines.audio.limits import SourceLimits
from pipelines.audio.spectrogram import normalise_to
from pipelines.beam import (
    CutSegments,
    ExtractFeatures,
    GlobalRange,
    Normalise,
    PreprocessAudio,
    ReadAudio,
    WriteDataset,
    WriteTFRecords,
)
from pipelines.beam.elements import AudioFile, Failure, files_at
from pipelines.beam.launch import LOCAL_RUNNER
from pipelines.beam.preprocess_audio import Work, commit_run
from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from pipelines.dataset.folder import open_dataset
from pipelines.dataset.framing import read_frames
from pipelines.dataset.records import parse
from pipelines.errors import SettingError, WorkError
from pipelines.plan.policy import MaxFailures
from tests.helpers.console import audio_vae
from tests.helpers.dataset_state import SMALL, contents, orphans, problems, serialized_records, write_small
from tests.helpers.sounds import tone

CONFIG = DatasetConfig(
    AudioConfig(sample_rate=8000, segment_seconds=0.1),
    SpectrogramConfig(frame_size=64, hop_length=32),
    split=(("validation", 0.3),),
    label_pattern=r"(?P<kind>[a-z]+)_(?P<number>\d+)",
)
"""The settings of SMALL, with labels."""
LIMITS = SourceLimits(max_over_full_scale_db=math.inf)
OPTIONS = [
    "--max-over-full-scale-db",
    "inf",
    *SMALL,
    "--split",
    "validation=0.3",
    "--label-pattern",
    CONFIG.label_pattern,
]


def local() -> beam.Pipeline:
    """A pipeline on the local runner, in this process."""
    return beam.Pipeline(runner=LOCAL_RUNNER)


def run(build: Callable[[beam.Pipeline], object]) -> None:
    """Run what `build` puts into a pipeline."""
    with local() as pipeline:
        build(pipeline)


def write_sounds(folder: Path) -> Path:
    """Sounds of two and three segments in two folders, one cut short, one that is none, one too loud for decibels."""
    for i in range(6):
        write_small(folder / f"low_{i}.wav", 200 + 40 * i)
        write_small(folder / "more" / f"high_{i}.wav", 900 + 40 * i, seconds=0.15)
    cut = folder / "low_5.wav"
    cut.write_bytes(cut.read_bytes()[:3000])
    (folder / "bad.wav").write_text("no sound")
    loud = np.concatenate([tone(300, 0.15, 8000), np.full(800, 3e38, np.float32)])
    soundfile.write(folder / "loud.wav", loud, 8000, subtype="FLOAT")
    return folder


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `write_sounds`. Read only."""
    return write_sounds(tmp_path_factory.mktemp("transforms") / "sounds")


@pytest.fixture(scope="module")
def preprocessed(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `audio-vae preprocess` makes of them. Read only."""
    dataset = tmp_path_factory.mktemp("preprocessed") / "dataset"
    done = audio_vae("preprocess", sounds, "--output", dataset, *OPTIONS)
    assert done.returncode == 0, done.stderr
    return dataset


def to_dataset(read: Any, output: Path, **options: Any) -> Any:
    """The ordinary pipeline from what `ReadAudio` gave."""
    extracted = read.waveforms | CutSegments(CONFIG.audio) | ExtractFeatures(CONFIG.spectrogram)
    failures = [read.failures, extracted.failures]
    return extracted.features | Normalise() | WriteDataset(output, CONFIG, failures=failures, **options)


def test_the_dataset_is_that_of_preprocess(sounds: Path, preprocessed: Path, tmp_path: Path) -> None:
    with local() as pipeline:
        written = to_dataset(pipeline | ReadAudio(sounds, CONFIG.audio, limits=LIMITS), tmp_path / "dataset")
        assert_that(written, equal_to([str(tmp_path / "dataset")]))
    assert contents(tmp_path / "dataset") == contents(preprocessed)
    assert orphans(tmp_path / "dataset") == set()
    assert problems(tmp_path / "dataset") == []
    rows = open_dataset(str(tmp_path / "dataset")).manifest().to_pylist()
    failed = {row["source"]: (row["error_stage"], row["error"]) for row in rows if row["status"] == "failed"}
    assert failed["bad.wav"][0] == "open"
    assert {row["source"] for row in rows if row["warning"]} == {"low_5.wav"}
    assert failed["loud.wav"] == ("extract", "the level at 0.1 s is no finite number of decibels")
    done = audio_vae("preprocess", sounds, "--output", tmp_path / "dataset", *OPTIONS)
    assert "up to date: nothing new among 14 sources" in done.stderr


def test_files_may_come_as_a_pattern_as_paths_or_as_matches(sounds: Path) -> None:
    names = {f"high_{i}.wav" for i in range(6)}
    paths = [str(path) for path in (sounds / "more").iterdir()]
    with local() as pipeline:
        for label, read in {
            "pattern": pipeline | "1" >> ReadAudio(f"{sounds}/more/*.wav"),
            "paths": pipeline | "2p" >> beam.Create(paths) | "2" >> ReadAudio(root=str(sounds)),
            "matches": pipeline | "3m" >> fileio.MatchFiles(f"{sounds}/more/*") | "3" >> ReadAudio(),
            "readable": pipeline
            | "4m" >> fileio.MatchFiles(f"{sounds}/**/high*")
            | fileio.ReadMatches()
            | "4" >> ReadAudio(root=str(sounds)),
        }.items():
            inside = "more/" if label in ("paths", "readable") else ""
            found = read.waveforms | f"name {label}" >> beam.Map(lambda waveform: waveform.file.source)
            assert_that(found, equal_to([inside + name for name in names]), label=label)


def test_what_can_t_be_used_is_told_with_stage_and_reason(sounds: Path) -> None:
    with local() as pipeline:
        paths = pipeline | beam.Create([str(sounds / "bad.wav"), str(sounds / "none.wav"), str(sounds / "low_0.wav")])
        read = paths | ReadAudio(config=CONFIG.audio)
        told = read.failures | beam.Map(lambda failure: (failure.file.source, failure.stage))
        assert_that(told, equal_to([("bad.wav", "open"), ("none.wav", "list")]))


def test_a_file_s_name_is_relative_to_a_root_that_is_above_it(sounds: Path) -> None:
    (file,) = files_at(str(sounds / "more" / "high_0.wav"), str(sounds))
    assert isinstance(file, AudioFile)
    assert (file.source, file.root, file.uri) == ("more/high_0.wav", str(sounds), str(sounds / "more" / "high_0.wav"))
    assert {f.source for f in files_at(str(sounds / "more"), str(sounds)) if isinstance(f, AudioFile)} == {
        f"more/high_{i}.wav" for i in range(6)
    }
    with pytest.raises(SettingError, match="must be a folder above"):
        list(files_at(str(sounds / "low_0.wav"), str(sounds / "more")))
    (missing,) = files_at(str(sounds / "none.wav"))
    assert isinstance(missing, Failure)
    assert missing.reason.endswith("must exist")


def test_records_in_many_shards_are_the_same_records(sounds: Path, preprocessed: Path, tmp_path: Path) -> None:
    with local() as pipeline:
        _ = to_dataset(pipeline | ReadAudio(sounds, CONFIG.audio, limits=LIMITS), tmp_path / "dataset", shard_mb=0.006)
    dataset = open_dataset(str(tmp_path / "dataset"))
    assert len(dataset.split("train").shards) > 3
    assert max(shard.num_bytes for shard in dataset.shards) < 20_000
    assert serialized_records(tmp_path / "dataset") == serialized_records(preprocessed)
    assert problems(tmp_path / "dataset") == []


def test_all_records_may_have_one_range(sounds: Path, tmp_path: Path) -> None:
    with local() as pipeline:
        read = pipeline | ReadAudio(sounds / "more", CONFIG.audio)
        features = (read.waveforms | CutSegments(CONFIG.audio) | ExtractFeatures(CONFIG.spectrogram)).features
        records = features | Normalise(features | GlobalRange())
        _ = records | WriteDataset(tmp_path / "dataset", CONFIG)
        _ = features | "each" >> Normalise() | WriteTFRecords(str(tmp_path / "each"), CONFIG, num_shards=1)
    dataset = open_dataset(str(tmp_path / "dataset"))
    every = [record for split in dataset.splits for record in dataset.records(split)]
    assert {(record.min_db, record.max_db) for record in every} == {(dataset.min_db, dataset.max_db)}
    assert min(record.spectrogram.min() for record in every) == 0
    assert max(record.spectrogram.max() for record in every) == 1
    with store.open_read(str(tmp_path / "each-00000-of-00001.tfrecord")) as file:
        own = {(r.source, r.segment): r for r in (parse(data, dataset.record) for data in read_frames(file, "each"))}
    assert len(own) == len(every) == 12
    span = dataset.max_db - dataset.min_db
    for record in every:
        one = own[record.source, record.segment]
        assert one.labels == record.labels == {"kind": "high", "number": record.source[5]}
        decibels = one.spectrogram * (one.max_db - one.min_db) + one.min_db
        np.testing.assert_allclose(record.spectrogram * span + dataset.min_db, decibels, atol=span * 2**-10)


def test_the_range_that_is_given_is_the_one_that_is_taken() -> None:
    array = np.array([-50.0, -40.0, 0.0, 20.0, 30.0], np.float32)
    np.testing.assert_allclose(normalise_to(array, -40.0, 20.0), [0, 0, 2 / 3, 1, 1], atol=1e-6)
    assert normalise_to(array, -40.0, -40.0).tolist() == [0] * 5


def test_steps_in_a_wrong_order_are_refused_before_anything_runs(sounds: Path) -> None:
    pipeline = local()
    read = pipeline | ReadAudio(sounds)
    with pytest.raises(TypeCheckError, match=r"expected .*FileSegment.* got .*Waveform"):
        _ = read.waveforms | ExtractFeatures()


def test_a_dataset_that_is_there_is_not_written_over(preprocessed: Path) -> None:
    with pytest.raises(SettingError, match="must be a new folder; PreprocessAudio adds to a dataset"):
        WriteDataset(preprocessed, CONFIG)


def test_records_of_other_settings_are_refused(sounds: Path, tmp_path: Path) -> None:
    def build(pipeline: beam.Pipeline) -> None:
        read = pipeline | ReadAudio(sounds / "more", CONFIG.audio)
        features = (read.waveforms | CutSegments(CONFIG.audio) | ExtractFeatures(CONFIG.spectrogram)).features
        _ = features | Normalise() | WriteDataset(tmp_path / "dataset")

    with pytest.raises(Exception, match=r"record.shape=\(32, 26, 1\) must be \(256, 64, 1\)"):
        run(build)
    assert not (tmp_path / "dataset" / "dataset.json").exists()


def test_two_files_of_one_name_are_refused(sounds: Path, tmp_path: Path) -> None:
    paths = [str(sounds / "low_0.wav"), str(write_small(tmp_path / "other" / "low_0.wav", 500))]

    def build(pipeline: beam.Pipeline) -> None:
        to_dataset(pipeline | beam.Create(paths) | ReadAudio(config=CONFIG.audio), tmp_path / "dataset")

    with pytest.raises(Exception, match=r"low_0.wav: two files must not have one relative path"):
        run(build)
    assert not (tmp_path / "dataset" / "dataset.json").exists()


def test_too_many_failures_leave_no_dataset(sounds: Path, tmp_path: Path) -> None:
    def build(pipeline: beam.Pipeline) -> None:
        to_dataset(
            pipeline | ReadAudio(sounds, CONFIG.audio, limits=LIMITS), tmp_path / "new", max_failures=MaxFailures(1)
        )

    with pytest.raises(Exception, match=r"2 of 14 sources failed, --max-failures=1 allows fewer"):
        run(build)
    assert not (tmp_path / "new" / "dataset.json").exists()


def test_one_transform_makes_the_dataset_of_preprocess(sounds: Path, preprocessed: Path, tmp_path: Path) -> None:
    with local() as pipeline:
        done = pipeline | beam.Create([str(sounds)]) | PreprocessAudio(tmp_path / "dataset", CONFIG, limits=LIMITS)
        assert_that(done.dataset, equal_to([str(tmp_path / "dataset")]))
        assert_that(done.failures | beam.Map(lambda told: told[0]), equal_to(["bad.wav", "loud.wav"]), label="failed")
    assert contents(tmp_path / "dataset") == contents(preprocessed)
    assert orphans(tmp_path / "dataset") == set()


@pytest.mark.slow
def test_a_dataset_takes_in_what_is_new(sounds: Path, preprocessed: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"

    def add(*paths: Path) -> None:
        with local() as pipeline:
            _ = pipeline | beam.Create(list(map(str, paths))) | PreprocessAudio(dataset, CONFIG, root=str(sounds))

    add(sounds / "more" / "high_0.wav", sounds / "more" / "high_1.wav")
    first = (dataset / "dataset.json").read_bytes()
    add(sounds / "more" / "high_1.wav")
    assert (dataset / "dataset.json").read_bytes() == first
    add(sounds)
    assert len(open_dataset(str(dataset)).runs) == 2
    assert serialized_records(dataset) == serialized_records(preprocessed)
    assert problems(dataset) == []
    other = DatasetConfig.from_dict(CONFIG.to_dict() | {"dtype": "float32"})
    with pytest.raises(Exception, match="was made with other settings: dtype: 'float16' != 'float32'"):
        run(lambda pipeline: pipeline | beam.Create([str(sounds)]) | PreprocessAudio(dataset, other))


def test_a_run_may_be_committed_by_the_caller(sounds: Path, preprocessed: Path, tmp_path: Path) -> None:
    output = tmp_path / "dataset"
    transform = PreprocessAudio(output, CONFIG, commit=False, limits=LIMITS)

    def finish(run: Any, summaries: Any, work: Work) -> str:
        if sum(summary.failed for summary in summaries) > 2:
            raise WorkError("too many")
        return commit_run(run, summaries, work)

    with local() as pipeline:
        done = pipeline | beam.Create([str(sounds)]) | transform
        assert done.dataset is None
        assert_that(done.summaries | beam.Map(lambda summary: summary.written), equal_to([7, 5]))
        _ = done.run | beam.Map(finish, beam.pvalue.AsIter(done.summaries), transform.work)
    assert contents(output) == contents(preprocessed)


def test_a_run_that_nobody_commits_is_no_dataset(sounds: Path, tmp_path: Path) -> None:
    with local() as pipeline:
        _ = pipeline | beam.Create([str(sounds / "more")]) | PreprocessAudio(tmp_path / "set", CONFIG, commit=False)
    assert not (tmp_path / "set" / "dataset.json").exists()
    done = audio_vae("preprocess", sounds / "more", "--output", tmp_path / "set", *OPTIONS, "--json")
    assert json.loads(done.stdout)["num_examples"] == 12
    assert orphans(tmp_path / "set") == set()


def test_no_audio_file_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="there must be at least one audio file"):
        run(lambda pipeline: pipeline | beam.Create([str(tmp_path)]) | PreprocessAudio(tmp_path / "set", CONFIG))
