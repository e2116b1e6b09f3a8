"""What a flow learns of latents whose distribution is known, and that its file is read as data first."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pipelines.errors import AudioVaeError, SettingError
from vae_model.model_folder.folder import PRIOR_FILE
from vae_model.model_folder.prior_settings import FLOW, LearnedPrior, PriorSettings
from vae_model.model_folder.value_range import ValueRange
from vae_model.prior.beginning import begin
from vae_model.prior.collecting import Collected
from vae_model.prior.flow import FlowModel, count_weights
from vae_model.prior.learning import fit
from vae_model.prior.prior import Prior
from vae_model.prior.prior_file import load_flow, save_flow
from vae_model.vae.gaussians import Gaussians

CENTRES = {"a": (4.0, 0.0), "b": (-4.0, 2.0)}
LOUD, QUIET = 0.0, -40.0


def collected(means: np.ndarray, labels: dict[str, np.ndarray], before: np.ndarray | None = None) -> Collected:
    """Latents of a VAE of little posterior variance; what is named a is louder than all else."""
    count = len(means)
    loud = labels.get("kind", np.array(["a"] * count)) == "a"
    levels = np.stack([np.full(count, -80.0), np.where(loud, LOUD, QUIET)], axis=1).astype(np.float32)
    latents = Gaussians(means.astype(np.float32), np.full(means.shape, np.log(0.01), np.float32))
    return Collected(latents, labels, levels, np.full(count, -1) if before is None else before, count)


def learned(of: Collected, epochs: int, **options: Any) -> Prior:
    model, examples = begin(of, 64, **{"with_levels": False, **options})
    fit(model, examples, epochs, seed=0)
    return Prior(model, guidance=0.0)


@pytest.fixture(scope="module")
def labelled() -> Prior:
    """Three a's, at their centre, for each b; b's are from x or, a little higher, from y, a's from x alone."""
    rng = np.random.default_rng(0)
    kinds = np.where(np.arange(1600) % 4 == 0, "b", "a")
    places = np.where((kinds == "b") & (np.arange(1600) % 8 == 0), "y", "x")
    means = np.array([CENTRES[kind] for kind in kinds]) + 0.5 * rng.normal(size=(1600, 2))
    means[kinds == "b", 1] += np.where(places[kinds == "b"] == "y", 0.5, -0.5)
    return learned(collected(means, {"kind": kinds, "place": places}), 60, with_levels=True)


def test_latents_of_a_label_are_where_the_data_s_are(labelled: Prior) -> None:
    for kind, centre in CENTRES.items():
        drawn = labelled.draw(300, 1, {"kind": kind})
        np.testing.assert_allclose(drawn.latents.mean(axis=0), centre, atol=0.4)
        np.testing.assert_allclose(drawn.latents.std(axis=0), (0.5, 0.5 if kind == "a" else 0.71), atol=0.2)
        assert {labels["kind"] for labels in drawn.labels} == {kind}
        np.testing.assert_array_equal(drawn.levels[:, 1], LOUD if kind == "a" else QUIET)


def test_of_few_latents_kinds_are_learned_as_well() -> None:
    rng = np.random.default_rng(0)
    kinds = np.arange(120) % 6
    centres = 3 * rng.normal(size=(6, 8))
    labels = {"kind": np.array([f"k{kind}" for kind in kinds])}
    model, examples = begin(collected(centres[kinds] + rng.normal(size=(120, 8)), labels), 64, with_levels=False)
    fit(model, examples, 150, seed=0)
    right = []
    for kind in range(6):
        drawn = Prior(model).draw(50, 1, {"kind": f"k{kind}"}).latents
        nearest = np.argmin(np.linalg.norm(drawn[:, np.newaxis] - centres, axis=2), axis=1)
        right.append((nearest == kind).mean())
    assert np.mean(right) > 0.9  # with one step an epoch it is 0.6


def test_what_is_not_named_is_as_often_as_in_the_data(labelled: Prior) -> None:
    rows, rng = labelled.rows, np.random.default_rng(2)

    def drawn(name: str, **labels: str) -> list[str]:
        return [rows.labels_of(row)[name] for row in rows.draw(labels, 2000, rng)]

    assert drawn("kind").count("a") / 2000 == pytest.approx(0.75, abs=0.04)
    assert drawn("place", kind="b").count("y") / 2000 == pytest.approx(0.5, abs=0.05)
    assert set(drawn("kind", place="y")) == {"b"}
    together = labelled.draw(3, 5, {"kind": "a", "place": "y"})  # which the data have not
    assert together.labels == [{"kind": "a", "place": "y"}] * 3


