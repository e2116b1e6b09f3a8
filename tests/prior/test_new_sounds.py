"""New sounds of a learned prior, as the commands write them: by label, of any length, going on, varied."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipelines.dataset.folder import open_dataset
from pipelines.errors import Interrupted, SettingError
from tests.helpers.dataset_writer import ONE_LAYER, noises, write_dataset
from tests.helpers.slow import slow
from tests.helpers.small_models import CONFIG, DIM, RATE, write_model
from vae_model import continue_sound, export_model, generate, learn_prior, train_model, vary
from vae_model.model_folder.bundle import Bundle
from vae_model.prior import collecting
from vae_model.prior.learn import Progress
from vae_model.sound.generator import SoundGenerator

Command = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """30 sources of three segments of 0.25 s, labelled by their digits, and 20 of one segment."""
    folder = tmp_path_factory.mktemp("dataset") / "d"
    return write_dataset(folder, {"train": [*noises(30, 3000), *noises(20)]}, CONFIG)


@pytest.fixture(
    scope="module",
    params=[pytest.param(False, id="global"), slow(True, id="per record")],
)
def model(request: pytest.FixtureRequest, dataset: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model with random weights whose prior was learned for a moment."""
    folder = write_model(tmp_path_factory.mktemp("model"), per_record=request.param)
    learned = learn_prior(folder, dataset, epochs=4, width=16, quiet=True)
    assert (learned.kind, learned.num_latents, learned.labels) == ("flow", 110, {"digit": 10})
    assert learned.knows_before
    return folder


