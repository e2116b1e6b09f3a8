"""A folder of models that several workspaces use: none touches what another one made, and no state names a way out."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.dataset.folder import open_dataset
from pipelines.errors import SettingError
from tests.helpers.dataset_state import snapshot
from vae_model.rerun import ownership, stages, state
from vae_model.rerun.config import read_config
from vae_model.rerun.stages import Job
from vae_model.rerun.state import PROMOTED, REJECTED, ModelEntry, State

BEGAN = "2026-03-01T02:30:00+00:00"


def name(number: int) -> str:
    return f"{number:06d}-20260301T023000Z"


def entry(number: int, status: str = REJECTED) -> ModelEntry:
    return ModelEntry(name(number), None, "data", "settings", BEGAN, status)


def job(folder: Path, workspace: str, *models: ModelEntry, said: list[str] | None = None, **settings: Any) -> Job:
    """A rerun in a workspace whose models lie in `shared`."""
    path = folder / f"{workspace}.yaml"
    path.write_text(yaml.safe_dump({"workspace": workspace, "inputs": ["in"], "models": "shared", **settings}))
    config = read_config(str(path))
    (folder / workspace).mkdir(exist_ok=True)
    promoted = next((model.name for model in models if model.status == PROMOTED), None)
    begun = Job(config, State(), state.version(config.workspace), (said if said is not None else []).append)
    begun.save(State(promoted, models))
    return begun


def make_model(models: Path, number: int, workspace: Path | None = None) -> Path:
    """A model's folder with something in it, of a workspace or of nobody that is known."""
    if workspace is not None:
        assert ownership.claim(str(models), name(number), str(workspace))
    (models / name(number)).mkdir(parents=True, exist_ok=True)
    (models / name(number) / "model.keras").write_text("weights")
    return models / name(number)


def test_models_of_another_workspace_stay(tmp_path: Path) -> None:
    models = tmp_path / "shared"
    theirs = [make_model(models, 1, tmp_path / "theirs"), make_model(models, 2), make_model(models, 7)]
    mine = [make_model(models, number, tmp_path / "mine") for number in (11, 12, 13)]
    (models / "current").symlink_to(name(1))
    before = [snapshot(folder) for folder in theirs]
    said: list[str] = []
    at_work = job(tmp_path, "mine", entry(1), entry(11), entry(12), entry(13, PROMOTED), said=said)
    at_work.save(State(name(13), (entry(13, PROMOTED),)))
    stages.promote(at_work)
    assert [folder.exists() for folder in mine] == [False, False, True]
    assert [snapshot(folder) for folder in theirs] == before
    assert os.readlink(models / "current") == name(1)
    assert said == [f"{models / 'current'} stays, as it leads to model {name(1)} of another workspace"]
    assert state.load(str(tmp_path / "mine")).leaving == ()


def test_a_name_that_this_state_never_had_stays(tmp_path: Path) -> None:
    models = tmp_path / "shared"
    kept = [make_model(models, 5), make_model(models, 6, tmp_path / "mine")]
    make_model(models, 9)
    at_work = job(tmp_path, "mine", entry(9), entry(10, PROMOTED))
    at_work.save(State(name(10), (entry(10, PROMOTED),)))  # a model from before there were owners goes as ever
    stages.promote(at_work)
    assert [folder.exists() for folder in kept] == [True, True]
    assert not (models / name(9)).exists()


def test_a_model_behind_a_link_stays(tmp_path: Path) -> None:
    models, elsewhere = tmp_path / "shared", tmp_path / "elsewhere"
    make_model(tmp_path, 3).rename(elsewhere)
    models.mkdir()
    (models / name(3)).symlink_to(elsewhere)
    at_work = job(tmp_path, "mine", entry(3), entry(4, PROMOTED))
    at_work.save(State(name(4), (entry(4, PROMOTED),)))
    stages.promote(at_work)
    assert (elsewhere / "model.keras").exists()


