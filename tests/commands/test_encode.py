"""`audio-vae encode`: the latents of real files, in the same order and to the bit however the work is shared out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from pipelines.audio.loading import iter_segments
from pipelines.errors import SettingError, TooManyFailures
from tests.helpers.beam_servers import job_service
from tests.helpers.console import audio_vae
from tests.helpers.small_models import CONFIG, DIM, RATE, write_model
from tests.helpers.sounds import tone
from vae_model.commands import decode, encode
from vae_model.model_folder.config import ModelConfig
from vae_model.model_folder.presets import PRESETS
from vae_model.sound.encoder import batch_size_of
from vae_model.sound.generator import SoundGenerator
from vae_model.vae.model_file import weights_digest

LABELS = r"(?P<note>[a-z]+)(?P<number>\d)"


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven files of 0.1 to 1.3 seconds and two rates, some in a folder, and one that is no audio."""
    folder = tmp_path_factory.mktemp("sounds")
    (folder / "more").mkdir()
    rng = np.random.default_rng(0)
    for number in range(7):
        rate = RATE if number % 2 else 11025
        sound = tone(200 * (number + 1), 0.1 + 0.2 * number, rate, 0.1 * number) + rng.normal(
            0, 0.01, int((0.1 + 0.2 * number) * rate)
        )
        soundfile.write(folder / ("more" if number > 4 else "") / f"tone{number}.wav", sound, rate)
    (folder / "broken9.wav").write_text("not audio")
    return folder