def test_levels_come_out_only_where_each_record_has_its_own_range(labelled: Prior) -> None:
    drawn = labelled.draw(3, 1, {"kind": "b"})
    assert drawn.ranges(ValueRange(-70.0, -3.0, per_record=True)) == [ValueRange(-80.0, QUIET, per_record=True)] * 3
    assert drawn.ranges(ValueRange(-70.0, -3.0)) == [ValueRange(-70.0, -3.0)] * 3


def test_the_seed_decides_and_temperature_narrows(labelled: Prior) -> None:
    first, again, other = (labelled.draw(200, seed, {"kind": "a"}).latents for seed in (6, 6, 7))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    labelled.temperature = 0.3
    narrow = labelled.draw(200, 6, {"kind": "a"}).latents
    labelled.temperature = 1.0
    assert narrow.std(axis=0).max() < 0.6 * first.std(axis=0).min()


def test_guidance_goes_away_from_what_is_not_of_the_label(labelled: Prior) -> None:
    plain = labelled.draw(300, 8, {"place": "y"}).latents
    labelled.guidance = 2.0
    guided = labelled.draw(300, 8, {"place": "y"}).latents
    labelled.guidance = 0.0
    assert plain[:, 1].mean() == pytest.approx(2.5, abs=0.25)
    assert guided[:, 1].mean() > plain[:, 1].mean() + 0.1


def test_what_was_led_towards_noise_is_led_back_and_steps_between_lie_nearer_to_the_data(labelled: Prior) -> None:
    """What lies halfway between the two centres is like none of the data."""
    ends = np.array(list(CENTRES.values()), np.float32)
    points = labelled.back(ends)
    np.testing.assert_allclose(labelled.forth(points), ends, atol=0.05)
    led, straight = (
        np.mean([min(np.linalg.norm(latent - end) for end in ends) for latent in steps])
        for steps in (labelled.forth(np.linspace(*points, 21)), np.linspace(*ends, 21))
    )
    assert led < 0.8 * straight


def test_what_was_not_learned_is_refused_with_what_was(labelled: Prior) -> None:
    with pytest.raises(SettingError, match=r"--label kind=c must be a value that the model learned, it has a, b"):
        labelled.draw(1, 0, {"kind": "c"})
    with pytest.raises(SettingError, match=r"--label size=c must name a label that the model learned, it has kind, pl"):
        labelled.draw(1, 0, {"size": "c"})


def test_a_variation_is_near_what_it_is_of_and_stays_among_the_data(labelled: Prior) -> None:
    latent, levels = np.array([4.3, -0.4], np.float32), (-80.0, LOUD)
    near = labelled.vary(latent, levels, 0.15, 200, seed=0)
    far = labelled.vary(latent, levels, 1.0, 200, seed=0)
    distances = [np.linalg.norm(each.latents - latent, axis=1).mean() for each in (near, far)]
    assert 0 < distances[0] < 0.7 < distances[1]
    to_data = np.min([np.linalg.norm(far.latents - centre, axis=1) for centre in CENTRES.values()], axis=0)
    assert np.mean(to_data < 2.0) > 0.9
    as_b = labelled.vary(latent, levels, 1.0, 100, seed=0, labels={"kind": "b"})
    np.testing.assert_allclose(as_b.latents.mean(axis=0), CENTRES["b"], atol=0.4)


@pytest.mark.slow
def test_kinds_are_found_where_there_are_no_labels() -> None:
    rng = np.random.default_rng(1)
    means = np.array(list(CENTRES.values()))[rng.integers(0, 2, 400)] + 0.3 * rng.normal(size=(400, 2))
    prior = learned(collected(means, {}), 100)
    assert prior.settings.num_clusters == 20
    latents = prior.draw(300, 0).latents
    nearest = np.min([np.linalg.norm(latents - centre, axis=1) for centre in CENTRES.values()], axis=0)
    assert np.mean(nearest < 1.5) > 0.85
    assert not any(prior.draw(3, 0).labels)


