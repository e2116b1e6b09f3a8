"""What the course's scripts have left: models and arrays, imported; and files of strangers, refused in a line."""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipelines import (
    Loader,
    LogSpectrogramExtractor,
    MinMaxNormaliser,
    Padder,
    PreprocessingPipeline,
    Saver,
    import_npy,
    open_dataset,
    verify_dataset,
)
from pipelines.dataset.plain_pickle import read_plain_pickle
from pipelines.errors import AudioVaeError, SettingError, WorkError
from tests.helpers.course_files import named, trained, write_weights
from vae_model import VAE, import_course
from vae_model.model_folder.bundle import Bundle

SMALL: dict[str, Any] = {
    "shape": (16, 8, 1),
    "filters": (6, 4),
    "kernels": (3, 3),
    "strides": (2, (2, 1)),
    "latent": 5,
}
Command = Callable[..., dict[str, Any]]


@pytest.fixture
def course_model(tmp_path: Path) -> Path:
    """A folder as the course's `save` leaves it."""
    folder = tmp_path / "course"
    folder.mkdir()
    (folder / "parameters.pkl").write_bytes(pickle.dumps(list(SMALL.values())))
    write_weights(folder / "weights.h5", named(trained(**SMALL)))
    return folder


def test_an_imported_model_is_the_course_s(course_model: Path, tmp_path: Path, command: Command) -> None:
    ranges = {f"spectrograms/{i}.wav.npy": {"min": np.float32(-60 + i), "max": np.float32(i)} for i in range(3)}
    (tmp_path / "ranges.pkl").write_bytes(pickle.dumps(ranges))
    model = tmp_path / "model"
    options = ["--sample-rate", 8000, "--hop-length", 8, "--min-max", tmp_path / "ranges.pkl"]
    done = command("import-course", course_model, "--output", model, *options)
    assert (done["model"]["kind"], done["sample_rate"], done["hop_length"]) == ("vae", 8000, 8)

    vae, plain = VAE.load(model), trained(**SMALL)
    x = np.random.default_rng(1).random((6, 16, 8, 1)).astype(np.float32)
    mu, log_variance = plain.encoder(x)
    latents = vae.encode(x)
    np.testing.assert_allclose(latents["mu"], mu, atol=1e-5)
    np.testing.assert_allclose(latents["log_variance"], log_variance, atol=1e-5)
    np.testing.assert_allclose(vae.decode(np.array(mu)), plain.decoder(mu), atol=1e-5)
    reconstructions, sampled = vae.reconstruct(x)
    np.testing.assert_allclose(reconstructions, plain.decoder(sampled), atol=1e-5)
    assert np.abs(sampled - mu).max() > 0.1
    bundle = Bundle.load(model)
    assert (bundle.value_range.min_db, bundle.value_range.max_db) == (-59.0, 1.0)
    command("generate", model, "--count", 1, "--output", tmp_path / "new", "--seed", 1)
    assert [soundfile.info(path).samplerate for path in (tmp_path / "new").glob("*.wav")] == [8000]
    with pytest.raises(SettingError, match="must be a new or empty folder"):
        import_course(course_model, model)
    with pytest.raises(SettingError, match=r"is a model of the course's: audio-vae import-course"):
        VAE.load(course_model)


class Bomb:
    def __reduce__(self) -> Any:
        return os.system, ("touch was-here",)


def nested() -> bytes:
    """Lists in lists, written so that each costs one byte."""
    return b"\x80\x04" + b"](" * 200_000 + b"e" * 200_000 + b"."