@pytest.fixture(scope="module", params=["vae", "autoencoder"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A MODEL folder of each kind."""
    return write_model(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The MODEL folder of a VAE whose range is each record's own."""
    return write_model(tmp_path_factory.mktemp("vae"), per_record=True)


def run(output: Path, *arguments: object) -> pa.Table:
    """The table that the command writes."""
    assert encode.main([*map(str, arguments), "--output", str(output)]) == 0
    return pq.read_table(output)


def column(table: pa.Table, name: str) -> np.ndarray:
    return np.array(table[name].to_pylist(), np.float32)


def test_every_segment_of_every_file_has_its_latents(
    model: str, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = run(tmp_path / "l.parquet", model, sounds, "--label-pattern", LABELS, "--json")
    captured = capsys.readouterr()
    generator = SoundGenerator.load(model)
    expected: list[dict[str, Any]] = []
    sources = [f"more/tone{n}.wav" for n in (5, 6)] + [f"tone{n}.wav" for n in range(5)]
    for source in sources:
        for segment in iter_segments(str(sounds / source), CONFIG.audio):
            latents = generator.autoencoder.encode(generator.normalise(segment.samples)[0][None])
            row = {name: values[0] for name, values in latents.items()}
            expected.append({**row, "source": source, "segment": segment.index, "start": segment.start_seconds})
    assert table["source"].to_pylist() == [row["source"] for row in expected]
    assert table["segment"].to_pylist() == [row["segment"] for row in expected]
    np.testing.assert_allclose(table["start_seconds"].to_numpy(), [row["start"] for row in expected], atol=1e-6)
    assert table["label/number"].to_pylist() == [row["source"][-5] for row in expected]
    names = ["z"] if "autoencoder" in model else ["mu", "log_variance"]
    assert [name for name in ("mu", "log_variance", "z") if name in table.column_names] == names
    for name in names:
        np.testing.assert_allclose(column(table, name), np.stack([row[name] for row in expected]), atol=1e-5)

    values = json.loads(captured.out)
    assert values["sources"] == {"found": 8, "written": 7, "failed": 1}
    assert values["num_segments"] == len(table)
    assert "failed: broken9.wav: open: " in captured.err
    rows = {row["source"]: row for row in pq.read_table(values["sources_table"]).to_pylist()}
    assert list(rows) == sorted([*sources, "broken9.wav"])
    assert rows["broken9.wav"]["error_stage"] == "open"
    assert sorted(os.listdir(tmp_path)) == ["l.parquet", "l.sources.parquet"]


@pytest.mark.slow
def test_the_file_does_not_depend_on_how_the_work_is_shared_out(vae: str, sounds: Path, tmp_path: Path) -> None:
    small = ("--shard-mb", 0.01, "--batch-size", 2)
    run(tmp_path / "a.parquet", vae, sounds, "--workers", 1, *small)
    run(tmp_path / "b.parquet", vae, sounds, "--workers", 3, *small)
    processes = ("--direct_running_mode=multi_processing", "--direct_num_workers", "2")
    done = audio_vae("encode", vae, *processes, sounds, *small, "--output", tmp_path / "c.parquet")
    assert done.returncode == 0, done.stderr
    assert "23 segments of 7 sources, 1 sources failed" in done.stderr
    with job_service() as flags:
        done = audio_vae("encode", vae, *flags, sounds, *small, "--output", tmp_path / "d.parquet")
        assert done.returncode == 0, done.stderr
    files = [(tmp_path / f"{name}.parquet").read_bytes() for name in "abcd"]
    assert files[0] == files[1] == files[2] == files[3]
    table, other = pq.read_table(tmp_path / "a.parquet"), run(tmp_path / "e.parquet", vae, sounds)
    assert other["source"].equals(table["source"])
    np.testing.assert_allclose(column(other, "mu"), column(table, "mu"), atol=1e-5)


def test_decoded_latents_are_the_reconstruction_as_loud_as_the_sound(
    vae: str, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "l.parquet", vae, sounds / "tone1.wav", sounds / "tone3.wav")
    assert decode.main([vae, str(tmp_path / "l.parquet"), "--output", str(tmp_path / "out"), "--json"]) == 0
    written = json.loads(capsys.readouterr().out.splitlines()[-1])["written"]
    generator = SoundGenerator.load(vae)
    segments = [
        segment for name in ("tone1.wav", "tone3.wav") for segment in iter_segments(str(sounds / name), CONFIG.audio)
    ]
    assert [entry["segment"] for entry in written] == [segment.index for segment in segments]
    for entry, expected in zip(written, generator.reconstruct(s.samples for s in segments), strict=True):
        heard = soundfile.read(entry["path"])[0]
        np.testing.assert_allclose(heard, expected[:, 0] / max(1.0, np.abs(expected).max()), atol=2e-3)


def test_too_many_failures_leave_the_output_as_it_was(vae: str, sounds: Path, tmp_path: Path) -> None:
    (tmp_path / "l.parquet").write_bytes(b"before")
    with pytest.raises(TooManyFailures, match="1 of 8 sources failed"):
        encode.main([vae, str(sounds), "--output", str(tmp_path / "l.parquet"), "--max-failures", "0"])
    assert (tmp_path / "l.parquet").read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["l.parquet"]


def test_the_file_says_whose_latents_it_holds(model: str, sounds: Path, tmp_path: Path) -> None:
    run(tmp_path / "l.parquet", model, sounds / "tone1.wav")
    named = pq.read_schema(tmp_path / "l.parquet").metadata[b"audio_vae.model"].decode()
    assert named == weights_digest(Path(model, "model.keras"), "model.keras")


def test_sources_have_the_limits_that_preprocess_has(vae: str, sounds: Path, tmp_path: Path) -> None:
    run(tmp_path / "l.parquet", vae, sounds, "--max-source-seconds", 0.8)
    rows = pq.read_table(tmp_path / "l.sources.parquet").to_pylist()
    reasons = {row["source"]: row["error"] for row in rows if row["status"] == "failed"}
    assert sorted(reasons) == ["broken9.wav", "more/tone5.wav", "more/tone6.wav", "tone4.wav"]
    assert "--max-source-seconds=0.8 allows less" in reasons["tone4.wav"]


def test_files_that_all_fail_give_an_empty_table(vae: str, sounds: Path, tmp_path: Path) -> None:
    table = run(tmp_path / "l.parquet", vae, sounds / "broken9.wav")
    assert len(table) == 0
    assert table.schema.field("mu").type.list_size == DIM


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["SOUNDS", "--output", "FOLDER"], "--output"),
        (["SOUNDS", "--output", "FOLDER/none/l.parquet"], "--output"),
        (["SOUNDS", "--output", "FOLDER/l.csv"], r"--output=.*l\.csv' must be a file whose name ends in \.parquet"),
        (["FOLDER", "--output", "FOLDER/l.parquet"], "INPUT"),
        (["SOUNDS", "--output", "FOLDER/l.parquet", "--batch-size", "0"], "--batch-size"),
        (["SOUNDS", "--output", "FOLDER/l.parquet", "--label-pattern", "("], "label_pattern"),
        (["SOUNDS", "--output", "FOLDER/l.parquet", "--max-failures", "x"], "--max-failures"),
    ],
)
def test_encode_names_the_option_that_is_wrong(
    vae: str, sounds: Path, options: list[str], named: str, tmp_path: Path
) -> None:
    given = [option.replace("SOUNDS", str(sounds)).replace("FOLDER", str(tmp_path)) for option in options]
    with pytest.raises(SettingError, match=named):
        encode.main([vae, *given])
    assert os.listdir(tmp_path) == []


def test_a_batch_s_largest_layer_takes_64_mb() -> None:
    # the first convolution puts out 128 x 32 cells of 512 filters in float32: 8 MiB
    assert batch_size_of(PRESETS["course"].model) == 8
    assert batch_size_of(ModelConfig(conv_filters=(32,), conv_kernels=(3,), conv_strides=(2,))) == 128
    assert batch_size_of(ModelConfig(input_shape=(16, 16, 1))) == 256