@pytest.mark.slow
def test_segments_follow_one_another_as_the_data_s_do() -> None:
    rng = np.random.default_rng(2)
    length, series = 6, 200
    steps = [rng.normal(size=(series, 1))]
    for _ in range(length - 1):
        steps.append(0.9 * steps[-1] + np.sqrt(1 - 0.81) * rng.normal(size=(series, 1)))
    means = np.stack(steps, axis=1).reshape(-1, 1)
    before = np.arange(len(means)) - 1
    before[::length] = -1
    prior = learned(collected(means, {}, before), 80)
    drawn = np.concatenate([part.latents for part in prior.sequences(200, 5, seed=0)], axis=1)
    correlation = np.corrcoef(drawn.T)
    np.testing.assert_allclose(drawn.std(axis=0), 1.0, atol=0.2)
    np.testing.assert_allclose(np.diag(correlation, 1), 0.9, atol=0.08)
    assert correlation[0, 3] == pytest.approx(0.9**3, abs=0.15)
    (following,) = prior.follow(np.array([2.0], np.float32), (-80.0, LOUD), 1, 100, seed=0)
    assert following.latents.mean() == pytest.approx(1.8, abs=0.3)


def test_a_flow_goes_on_from_another_as_far_as_they_are_alike() -> None:
    rng = np.random.default_rng(4)
    kinds = np.array(["a", "b", "c", ""] * 30)
    old, _ = begin(collected(rng.normal(size=(120, 2)), {"kind": kinds}), 16, with_levels=False, seed=1)
    fresh = np.array(["0", "b", "c", "d"] * 30)
    model, _ = begin(collected(rng.normal(size=(120, 2)), {"kind": fresh}), 16, with_levels=False, seed=2, start=old)
    ours, theirs = (each.velocity.get_layer("class_0").get_weights()[0] for each in (model, old))
    np.testing.assert_array_equal(ours[[0, 2, 3]], theirs[[0, 2, 3]])  # unknown, b and c
    assert not np.array_equal(ours[1], theirs[1])
    np.testing.assert_array_equal(*(each.velocity.get_layer("in").get_weights()[0] for each in (model, old)))


ALL = PriorSettings(3, {"kind": ("a", "b")}, 4, True, True, num_rows=5, width=8, blocks=2)


@pytest.mark.parametrize("settings", [ALL, PriorSettings(2, width=4, blocks=1), PriorSettings(2, num_clusters=3)])
def test_the_number_of_weights_is_known_from_the_settings(settings: PriorSettings) -> None:
    assert count_weights(settings) == FlowModel(settings.to_dict()).count_params()


@dataclasses.dataclass
class Told:
    """What stands for a bundle."""

    prior: LearnedPrior | None


def test_a_prior_file_that_is_not_as_it_must_be_is_refused_by_name(tmp_path: Path) -> None:
    model, bundle = FlowModel(ALL.to_dict()), Told(LearnedPrior(FLOW, ALL))
    with pytest.raises(SettingError, match=r"prior\.keras must be a learned prior: no such file"):
        load_flow(str(tmp_path), bundle)  # type: ignore[arg-type]
    save_flow(model, tmp_path)
    path = tmp_path / PRIOR_FILE
    keras.saving.load_model(path, safe_mode=True)
    read = load_flow(str(tmp_path), bundle)  # type: ignore[arg-type]
    assert read is not None
    assert read.settings == ALL
    assert load_flow(str(tmp_path), Told(None)) is None  # type: ignore[arg-type]
    with pytest.raises(SettingError, match=r"prior\.keras and bundle\.json must be of one prior"):
        load_flow(str(tmp_path), Told(LearnedPrior(FLOW, PriorSettings(2))))  # type: ignore[arg-type]
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for change, named in (
        ({"width": 100_000}, "width=100000 must be an integer from 1 to 65536"),
        ({"width": 60_000}, "must hold as many weights as its settings ask for"),
        ({"labels": {"kind": []}}, "labels kind"),
        ({"labels": 3}, "must be an object"),
        ({"more": 1}, "must be one of"),
    ):
        values = json.loads(parts["config.json"])
        values["config"]["settings"] |= change
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in (parts | {"config.json": json.dumps(values).encode()}).items():
                archive.writestr(name, data)
        with pytest.raises(AudioVaeError, match=named):
            load_flow(str(tmp_path), bundle)  # type: ignore[arg-type]
