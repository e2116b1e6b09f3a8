"""Scripts that prepare sounds as readers of the course write them, and what is said where that can't be."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile

from pipelines import (
    Loader,
    LogSpectrogramExtractor,
    MinMaxNormaliser,
    Padder,
    PreprocessingPipeline,
    RecordSaver,
    Saver,
)
from pipelines.dataset.framing import read_frames
from pipelines.dataset.records import RecordSpec, parse
from pipelines.errors import SettingError


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two folders with a file of one name, a short one and a longer one."""
    folder = tmp_path / "recordings"
    rng = np.random.default_rng(0)
    for name, seconds in (("one/0.wav", 0.3), ("two/0.wav", 1.0)):
        (folder / name).parent.mkdir(parents=True)
        soundfile.write(folder / name, rng.uniform(-0.3, 0.3, int(seconds * 8000)), 8000)
    return folder


def course_pipeline(saver: Any) -> PreprocessingPipeline:
    pipeline = PreprocessingPipeline()
    pipeline.loader = Loader(22050, 0.74, True)
    pipeline.padder = Padder()
    pipeline.extractor = LogSpectrogramExtractor(512, 256)
    pipeline.normaliser = MinMaxNormaliser(0, 1)
    pipeline.saver = saver
    return pipeline


def expected(path: Path) -> np.ndarray:
    """A file's log-spectrogram by librosa alone."""
    signal = librosa.load(path, sr=22050, duration=0.74, mono=True)[0]
    signal = np.pad(signal, (0, int(0.74 * 22050) - len(signal)))
    levels: np.ndarray = librosa.amplitude_to_db(np.abs(librosa.stft(signal, n_fft=512, hop_length=256))[:-1])
    return levels


