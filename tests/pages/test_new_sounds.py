"""What the pages and `evaluate` show of a learned prior."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.dataset_writer import write_dataset
from tests.helpers.tones_model import CONFIG, tones, write_model
from vae_model import learn_prior, write_report
from vae_model.commands import evaluate
from vae_model.pages.demo_page import recognised


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A model with a prior that was learned for a moment, and its dataset."""
    folder = tmp_path_factory.mktemp("new")
    dataset = write_dataset(folder / "dataset", {"train": tones(80, 0), "test": tones(20, 1)}, CONFIG)
    model = write_model(folder / "model", dataset)
    learn_prior(model, dataset, epochs=3, width=16, quiet=True)
    return model, dataset


@pytest.mark.slow
def test_a_report_has_a_row_of_new_sounds_for_each_label(places: tuple[str, str], tmp_path: Path) -> None:
    model, dataset = places
    write_report(model, dataset, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    section = page.split('<section id="new-sounds"')[1].split("<section")[0]
    for row in ("pitch 1", "pitch 4", "last 0", "last 9"):
        assert row in section
    for figure in ("Precision of new sounds", "Recall of new sounds", "New sounds: right last", "Inception score:"):
        assert figure in page


def test_evaluate_measures_new_sounds_beside_real_ones(
    places: tuple[str, str], command: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    found = command("evaluate", *places)["new_sounds"]
    assert (found["num"], found["made"]) == (20, "learned")
    for crowd in ("real", "reconstruction", "learned", "gaussian"):
        assert 0 <= found[crowd]["precision"] <= 1
        assert found[crowd]["frechet"] >= 0
    assert found["real"]["frechet"] == pytest.approx(0, abs=1e-6)
    assert found["real"]["labels"]["last"]["accuracy"] > 0.9
    assert 0 <= found["learned"]["labels"]["last"]["accuracy"] <= 1
    assert found["gaussian"]["labels"]["last"]["accuracy"] is None
    assert found["nearest_ratio"] > 0
    assert evaluate.main([*places]) == 0
    said = capsys.readouterr().out
    for line in ("new sounds, 20 of each", "  learned prior", "  Gaussian", "by their last"):
        assert line in said


def test_copies_are_told() -> None:
    crowd = {"frechet": 1.0, "precision": 1.0, "recall": 1.0, "nearest_mse": 0.1, "labels": {}}
    found = {"num": 8, "made": "gaussian", "nearest_ratio": 0.3, "copies": True}
    lines = evaluate._new_sound_lines({**found, "real": crowd, "reconstruction": crowd, "gaussian": crowd})
    assert lines[-1].startswith("warning: new sounds are copies: they are 0.30 as far from the nearest training sound")


def test_the_demo_says_how_many_are_recognised() -> None:
    def crowd(timbre: float) -> dict[str, Any]:
        return {"labels": {"timbre": {"accuracy": timbre}}}

    found = {"num": 40, "real": crowd(0.95), "learned": crowd(0.9)}
    told = recognised({"new_sounds": found})
    assert told == " Of 40 new sounds 90% are recognised as their timbre, of held-out ones 95%."
    assert recognised({"new_sounds": None}) == ""
