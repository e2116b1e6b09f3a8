"""`audio-vae preprocess` into a new dataset, read back from the contract alone."""

from __future__ import annotations

import json
from pathlib import Path

import librosa
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from pipelines.audio.loading import Loader
from pipelines.audio.segments import Padder
from pipelines.audio.spectrogram import LogSpectrogramExtractor, MinMaxNormaliser
from pipelines.building.processing import PreprocessingPipeline
from pipelines.building.savers import RecordSaver
from pipelines.dataset.framing import read_frames
from tests.helpers.console import audio_vae, audio_vae_json, run_in_process
from tests.helpers.places import FSDD
from tests.helpers.sounds import tone


def read_everything(dataset: Path) -> list[dict]:
    """All records of a dataset as TensorFlow reads them, with `spectrogram` in dB and the `split`."""
    contract = json.loads((dataset / "dataset.json").read_text())
    dtype, shape = np.dtype(contract["record"]["dtype"]), contract["record"]["shape"]
    records = []
    for name, split in contract["splits"].items():
        for shard in split["shards"]:
            assert (dataset / shard["path"]).stat().st_size == shard["num_bytes"]
            for serialized in tf.data.TFRecordDataset(str(dataset / shard["path"])):
                feature = tf.train.Example.FromString(serialized.numpy()).features.feature
                low, high = (feature[key].float_list.value[0] for key in ("min_db", "max_db"))
                values = np.frombuffer(feature["spectrogram"].bytes_list.value[0], dtype).reshape(shape)
                scale = 255 if dtype == np.uint8 else 1
                records.append(
                    {
                        "split": name,
                        "source": feature["source"].bytes_list.value[0].decode(),
                        "segment": feature["segment"].int64_list.value[0],
                        "start_seconds": feature["start_seconds"].float_list.value[0],
                        "valid_frames": feature["valid_frames"].int64_list.value[0],
                        "db": values.astype(np.float32) / scale * (high - low) + low,
                        "range": (low, high),
                    }
                )
    return records


def librosa_segments(path: Path, rate: int, size: int, frame_size: int, hop_length: int) -> list[np.ndarray]:
    waveform, _ = librosa.load(path, sr=rate)
    starts = range(0, max(1, len(waveform)), size)
    pieces = [np.pad(waveform[i : i + size], (0, size - len(waveform[i : i + size]))) for i in starts]
    return [
        librosa.amplitude_to_db(np.abs(librosa.stft(piece, n_fft=frame_size, hop_length=hop_length)[:-1]))
        for piece in pieces
    ]


def test_records_are_librosas_spectrograms(tmp_path: Path) -> None:
    """Formats, rates, lengths and channels of all sorts, whole files in segments."""
    random = np.random.default_rng(0)
    folder = tmp_path / "in" / "deep" / "er"
    folder.mkdir(parents=True)
    sounds = [("a.wav", 8000, 1, 0.01, "PCM_U8"), ("b.flac", 44100, 2, 1.9, "PCM_24"), ("c.aiff", 22050, 1, 0.74, None)]
    sounds += [("d.ogg", 48000, 2, 1.0, None), ("E.WAV", 96000, 1, 2.23, "FLOAT"), ("f.wav", 11025, 2, 3.0, "PCM_24")]
    for name, rate, channels, seconds, subtype in sounds:
        samples = tone(700, seconds, rate)[:, None] * 0.3 + random.normal(0, 0.01, (int(seconds * rate), channels))
        soundfile.write(folder / name, samples, rate, subtype=subtype)
    dataset = tmp_path / "dataset"
    summary = audio_vae_json("preprocess", tmp_path / "in", "--output", dataset, "--dtype", "float32")
    contract = json.loads((dataset / "dataset.json").read_text())
    assert contract["record"] == {"dtype": "float32", "shape": [256, 64, 1]}
    assert contract["sources"] == {"found": 6, "written": 6, "failed": 0, "removed": 0, "ignored": 0}
    records = read_everything(dataset)
    assert len(records) == summary["num_examples"] == sum(s["num_examples"] for s in contract["splits"].values())
    for name, *_ in sounds:
        mine = sorted((r for r in records if r["source"] == f"deep/er/{name}"), key=lambda r: r["segment"])
        expected = librosa_segments(folder / name, 22050, 16317, 512, 256)
        assert [r["segment"] for r in mine] == list(range(len(expected)))
        assert len({r["split"] for r in mine}) == 1  # all segments of a file stay together
        for record, theirs in zip(mine, expected, strict=True):
            np.testing.assert_allclose(record["db"][..., 0], theirs, atol=0.01)
            assert record["start_seconds"] == pytest.approx(record["segment"] * 16317 / 22050)
    bounds = contract["global_range"]
    assert bounds["min_db"] == pytest.approx(min(r["range"][0] for r in records))
    assert bounds["max_db"] == pytest.approx(max(r["range"][1] for r in records))