def test_a_reader_s_script_prepares_a_folder(recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pipeline = course_pipeline(Saver("spectrograms/", "ranges/"))
    pipeline.process("recordings/")

    found = {}
    for root, _, names in os.walk("spectrograms/"):
        for name in names:
            found[os.path.join(root, name)] = np.load(os.path.join(root, name))
    with open("ranges/min_max_values.pkl", "rb") as file:
        ranges = pickle.load(file)
    assert sorted(found) == ["spectrograms/one/0.wav.npy", "spectrograms/two/0.wav.npy"]
    assert ranges == pipeline.min_max_values == json.loads(Path("ranges/min_max_values.json").read_text())
    for path, feature in found.items():
        assert feature.shape == (256, 64)
        assert feature.dtype == np.float32
        assert (feature.min(), feature.max()) == (0, 1)
        bounds = ranges[path]
        levels = MinMaxNormaliser(min_val=0, max_val=1).denormalise(
            norm_array=feature, original_min=bounds["min"], original_max=bounds["max"]
        )
        source = path.removeprefix("spectrograms/").removesuffix(".npy")
        np.testing.assert_allclose(levels, expected(recordings / source), atol=1e-3)


def test_a_part_that_is_set_later_decides_what_follows_from_it(recordings: Path, tmp_path: Path) -> None:
    pipeline = course_pipeline(Saver(tmp_path / "features", tmp_path))
    assert pipeline.segment_samples == 16317
    pipeline.loader = Loader(16000, 1.0)
    assert (pipeline.segment_samples, pipeline.hop_samples, pipeline.sample_rate) == (16000, 16000, 16000)
    rows = pipeline.process(recordings)
    assert [row["seconds"] for row in rows.values()] == [0.3, 1.0]
    assert np.load(tmp_path / "features" / "two" / "0.wav.npy").shape == (256, 63)


def test_what_is_missing_or_of_no_use_is_named(recordings: Path, tmp_path: Path, capsys: Any) -> None:
    pipeline = PreprocessingPipeline()
    assert pipeline.loader is None
    pipeline.loader = Loader(16000)
    with pytest.raises(SettingError, match=r"pipeline\.padder=None must be set"):
        pipeline.process(recordings)
    pipeline = course_pipeline(None)
    with pytest.raises(SettingError, match=r"pipeline\.saver=None must be set"):
        pipeline.process(recordings)
    with open(tmp_path / "file", "w+b") as file, pytest.raises(SettingError, match="RecordSaver writes records"):
        Saver(file, "float32")  # type: ignore[arg-type]
    pipeline.saver = Saver(tmp_path / "features", tmp_path)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(SettingError, match="a folder with audio in it"):
        pipeline.process(tmp_path / "nothing")
    (recordings / "broken.wav").write_bytes(b"RIFF, but no more")
    rows = pipeline.process(recordings)
    assert rows["broken.wav"]["status"] == "failed"
    assert "1 of 3 files could not be used, such as broken.wav: " in capsys.readouterr().err
    assert len(pipeline.min_max_values) == 2


def test_a_range_that_records_do_not_have_is_refused_for_them_and_kept_in_arrays(
    recordings: Path, tmp_path: Path
) -> None:
    with open(tmp_path / "sounds.tfrecord", "w+b") as file:
        pipeline = course_pipeline(RecordSaver(file, "float32"))
        pipeline.normaliser = MinMaxNormaliser(-1, 1)
        with pytest.raises(SettingError, match=r"MinMaxNormaliser\(-1, 1\).*must be MinMaxNormaliser\(0, 1\)"):
            pipeline.process(recordings)
        pipeline.normaliser = MinMaxNormaliser(0, 1)
        pipeline.process(recordings)
        assert pipeline.min_max_values == {}
        file.seek(0)
        records = [parse(data, RecordSpec("float32", (256, 64, 1))) for data in read_frames(file, "sounds")]
    pipeline.saver = Saver(tmp_path / "features", tmp_path)
    pipeline.normaliser = MinMaxNormaliser(-1, 1)
    pipeline.process(recordings)
    feature = np.load(tmp_path / "features" / "one" / "0.wav.npy")
    assert (feature.min(), feature.max()) == (-1, 1)
    bounds = pipeline.min_max_values[str(tmp_path / "features" / "one" / "0.wav.npy")]
    levels = MinMaxNormaliser(-1, 1).denormalise(feature, bounds["min"], bounds["max"])
    np.testing.assert_allclose(levels, expected(recordings / "one" / "0.wav"), atol=1e-3)
    np.testing.assert_allclose(records[0].log_spectrogram[..., 0], levels, atol=1e-4)


def test_classes_of_one_s_own_are_asked_or_refused(recordings: Path, tmp_path: Path) -> None:
    class Louder(Loader):
        def load(self, file_path: str) -> np.ndarray:  # type: ignore[override]
            return 2 * super().load(file_path)[:, 0]

    class Flat(Saver):
        def save_feature(self, feature: np.ndarray, file_path: str) -> str:
            return super().save_feature(feature, file_path.replace("/", "-"))

    class Transposed(LogSpectrogramExtractor):
        def extract(self, signal: np.ndarray) -> np.ndarray:  # type: ignore[override]
            return super().extract(signal).transpose(1, 0, 2)

    pipeline = course_pipeline(Flat(tmp_path / "features", tmp_path))
    pipeline.process(recordings)
    before = pipeline.min_max_values[str(tmp_path / "features" / "one-0.wav.npy")]["max"]
    pipeline.loader = Louder(22050, 0.74)
    pipeline.process(recordings)
    after = pipeline.min_max_values[str(tmp_path / "features" / "one-0.wav.npy")]["max"]
    assert after - before == pytest.approx(20 * np.log10(2), abs=1e-3)

    pipeline.extractor = Transposed(512, 256)
    with pytest.raises(SettingError, match=r"extractor gave \(64, 256, 1\) of a segment \(16317, 1\)"):
        pipeline.process(recordings)
    with pytest.raises(SettingError, match=r"_process_file would never be called.*from-the-course"):
        type("Own", (PreprocessingPipeline,), {"_process_file": lambda self, file_path: None})
    with pytest.raises(SettingError, match=r"_generate_save_path would never be called: save_feature"):
        type("Own", (Saver,), {"_generate_save_path": lambda self, file_path: None})


def test_arguments_go_by_the_course_s_names(recordings: Path) -> None:
    signal = Loader(22050, 0.74, True).load(file_path=str(recordings / "two" / "0.wav"))[:, 0]
    np.testing.assert_array_equal(
        signal, librosa.load(recordings / "two" / "0.wav", sr=22050, duration=0.74, mono=True)[0]
    )
    padded = Padder("constant").right_pad(array=signal[:3], num_missing_items=2)
    np.testing.assert_array_equal(padded, [*signal[:3], 0, 0])
    assert LogSpectrogramExtractor(512, 256).extract(signal=signal).shape == (256, 64)
    with pytest.raises(SettingError, match="min_val must not be given beside min"):
        MinMaxNormaliser(min=0, min_val=0)  # type: ignore[call-arg]


def test_a_file_that_turns_out_damaged_leaves_no_feature(recordings: Path, tmp_path: Path) -> None:
    saver = Saver(tmp_path / "features", tmp_path)
    pipeline = course_pipeline(saver)
    pipeline.process(recordings)
    record = parse_first(recordings)
    mark = saver.mark()
    saver.save(record)
    assert len(saver.min_max_values) == 3
    saver.rollback(mark)
    assert len(saver.min_max_values) == 2
    assert not (tmp_path / "features" / "three.wav.npy").exists()


def parse_first(recordings: Path) -> Any:
    from pipelines.dataset.records import Record

    return Record(np.zeros((4, 3, 1), np.float32), -80.0, 0.0, "three.wav", 0, 0.0, 3)