@pytest.fixture(scope="module")
def of_short(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model whose prior has heard no file longer than a segment."""
    folder = tmp_path_factory.mktemp("short")
    short = write_dataset(folder / "data", {"train": noises(70)}, CONFIG)
    model = write_model(folder / "model")
    learn_prior(model, short, epochs=1, width=8, quiet=True)
    return model


def digest(folder: Path) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.wav"))]


def test_generate_draws_by_label_from_the_learned_prior(model: str, tmp_path: Path, command: Command) -> None:
    options = ("--count", 4, "--seed", 5, "--phase", "zero")
    done = command("generate", model, *options, "--label", "digit=3", "--output", tmp_path / "a")
    assert done["from"] == "learned"
    assert [entry["labels"] for entry in done["written"]] == [{"digit": "3"}] * 4
    assert [entry["num_samples"] for entry in done["written"]] == [1000] * 4
    again = generate(model, tmp_path / "b", 4, seed=5, phase="zero", labels={"digit": "3"})
    assert again.origin == "learned"
    assert digest(tmp_path / "b") == digest(tmp_path / "a")
    generate(model, tmp_path / "c", 4, seed=5, phase="zero", labels={"digit": "3"}, guidance=0.0, temperature=0.5)
    assert not set(digest(tmp_path / "c")) & set(digest(tmp_path / "a"))
    assert generate(model, tmp_path / "d", 1, origin="gaussian", phase="zero").origin == "gaussian"


def test_sounds_are_as_loud_as_the_data_s(model: str, dataset: str) -> None:
    generator = SoundGenerator.load(model)
    drawn = generator.draw(50, seed=1)
    peaks = {round(record.max_db, 3) for record in open_dataset(dataset).records("train")}
    assert {round(level, 3) for level in drawn.levels[:, 1].tolist()} <= peaks
    assert len(set(drawn.levels[:, 1].tolist())) > 20
    value_range = generator.bundle.value_range
    assert (drawn.ranges(value_range)[0] == value_range) == (not value_range.per_record)


def test_long_sounds_have_the_length_that_was_asked_for(model: str, tmp_path: Path, command: Command) -> None:
    for seconds in (0.1, 0.25, 0.26, 1.3):
        done = command("generate", model, "--seconds", seconds, "--count", 2, "--output", tmp_path, "--phase", "zero")
        for entry in done["written"]:
            samples, rate = soundfile.read(entry["path"])
            assert len(samples) / rate == pytest.approx(seconds)
            assert np.abs(samples[len(samples) * 9 // 10 :]).max() > 0


@pytest.mark.parametrize("length", [700, 1000, 2345])
def test_a_recording_goes_on_after_its_end(model: str, length: int, tmp_path: Path, command: Command) -> None:
    given = 0.3 * np.sin(2 * np.pi * 437.0 * np.arange(length) / RATE)
    soundfile.write(tmp_path / "a.wav", given, RATE, "FLOAT")
    options = ("--seconds", 0.8, "--count", 2, "--seed", 1, "--label", "digit=1")
    done = command("continue", model, tmp_path / "a.wav", *options, "--output", tmp_path / "on")
    sounds = [soundfile.read(entry["path"])[0] for entry in done["written"]]
    assert done["begins_at"] == length
    for sound in sounds:
        assert len(sound) == length + round(0.8 * RATE)
        scale = np.abs(sound).max()  # of a peak beyond full scale the whole is made quieter
        own = sound[: length - 200]
        gain = float(own @ given[: len(own)]) / float(given[: len(own)] @ given[: len(own)])
        np.testing.assert_allclose(own, gain * given[: len(own)], atol=0.03 * max(gain, scale))
    assert not np.array_equal(sounds[0], sounds[1])


def test_variations_are_the_more_alike_the_smaller_the_amount(model: str, tmp_path: Path, command: Command) -> None:
    soundfile.write(tmp_path / "a.wav", noises(1)[0], RATE, "FLOAT")
    done = command("vary", model, tmp_path / "a.wav", "--amount", 0.5, "--count", 3, "--output", tmp_path / "v")
    assert len(done["written"]) == 3
    assert len(set(digest(tmp_path / "v"))) == 3
    prior = SoundGenerator.load(model).prior
    assert prior is not None
    latent = prior.draw(1, 0).latents[0]
    near, far = (np.abs(prior.vary(latent, (-80, 0), amount, 20, 0).latents - latent).mean() for amount in (0.05, 0.9))
    assert near < far / 3


def test_between_two_recordings_the_way_is_through_the_prior(model: str, tmp_path: Path, command: Command) -> None:
    for name, waveform in zip("ab", noises(2), strict=True):
        soundfile.write(tmp_path / f"{name}.wav", waveform, RATE, "FLOAT")

    def heard(*options: str) -> tuple[str, list[str]]:
        ends = (tmp_path / "a.wav", tmp_path / "b.wav")
        done = command("interpolate", model, *ends, "--steps", 3, "--output", tmp_path / "way", *options)
        return done["method"], digest(tmp_path / "way")

    (method, flow), (_, arc) = heard(), heard("--method", "slerp")
    assert method == "flow"
    assert [one == other for one, other in zip(flow, arc, strict=True)] == [True, False, True]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"labels": {"digit": "x"}}, "--label digit=x must be a value that the model learned, it has 0, 1, 2"),
        ({"labels": {"voice": "x"}}, "--label voice=x must name a label that the model learned, it has digit"),
        ({"origin": "fitted"}, "--from fitted is called --from gaussian now"),
        ({"origin": "prior"}, "--from prior is called --from standard-normal now"),
        ({"origin": "thin air"}, "--from='thin air' must be one of learned, gaussian, standard-normal, dataset"),
        ({"guidance": -1.0}, "--guidance"),
        ({"temperature": float("nan")}, "--temperature"),
        ({"seconds": -1.0}, "--seconds"),
        ({"origin": "gaussian", "guidance": 1.0}, "--guidance must come with --from learned"),
        ({"origin": "gaussian", "labels": {"digit": "1"}}, "--label must come with --from learned or dataset"),
        ({"origin": "gaussian", "seconds": 2.0}, "--seconds=2 over a segment must come with --from learned"),
        ({"seconds": 2.0}, "no file is longer than a segment, 0.25 s"),
    ],
)
def test_generate_refuses_what_can_t_be(of_short: str, options: dict[str, Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=named):
        generate(of_short, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_what_needs_a_prior_says_how_to_learn_one(
    of_short: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "a.wav", noises(1)[0], RATE)
    with pytest.raises(SettingError, match="no file is longer than a segment"):
        continue_sound(of_short, tmp_path / "a.wav", tmp_path / "out", 1.0)
    bare = write_model(tmp_path / "bare")
    for call in (lambda: continue_sound(bare, "a.wav", tmp_path, 1.0), lambda: vary(bare, "a.wav", tmp_path)):
        with pytest.raises(SettingError, match=r"must have a learned prior: audio-vae prior .*bare DATASET learns it"):
            call()
    assert generate(bare, tmp_path / "out", 1, phase="zero").origin == "gaussian"
    assert f"audio-vae prior {bare} DATASET" in capsys.readouterr().err


def test_a_sample_of_many_records_keeps_what_follows_what(dataset: str, tmp_path: Path) -> None:
    model = SoundGenerator.load(write_model(tmp_path / "model"))
    opened, value_range = open_dataset(dataset), model.bundle.value_range
    whole = collecting.collect(opened, "train", model.autoencoder, value_range)
    assert (len(whole), whole.total) == (110, 110)
    assert np.count_nonzero(whole.before >= 0) == 60
    records = list(opened.records("train"))
    for number, before in enumerate(whole.before.tolist()):
        if before >= 0:
            assert records[before].source == records[number].source
            assert records[before].segment + 1 == records[number].segment
    expected = model.autoencoder.means(np.stack([value_range.model_input(record) for record in records[:5]]))
    np.testing.assert_allclose(whole.latents.means[:5], expected, atol=1e-4)
    some = collecting.collect(opened, "train", model.autoencoder, value_range, limit=30, seed=1)
    assert 0 < len(some) <= 30
    assert some.latents.means.shape == (len(some), DIM)
    assert some.total == 110


@pytest.mark.slow
def test_training_ends_with_the_prior_and_an_interrupted_one_comes_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_dataset(tmp_path / "data", {"train": noises(70)}, CONFIG)
    settings: dict[str, Any] = {"preset": "tiny", "latent_space_dim": 4, "conv_filters": (4,), "conv_kernels": (3,)}
    settings |= {"conv_strides": (2,), "epochs": 1, "prior_epochs": 3, "prior_width": 16}
    train_model(data, tmp_path / "one", **settings)
    assert "prior  epoch 3/3" in capsys.readouterr().err
    bundle = Bundle.load(tmp_path / "one")
    assert bundle.prior is not None
    assert bundle.prior.figures["epochs"] == 3

    fitted = Progress.fitted
    monkeypatch.setattr(
        Progress, "fitted", lambda *arguments: (os.kill(os.getpid(), signal.SIGINT), fitted(*arguments))
    )
    with pytest.raises(Interrupted, match=r"interrupted while the prior was learned; .* --resume"):
        train_model(data, tmp_path / "two", **settings)
    monkeypatch.undo()
    assert Bundle.load(tmp_path / "two").prior is None
    generate(tmp_path / "two", tmp_path / "out", 1, phase="zero")
    train_model(data, tmp_path / "two", resume=True)
    weights = [(tmp_path / name / "prior.keras") for name in ("one", "two")]
    flows = [SoundGenerator.load(path.parent).prior for path in weights]
    for ours, theirs in zip(*(flow.model.get_weights() for flow in flows if flow), strict=True):
        np.testing.assert_array_equal(ours, theirs)

    train_model(data, tmp_path / "two", resume=True)
    assert "nothing to do" in capsys.readouterr().err
    train_model(data, tmp_path / "two", resume=True, epochs=2, prior="gaussian")
    assert not (tmp_path / "two" / "prior.keras").exists()
    later = Bundle.load(tmp_path / "two").prior
    assert later is not None
    assert later.kind == "gaussian"
    train_model(data, tmp_path / "three", start=tmp_path / "one", epochs=1)
    assert (tmp_path / "three" / "prior.keras").exists()
    assert not (tmp_path / "three" / "checkpoints" / "prior-start").exists()


@pytest.mark.slow
def test_none_draws_from_n_0_i_and_few_sounds_get_the_gaussian(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_dataset(tmp_path / "data", {"train": noises(20)}, CONFIG)
    from vae_model.commands import train

    train.main([data, "--output", str(tmp_path / "few"), *ONE_LAYER, "--epochs", "1"])
    assert "of 20 sounds, fewer than 64" in capsys.readouterr().err
    assert json.loads((tmp_path / "few" / "bundle.json").read_text())["prior"]["kind"] == "gaussian"
    train.main([data, "--output", str(tmp_path / "none"), *ONE_LAYER, "--epochs", "1", "--prior", "none"])
    assert generate(tmp_path / "none", tmp_path / "out", 1, phase="zero").origin == "standard-normal"


@pytest.mark.slow
def test_an_exported_model_draws_as_the_prior_does(model: str, dataset: str, tmp_path: Path) -> None:
    import tensorflow as tf

    export = export_model(model, tmp_path / "served")
    assert "generate" in export.signatures
    loaded = tf.saved_model.load(str(tmp_path / "served")).signatures["generate"]

    def drawn(count: int, seed: int, *labels: str) -> dict[str, np.ndarray]:
        outputs = loaded(
            count=tf.constant(count), seed=tf.constant(seed), labels=tf.constant([*labels], tf.string, (len(labels),))
        )
        return {name: value.numpy() for name, value in outputs.items()}

    ours, again, theirs = drawn(600, 1, "digit=3"), drawn(600, 1, "digit=3"), drawn(5, 2)
    np.testing.assert_array_equal(ours["z"], again["z"])
    assert theirs["spectrogram"].shape == (5, 32, 16, 1)
    generator = SoundGenerator.load(model)
    assert generator.prior is not None
    expected = generator.prior.draw(600, 1, {"digit": "3"})
    np.testing.assert_allclose(ours["z"].mean(axis=0), expected.latents.mean(axis=0), atol=0.25)
    np.testing.assert_allclose(ours["z"].std(axis=0), expected.latents.std(axis=0), rtol=0.2, atol=0.05)
    span = (ours["max_db"] - ours["min_db"])[:, None, None, None]
    np.testing.assert_allclose(
        ours["decibels"], ours["spectrogram"] * span + ours["min_db"][:, None, None, None], atol=1e-3
    )
    if generator.bundle.value_range.per_record:
        peaks = {round(r.max_db, 2) for r in open_dataset(dataset).records("train") if r.labels["digit"] == "3"}
        assert {round(level, 2) for level in ours["max_db"].tolist()} == peaks
    with pytest.raises(tf.errors.InvalidArgumentError, match="labels must be of those that the model learned: digit=0"):
        drawn(1, 0, "digit=x")
