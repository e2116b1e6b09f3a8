"""New sounds: where their latents come from, and the commands that write them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from pipelines.dataset.folder import open_dataset
from pipelines.dataset.records import Record
from pipelines.errors import SettingError, SourceError
from tests.helpers.dataset_writer import noises, write_dataset
from tests.helpers.small_models import CONFIG, DIM, RATE, write_model
from tests.helpers.sounds import tone
from vae_model.commands import decode, generate, interpolate
from vae_model.sound.generator import SoundGenerator
from vae_model.sound.latent_table import schema, to_table
from vae_model.sound.latents import between, from_records, pick, standard_normal
from vae_model.sound.limiter import limited
from vae_model.vae.finished import load_finished
from vae_model.vae.model_file import weights_digest


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Sources 0.wav to 5.wav, each of one segment, in `train`, and two in `test`."""
    folder = tmp_path_factory.mktemp("dataset") / "d"
    return write_dataset(folder, {"train": noises(6), "test": noises(2)}, CONFIG)


@pytest.fixture(scope="module", params=["vae", "autoencoder"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A MODEL folder of each kind."""
    return write_model(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The MODEL folder of a VAE."""
    return write_model(tmp_path_factory.mktemp("vae"))


def record(source: str, label: str) -> Record:
    return Record(np.zeros((1, 1, 1), np.float32), 0.0, 1.0, source, 0, 0.0, 1, {"digit": label})


def level_of(path: str) -> float:
    return float(np.sqrt(np.mean(soundfile.read(path)[0] ** 2)))


def test_standard_normal_latents_are_so_and_only_of_a_vae(vae: str, tmp_path: Path) -> None:
    autoencoder = SoundGenerator.load(vae).autoencoder
    drawn = standard_normal(autoencoder, 20_000, seed=3)
    np.testing.assert_allclose(np.cov(drawn.T), np.eye(DIM), atol=0.05)
    np.testing.assert_allclose(drawn.mean(0), 0, atol=0.05)
    np.testing.assert_array_equal(drawn, standard_normal(autoencoder, 20_000, seed=3))
    plain = SoundGenerator.load(write_model(tmp_path, "autoencoder")).autoencoder
    with pytest.raises(SettingError, match="--from standard-normal"):
        standard_normal(plain, 1, seed=0)


def test_every_record_is_picked_alike() -> None:
    records = [record(f"{number}.wav", "ab"[number % 2]) for number in range(10)]
    sources = [picked.source for picked in pick(iter(records), {}, 20_000, seed=0)]
    counts = [sources.count(f"{number}.wav") for number in range(10)]
    np.testing.assert_allclose(counts, 2000, atol=4 * np.sqrt(20_000 * 0.1 * 0.9))
    labelled = pick(iter(records), {"digit": "b"}, 500, seed=1)
    assert {picked.source for picked in labelled} == {f"{number}.wav" for number in (1, 3, 5, 7, 9)}


def test_latents_of_records_have_their_posteriors(vae: str, dataset: str) -> None:
    generator = SoundGenerator.load(vae)
    one = next(open_dataset(dataset).records("train"))
    drawn, ranges = from_records(generator, [one] * 4000, seed=0)
    inputs = (one.spectrogram * (one.max_db - one.min_db) + one.min_db + 80) / 110
    latents = generator.autoencoder.encode(np.clip(inputs, 0, 1)[None])
    deviation = np.exp(0.5 * latents["log_variance"][0])
    np.testing.assert_allclose(drawn.mean(0), latents["mu"][0], atol=5 * deviation.max() / 4000**0.5)
    np.testing.assert_allclose(drawn.std(0), deviation, rtol=0.1)
    assert ranges[0] == generator.bundle.value_range


def test_the_way_between_latents() -> None:
    x, y = np.array([2.0, 0, 0], np.float32), np.array([0, 2.0, 0], np.float32)
    parts = np.linspace(0, 1, 5)
    arc = between(x, y, parts, "slerp")
    angles = parts * np.pi / 2
    np.testing.assert_allclose(arc, 2 * np.stack([np.cos(angles), np.sin(angles), 0 * angles], 1), atol=1e-6)
    line = between(x, y, parts, "lerp")
    np.testing.assert_allclose(line, np.outer(1 - parts, x) + np.outer(parts, y), atol=1e-6)
    for parallel in (3 * x, -x, 0 * x):
        np.testing.assert_allclose(between(x, parallel, parts, "slerp"), between(x, parallel, parts, "lerp"), atol=1e-6)


def run(command: Any, capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """A command's JSON."""
    assert command.main([*map(str, arguments), "--json"]) == 0
    values: dict[str, Any] = json.loads(capsys.readouterr().out)
    for entry in values["written"]:
        samples, rate = soundfile.read(entry["path"])
        assert (rate, len(samples), entry["num_samples"]) == (RATE, 1000, 1000)
    return values


def test_generate_from_a_dataset_s_label(
    model: str, dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def sounds(folder: str, seed: int) -> tuple[list[str], list[bytes]]:
        options = ("--from", "dataset", "--dataset", dataset, "--label", "digit=4", "--seed", seed, "--count", 3)
        options += ("--phase", "zero")  # the others draw phases with the seed too
        options += ("--phase", "zero")  # the others draw phases where a spectrogram does not tell them
        written = run(generate, capsys, model, *options, "--output", tmp_path / folder)["written"]
        return [entry["source"] for entry in written], [Path(entry["path"]).read_bytes() for entry in written]

    sources, first = sounds("a", 5)
    assert sources == ["4.wav"] * 3
    assert sounds("b", 5)[1] == first
    if "autoencoder" in model:  # it has no posterior but the point itself
        assert sounds("c", 6)[1] == first
    else:
        assert not set(sounds("c", 6)[1]) & set(first)


def test_sounds_of_a_dataset_are_as_loud_as_its_own_when_ranges_are_its_own(
    dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_model(tmp_path / "model", per_record=True)
    options = ("--from", "dataset", "--dataset", dataset, "--count", 6, "--seed", 1, "--phase", "zero")
    written = run(generate, capsys, folder, *options, "--output", tmp_path / "out")["written"]
    peaks = {entry.source: entry.max_db for entry in open_dataset(dataset).records("train")}
    loudest, quietest = (pick_(written, key=lambda entry: peaks[entry["source"]]) for pick_ in (max, min))
    assert peaks[loudest["source"]] > peaks[quietest["source"]] + 3
    assert level_of(loudest["path"]) > level_of(quietest["path"])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--from", "dataset"], "--dataset"),
        (["--label", "digit=1"], "--label"),
        (["--from", "standard-normal", "--dataset", "d"], "--dataset"),
        (["--from", "dataset", "--dataset", "DATASET", "--label", "digit=9"], "--label digit=9"),
        (["--from", "dataset", "--dataset", "DATASET", "--label", "speaker=9"], "it has digit"),
        (["--from", "dataset", "--dataset", "DATASET", "--split", "none"], "split='none'"),
        (["--from", "dataset", "--dataset", "nowhere"], "DATASET nowhere"),
    ],
)
def test_generate_names_what_does_not_go_together(
    vae: str, dataset: str, options: list[str], named: str, tmp_path: Path
) -> None:
    options = [dataset if option == "DATASET" else option for option in options]
    with pytest.raises(SettingError, match=named):
        generate.main([vae, "--count", "1", "--output", str(tmp_path), *options])


def test_an_interpolation_ends_at_the_reconstructions_of_its_ends(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.wav", rng.normal(0, 0.1, 1000), RATE)
    soundfile.write(tmp_path / "b.wav", tone(900, 0.2, RATE), RATE)
    ends = (tmp_path / "a.wav", tmp_path / "b.wav")
    values = run(interpolate, capsys, model, *ends, "--steps", 3, "--output", tmp_path / "out")
    assert values["method"] == ("lerp" if "autoencoder" in model else "slerp")
    assert [entry["t"] for entry in values["written"]] == [0.0, 0.5, 1.0]
    heard = [soundfile.read(entry["path"])[0] for entry in values["written"]]
    generator = SoundGenerator.load(model)
    for path, sound in ((ends[0], heard[0]), (ends[1], heard[2])):
        waveform = np.pad(soundfile.read(path, dtype="float32")[0], (0, 1000))[:1000, None]
        (expected,) = generator.reconstruct([waveform])
        np.testing.assert_allclose(sound, expected[:, 0] / max(1, np.abs(expected).max()), atol=2e-3)
    assert np.abs(heard[1] - heard[0]).max() > 1e-3


def test_interpolate_names_what_is_wrong(vae: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(900, 0.2, RATE), RATE)
    a, output = str(tmp_path / "a.wav"), str(tmp_path / "out")
    with pytest.raises(SettingError, match="--steps"):
        interpolate.main([vae, a, a, "--steps", "1", "--output", output])
    with pytest.raises(SettingError, match="--method flow must be of a model with a learned prior"):
        interpolate.main([vae, a, a, "--method", "flow", "--output", output])
    with pytest.raises(SourceError, match=r"b\.wav: open failed"):
        interpolate.main([vae, a, str(tmp_path / "b.wav"), "--output", output])
    assert not Path(output).exists()


def rows(count: int = 5) -> dict[str, Any]:
    return {"z": np.random.default_rng(0).normal(0, 1, (count, DIM)).tolist()}


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.list_(pa.float32(), DIM), pa.list_(pa.float16())])
def test_decode_writes_the_sounds_of_a_column(
    kind: pa.DataType, vae: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pa.table(
        {"z": pa.array(np.float16(rows()["z"]).tolist() if kind.value_type == pa.float16() else rows()["z"], kind)}
    )
    pq.write_table(table, tmp_path / "z.parquet")
    written = run(decode, capsys, vae, tmp_path / "z.parquet", "--column", "z", "--output", tmp_path / "out")["written"]
    assert [Path(entry["path"]).name for entry in written] == [f"decoded-{number:05}.wav" for number in range(1, 6)]
    generator = SoundGenerator.load(vae)
    for entry, expected in zip(written, generator.decode(np.array(table["z"].to_pylist(), np.float32)), strict=True):
        heard = soundfile.read(entry["path"])[0]
        np.testing.assert_allclose(heard, limited(expected, RATE)[:, 0], atol=1e-4)


def test_decode_gives_each_row_its_level(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_model(tmp_path / "model", per_record=True)
    same = [rows(1)["z"][0]] * 2
    table = pa.table({"mu": same, "min_db": [-90.0, -70.0], "max_db": [-10.0, 10.0], "source": ["a", "b"]})
    pq.write_table(table, tmp_path / "z.parquet")
    quiet, loud = run(decode, capsys, folder, tmp_path / "z.parquet", "--output", tmp_path / "out")["written"]
    assert (quiet["source"], loud["source"]) == ("a", "b")
    assert level_of(loud["path"]) / level_of(quiet["path"]) == pytest.approx(10, rel=0.02)


def test_decode_names_the_row_that_is_no_latent(vae: str, tmp_path: Path) -> None:
    path = tmp_path / "z.parquet"

    def outcomes() -> Iterator[tuple[Any, str]]:
        yield {"a": [1]}, "column mu, it has a"
        yield {"mu": [[0.0] * DIM, [1.0] * (DIM + 1)]}, "row 1 must be 3 finite numbers"
        yield {"mu": [[0.0] * DIM, None]}, "row 1"
        yield {"mu": [[0.0, float("nan"), 0.0]]}, "row 0"
        yield {"mu": ["abc"]}, "row 0"

    for values, message in outcomes():
        pq.write_table(pa.table(values), path)
        with pytest.raises(SettingError, match=message):
            decode.main([vae, str(path), "--output", str(tmp_path / "out")])
    path.write_text("no Parquet")
    with pytest.raises(SettingError, match="readable Parquet"):
        decode.main([vae, str(path), "--output", str(tmp_path / "out")])


def test_decode_warns_when_another_model_encoded_the_latents(
    vae: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not when the same one was saved again, and not when the file does not say whose latents it holds."""
    model, bundle = load_finished(vae)
    model.save(tmp_path / "again")
    bundle.save(tmp_path / "again")
    model.decoder.get_layer("decoder_dense").kernel.assign_add(np.ones((DIM, 128), np.float32))
    model.save(tmp_path / "other")
    bundle.save(tmp_path / "other")
    named = weights_digest(Path(vae, "model.keras"), "model.keras")
    wanted = schema(["mu"], DIM, [], named)
    record = Record(np.zeros((32, 16, 1), np.float32), -80.0, 0.0, "a.wav", 0, 0.0, 16, {})
    pq.write_table(to_table([record], {"mu": np.ones((1, DIM), np.float32)}, wanted), tmp_path / "l.parquet")
    pq.write_table(pa.table({"mu": [[1.0] * DIM]}), tmp_path / "own.parquet")
    for folder, latents, warns in (
        (vae, "l.parquet", False),
        (tmp_path / "again", "l.parquet", False),
        (tmp_path / "other", "l.parquet", True),
        (tmp_path / "other", "own.parquet", False),
    ):
        capsys.readouterr()
        assert decode.main([str(folder), str(tmp_path / latents), "--output", str(tmp_path / "out"), "--json"]) == 0
        printed = capsys.readouterr()
        assert ("warning" in json.loads(printed.out)) == warns
        assert ("warning: PARQUET" in printed.err) == warns