HOSTILE = {
    "code": pickle.dumps(Bomb()),
    "code in a list": pickle.dumps([(16, 8, 1), Bomb(), (3, 3), (2, 2), 5]),
    "an array": pickle.dumps(np.zeros(3)),
    "a set": pickle.dumps({1, 2}),
    "an object": pickle.dumps(Path()),
    "a memo of its own": b"\x80\x04K\x01r\xff\xff\xff\x7f.",
    "text that is not there": b"\x80\x04\x8d" + (1 << 60).to_bytes(8, "little") + b"x.",
    "bytes that are not there": b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b"x.",
    "no end": pickle.dumps([1, 2, 3])[:-1],
    "nothing": b"",
    "no pickle": b"RIFF....WAVE",
    "a mark alone": b"\x80\x04(.",
    "a key of numbers": pickle.dumps({1: 2}),
    "a number's type alone": pickle.dumps(np.dtype("f4")),
    "a type of objects": pickle.dumps(np.float32(1)).replace(b"f4", b"O8"),
    "calling a number": b"\x80\x04K\x01K\x02\x85R.",
    "nested": nested(),
    "another list": pickle.dumps([(16, 8, 1), (6, 4)]),
    "huge": pickle.dumps([(1 << 14, 1 << 14, 1), (512, 512), (9, 9), (1, 1), 4096]),
    "words": pickle.dumps(["a", "b", "c", "d", "e"]),
    "negative": pickle.dumps([(16, 8, 1), (-6, 4), (3, 3), (2, 2), 5]),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_parameters_are_refused_in_a_line(
    name: str, course_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (course_model / "parameters.pkl").write_bytes(HOSTILE[name])
    with pytest.raises(AudioVaeError) as caught:
        import_course(course_model, tmp_path / "model")
    assert str(course_model / "parameters.pkl") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert not (tmp_path / "was-here").exists()
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("protocol", range(2, 6))
def test_plain_values_come_back_from_every_protocol(protocol: int, tmp_path: Path) -> None:
    values = [
        (16, 8, 1),
        [True, None, -3, 2**70, 0.5],
        {"a": {"min": np.float32(-1.5), "max": np.float64(2.5)}},
        "é",
        {},
    ]
    values += [np.int64(-7), np.uint8(200), np.float16(0.25), [], (), (1, 2, 3, 4)]
    (tmp_path / "values.pkl").write_bytes(pickle.dumps(values, protocol))
    found = read_plain_pickle(str(tmp_path / "values.pkl"))
    assert found == values
    assert type(found[2]["a"]["min"]) is float
    shared = ["x"]
    (tmp_path / "values.pkl").write_bytes(pickle.dumps([shared, shared], protocol))
    assert read_plain_pickle(str(tmp_path / "values.pkl")) == [["x"], ["x"]]


@pytest.fixture
def prepared(tone_folder: Path, tmp_path: Path) -> Path:
    """The features of twelve tones and their table, as the course's scripts leave them."""
    steps = Loader(22050, 0.74, True), Padder(), LogSpectrogramExtractor(512, 256), MinMaxNormaliser(0, 1)
    PreprocessingPipeline(*steps, Saver(tmp_path / "features", tmp_path / "ranges")).process(tone_folder)
    table = json.loads((tmp_path / "ranges" / "min_max_values.json").read_text())
    elsewhere = {
        "C:\\data\\spectrograms\\" + Path(path).name: {name: np.float32(value) for name, value in bounds.items()}
        for path, bounds in table.items()
    }
    (tmp_path / "ranges" / "min_max_values.pkl").write_bytes(pickle.dumps(elsewhere))
    return tmp_path


def test_imported_arrays_are_the_records_of_preprocess(prepared: Path, tone_folder: Path, command: Command) -> None:
    table = prepared / "ranges" / "min_max_values.pkl"
    options = ["--split", "validation=0.3", "--label-pattern", r"_(?P<number>\d+)"]
    done = command("import-npy", prepared / "features", table, "--output", prepared / "dataset", *options)
    assert (done["written"], done["failed"], done["sample_rate"], done["hop_length"]) == (12, {}, 22050, 256)
    command("preprocess", tone_folder, "--output", prepared / "own", "--preset", "course", *options)
    imported, own = open_dataset(prepared / "dataset"), open_dataset(prepared / "own")
    assert imported.config == own.config
    assert list(imported.splits) == ["train", "validation"]
    for split in own.splits:
        for ours, theirs in zip(imported.records(split), own.records(split), strict=True):
            np.testing.assert_array_equal(ours.spectrogram, theirs.spectrogram)
            assert (ours.min_db, ours.max_db) == (theirs.min_db, theirs.max_db)
            assert (ours.source, ours.labels) == (theirs.source, theirs.labels)
    verified = verify_dataset(prepared / "dataset")
    assert (verified.ok, verified.dataset.num_examples) == (True, 12)
    with pytest.raises(SettingError, match="must be a new folder, it is a dataset"):
        import_npy(prepared / "features", table, prepared / "dataset")


def test_arrays_that_can_not_be_used_are_failures_by_name(prepared: Path) -> None:
    features = prepared / "features"
    table = prepared / "ranges" / "min_max_values.json"
    silent = np.full((256, 64), np.nan, np.float32)
    np.save(features / "tone_01.wav.npy", silent)
    np.save(features / "tone_02.wav.npy", np.zeros((256, 63), np.float32))
    np.save(features / "tone_03.wav.npy", np.linspace(-1, 1, 256 * 64).reshape(256, 64).astype(np.float32))
    np.save(features / "tone_04.wav.npy", np.array([Bomb()]), allow_pickle=True)
    huge = io.BytesIO()
    np.lib.format.write_array_header_1_0(huge, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 64)})
    (features / "tone_05.wav.npy").write_bytes(huge.getvalue() + b"few")
    (features / "tone_06.wav.npy").write_bytes(b"no array")
    done = import_npy(features, table, prepared / "dataset", split="none")
    assert done.written == 6
    says = {
        "tone_01.wav.npy": "no finite numbers",
        "tone_02.wav.npy": "(256, 63, 1) is not that of the others",
        "tone_03.wav.npy": "from -1 to 1, not in [0, 1]",
        "tone_04.wav.npy": "object, not floating-point",
        "tone_05.wav.npy": "3 bytes of numbers",
        "tone_06.wav.npy": "magic string",
    }
    assert set(done.failed) == set(says)
    for name, reason in says.items():
        assert reason in done.failed[name]
    assert done.dataset.sources.failed == 6


def test_a_table_that_does_not_fit_is_named_and_nothing_is_written(prepared: Path) -> None:
    features, table = prepared / "features", prepared / "ranges" / "min_max_values.json"
    values = json.loads(table.read_text())
    for change, says in (
        (lambda v: v.pop(str(features / "tone_07.wav.npy")), "it has none for tone_07.wav.npy"),
        (lambda v: v.update(more={"min": 1.0, "max": 0.0}), "must be a range whose min is at most its max"),
        (lambda v: v.update(more={"min": "low", "max": 0.0}), "must be a finite number from -1000 to 1000"),
        (lambda v: v.update(more=3), "must be an object"),
    ):
        changed = json.loads(json.dumps(values))
        change(changed)
        table.write_text(json.dumps(changed))
        with pytest.raises(SettingError, match=says):
            import_npy(features, table, prepared / "dataset")
        assert not (prepared / "dataset").exists()
    table.with_suffix(".pkl").write_bytes(HOSTILE["code"])
    with pytest.raises(WorkError, match=r"min_max_values\.pkl: must be a pickle of numbers.*it names"):
        import_npy(features, table.with_suffix(".pkl"), prepared / "dataset")
    with pytest.raises(SettingError, match="must hold at least one"):
        import_npy(prepared / "ranges", table, prepared / "dataset")