def test_a_removal_that_was_cut_off_is_finished(tmp_path: Path) -> None:
    models = tmp_path / "shared"
    gone = make_model(models, 1, tmp_path / "mine")
    at_work = job(tmp_path, "mine", entry(1), entry(2, PROMOTED))
    at_work.save(State(name(2), (entry(2, PROMOTED),)))
    again = Job(at_work.config, state.load(str(tmp_path / "mine")), state.version(str(tmp_path / "mine")), print)
    assert again.state.leaving == (name(1),)
    stages.promote(again)
    assert not gone.exists()


def test_two_that_begin_in_the_same_second_take_two_names(tone_dataset: Path, tmp_path: Path) -> None:
    dataset = str(tone_dataset)
    jobs = [job(tmp_path, workspace, dataset=dataset) for workspace in ("a", "b", "c")]
    names = [stages._begin(each, open_dataset(dataset), None).name for each in jobs]
    assert len(set(names)) == 3
    assert {path.name for path in (tmp_path / "shared").iterdir()} == set(names)
    for each, own in zip(jobs, names, strict=True):
        assert not ownership.is_of_another(each.config.models, own, each.config.workspace)
        assert sum(ownership.is_of_another(each.config.models, other, each.config.workspace) for other in names) == 2


def test_a_workspace_that_is_moved_with_its_models_keeps_them(tmp_path: Path) -> None:
    workspace = tmp_path / "work"
    make_model(workspace / "models", 1, workspace)
    shutil.move(workspace, tmp_path / "moved")
    moved = tmp_path / "moved"
    assert not ownership.is_of_another(str(moved / "models"), name(1), str(moved))
    assert ownership.is_of_another(str(moved / "models"), name(1), str(tmp_path / "another"))


def test_owners_on_a_store(tmp_path: Path) -> None:
    models = f"memory://owners-{tmp_path.name}/models"
    assert ownership.claim(models, name(1), "memory://a")
    assert not ownership.claim(models, name(1), "memory://b")
    assert ownership.is_of_another(models, name(1), "memory://b")
    ownership.remove(models, name(1), "memory://b")
    assert ownership.owner(models, name(1)) == "memory://a"
    ownership.remove(models, name(1), "memory://a")
    assert ownership.owner(models, name(1)) is None


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"models": [{"name": "../../../x"}]}, r"models\[0\]\.name='../../../x' must be a model's"),
        ({"models": [{"start": "../x"}]}, r"models\[0\]\.start='../x' must be a model's"),
        ({"models": [{"name": f"{name(1)}/.."}]}, r"models\[0\]\.name=.* must be a model's"),
        ({"models": [{}, {}]}, "models of different names"),
        ({"models": [{"status": "done"}]}, r"models\[0\]\.status='done' must be one of training"),
        ({"models": [{"began": "yesterday"}]}, r"models\[0\]\.began='yesterday' must be a moment"),
        ({"models": [{"evaluation": []}]}, r"models\[0\]\.evaluation=\[\] must be an object"),
        ({"models": {}}, "models={} must be a list"),
        ({"leaving": ["../../../x"]}, r"leaving\[0\]='../../../x' must be a model's"),
        ({"promoted": "../../../x"}, "promoted='../../../x' must be null or the name of one of its models"),
        ({"stages": {"train": []}}, r"stages\.train=\[\] must be an object"),
        ({"format_version": 10**400}, "format_version=an integer of 1,329 bits must be 1"),
    ],
)
def test_a_state_of_another_kind_is_refused(tmp_path: Path, change: dict[str, Any], rule: str) -> None:
    values = json.loads(State(name(1), (entry(1, PROMOTED),)).to_json())
    if isinstance(change.get("models"), list):
        change = {"models": [values["models"][0] | each for each in change["models"]]}
    (tmp_path / "state.json").write_text(json.dumps(values | change))
    with pytest.raises(SettingError, match=rule):
        state.load(str(tmp_path))