@pytest.mark.fsdd
def test_course_preset_equals_the_reference_on_real_recordings(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for path in sorted(FSDD.glob("*.wav"))[::60]:
        (folder / path.name).symlink_to(path)
    audio_vae_json("preprocess", folder, "--output", tmp_path / "dataset", "--preset", "course")
    records = read_everything(tmp_path / "dataset")
    assert len(records) == 50
    for record in records:
        signal = librosa.load(folder / record["source"], sr=22050, duration=0.74, mono=True)[0]
        signal = np.pad(signal, (0, max(0, 16317 - len(signal))))
        theirs = librosa.amplitude_to_db(np.abs(librosa.stft(signal, n_fft=512, hop_length=256)[:-1]))
        np.testing.assert_allclose(record["db"][..., 0], theirs, atol=0.01)


def test_the_dataset_folder_is_as_the_contract_says(tone_dataset: Path) -> None:
    contract = json.loads((tone_dataset / "dataset.json").read_text())
    assert contract["format_version"] == 1
    assert contract["splits"]["validation"]["num_examples"] == 3
    assert contract["splits"]["train"]["num_examples"] == 9
    assert contract["splits"]["train"]["seconds"] == pytest.approx(9.0)
    (run,) = contract["runs"]
    folder = tone_dataset / "runs" / run["name"]
    shards = {Path(s["path"]).name for split in contract["splits"].values() for s in split["shards"]}
    assert {p.name for p in folder.iterdir()} == {"manifest.parquet", *shards}
    assert {p.name for p in tone_dataset.iterdir()} == {"dataset.json", "schema.pbtxt", "runs"}
    rows = pq.read_table(folder / "manifest.parquet").to_pylist()
    assert sorted(row["source"] for row in rows) == [f"tone_{i:02d}.wav" for i in range(12)]
    assert {row["status"] for row in rows} == {"written"}
    assert {row["seconds"] for row in rows} == {1.0}
    assert {row["num_segments"] for row in rows} == {1}
    schema = text_format.Parse((tone_dataset / "schema.pbtxt").read_text(), schema_pb2.Schema())
    assert {f.name for f in schema.feature} >= {"spectrogram", "min_db", "max_db", "source", "segment", "valid_frames"}


def test_silence_clicks_and_stereo(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    soundfile.write(folder / "silence.wav", np.zeros(8000), 16000)
    soundfile.write(folder / "one_sample.wav", np.array([0.25]), 16000)
    soundfile.write(folder / "stereo.wav", np.stack([tone(500, 0.5, 16000), tone(2000, 0.5, 16000)], 1), 16000)
    options = ["--sample-rate", 16000, "--segment-seconds", 0.5, "--channels", 2, "--dtype", "uint8", "--split", "none"]
    audio_vae_json("preprocess", folder, "--output", tmp_path / "out", *options)
    by_name = {record["source"]: record for record in read_everything(tmp_path / "out")}
    assert by_name["silence.wav"]["range"] == (pytest.approx(-100), pytest.approx(-100))
    assert by_name["one_sample.wav"]["valid_frames"] == 1
    stereo = by_name["stereo.wav"]["db"]
    assert stereo.shape == (256, 32, 2)
    assert stereo[:, 16, 0].argmax() == 500 * 512 / 16000
    assert stereo[:, 16, 1].argmax() == 2000 * 512 / 16000


def test_bad_files_are_named_and_the_others_written(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    soundfile.write(folder / "good.wav", tone(440, 1, 16000), 16000)
    (folder / "text.wav").write_text("no audio")
    (folder / "nothing.flac").touch()
    (folder / "notes.txt").write_text("not audio and not meant to be")
    done = audio_vae("preprocess", folder, "--output", tmp_path / "out", "--preset", "tiny")
    assert done.returncode == 0
    assert "text.wav: open: Format not recognised" in done.stderr
    assert "1 sources written, 2 failed, 0 removed, 1 other files ignored" in done.stderr
    sources = json.loads((tmp_path / "out" / "dataset.json").read_text())["sources"]
    assert sources == {"found": 3, "written": 1, "failed": 2, "removed": 0, "ignored": 1}


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["{none}", "--output", "{out}"], 2, "must exist"),
        (["{empty}", "--output", "{out}"], 2, "must hold at least one audio file"),
        (["{bad}", "--output", "{out}"], 1, "none of 1 sources could be used. The first: text.wav: open failed"),
        (["{bad}", "--output", "{out}", "--max-failures", "0"], 3, "1 of 1 sources failed, --max-failures=0"),
        (["{bad}", "--output", "{out}", "--max-failures", "few"], 2, "--max-failures: 'few' must be a count like 10"),
        (["{bad}", "--output", "{bad}"], 2, "must be a dataset or an empty folder, it holds text.wav"),
        (["{bad}", "--output", "{out}", "--hop-length", "0"], 2, "hop_length=0 must be a positive number of samples"),
        (["{bad}", "--output", "{out}", "--frame-size", "1"], 2, "frame_size=1 must be an even number"),
        (["{bad}", "--output", "{out}", "--segment-seconds", "-1"], 2, "segment_seconds=-1.0 must be a positive"),
        (["{bad}", "--output", "{out}", "--pad-mode", "mirror"], 2, "pad_mode='mirror' must be one of constant"),
        (["{bad}", "--output", "{out}", "--split", "test=1.5"], 2, "split test=1.5 must be a fraction"),
        (["{bad}", "--output", "{out}", "--label-pattern", "("], 2, "must be a regular expression"),
        (["{bad}", "--output", "{out}", "--workers", "0"], 2, "workers=0 must be a positive number"),
        (["{bad}", "--output", "nofs://x/y"], 2, "must be a path or URI of a known file system"),
        (["{bad}", "--output", "{file}"], 2, "must be a folder\n"),
        (["{bad}"], 2, "--output"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(
    tmp_path: Path,
    arguments: list[str],
    status: int,
    says: str,
) -> None:
    places = {name: tmp_path / name for name in ("none", "empty", "bad", "out", "file")}
    places["empty"].mkdir()
    places["bad"].mkdir()
    places["file"].write_text("")
    (places["bad"] / "text.wav").write_text("no audio")
    done = run_in_process("preprocess", *(argument.format(**places) for argument in arguments))
    assert done.returncode == status, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not places["out"].exists()


@pytest.mark.parametrize("command", ["info", "verify", "prune"])
def test_a_folder_that_is_no_dataset_is_named(tmp_path: Path, command: str) -> None:
    done = run_in_process(command, tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"audio-vae {command}: DATASET {tmp_path}: must be a dataset folder, it has no dataset.json\n"


def test_the_steps_work_without_beam(tone_folder: Path, tmp_path: Path) -> None:
    with open(tmp_path / "sounds.tfrecord", "w+b") as file:
        saver = RecordSaver(file, "float32")
        pipeline = PreprocessingPipeline(
            Loader(16000, duration=0.5), Padder(), LogSpectrogramExtractor(512, 256), MinMaxNormaliser(0, 1), saver
        )
        rows = pipeline.process(str(tone_folder))
        assert list(rows) == [f"tone_{i:02d}.wav" for i in range(12)]
        file.seek(0)
        assert len(list(read_frames(file, "sounds.tfrecord"))) == saver.num_examples == 12
    assert saver.min_db == min(row["min_db"] for row in rows.values())
    assert saver.max_db == max(row["max_db"] for row in rows.values())
