"""Files from anybody, changed at random: each reader takes them or says in a line what is wrong, and never more."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.audio.sources import list_sources
from pipelines.dataset.checking import check_bytes, check_dataset, check_values
from pipelines.dataset.facts import describe_dataset
from pipelines.dataset.folder import open_dataset, read_records
from pipelines.dataset.framing import check_lengths, frame, read_frames
from pipelines.dataset.records import parse, source_of
from pipelines.errors import AudioVaeError
from pipelines.plan.changes import compare, kept_shards
from pipelines.plan.policy import Policy
from pipelines.runs.pruning import find_unused
from pipelines.settings_file import read_settings
from tests.helpers.hostile_records import CONFIG, SHARD, write_whole
from tests.helpers.mutants import changed_bytes, changed_documents, json_bytes
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import ModelConfig, TrainConfig
from vae_model.model_folder.settings_of_file import file_settings
from vae_model.model_folder.value_range import ValueRange
from vae_model.rerun import state
from vae_model.rerun.config import read_config
from vae_model.rerun.state import PROMOTED, ModelEntry, StageEntry, State

QUICK, MANY = 50, 5_000
_SETTINGS = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
NAME = "000001-20260301T023000Z"
Use = Callable[[Path, Any], None]


def use_entry(folder: Path, document: Any) -> None:
    """Open a dataset, describe it, check it, plan a run over it and look for what it no longer uses."""
    (folder / "dataset.json").write_bytes(json_bytes(document))
    dataset = open_dataset(str(folder))
    json.dumps(describe_dataset(dataset).to_dict())
    check_dataset(dataset)
    changes = compare(list_sources([str(folder / "in")]), dataset, Policy(), dataset.config)
    kept_shards(dataset, changes)
    find_unused(dataset)
    for shard in dataset.shards:
        assert (folder / shard.path).resolve().is_relative_to(folder.resolve() / "runs")
        check_bytes(shard, str(folder / shard.path))
    for split in dataset.splits:
        list(dataset.records(split))


def use_manifest(folder: Path, data: bytes) -> None:
    (manifest,) = folder.glob("runs/*/manifest.parquet")
    manifest.write_bytes(data)
    dataset = open_dataset(str(folder))
    dataset.manifest()
    json.dumps(describe_dataset(dataset).to_dict())
    check_dataset(dataset)
    compare(list_sources([str(folder / "in")]), dataset, Policy(), dataset.config)


def use_record(folder: Path, data: bytes) -> None:
    """Read a record whose checksums are right, whatever is in it."""
    dataset = open_dataset(str(folder))
    (folder / SHARD).write_bytes(frame(data))
    check_values(str(folder / SHARD), dataset)
    for use in (lambda: parse(data, dataset.record), lambda: source_of(data)):
        with suppress(AudioVaeError):
            use()
    list(read_records(str(folder / SHARD), dataset.record))


def use_shard(folder: Path, data: bytes) -> None:
    """Read a shard whose framing is anything."""
    dataset = open_dataset(str(folder))
    (folder / SHARD).write_bytes(data)
    check_bytes(dataset.shards[0], str(folder / SHARD))
    with suppress(AudioVaeError):
        list(read_records(str(folder / SHARD), dataset.record))
    check_lengths(str(folder / SHARD), len(data), dataset.shards[0].num_examples, SHARD)


def use_bundle(folder: Path, document: Any) -> None:
    (folder / "bundle.json").write_bytes(json_bytes(document))
    bundle = Bundle.load(folder)
    Bundle.from_dict(json.loads(json.dumps(bundle.to_dict())))
    bundle.check_fits(open_dataset(str(folder)), str(folder))


def use_state(folder: Path, document: Any) -> None:
    (folder / "state.json").write_bytes(json_bytes(document))
    loaded = state.load(str(folder))
    assert State.to_json(loaded)
    for model in (loaded.in_use, loaded.newest, loaded.candidate, loaded.last_trained):
        assert model is None or model.name in {each.name for each in loaded.models}


def use_yaml(folder: Path, data: bytes) -> None:
    path = folder / "settings.yaml"
    path.write_bytes(data)
    file_settings(read_settings(path), str(path))


def use_rerun_file(folder: Path, data: bytes) -> None:
    path = folder / "rerun.yaml"
    path.write_bytes(data)
    read_config(str(path))


def bundle_of(folder: Path) -> Any:
    dataset = open_dataset(str(folder))
    model = ModelConfig(input_shape=dataset.record.shape)
    return json.loads(json.dumps(Bundle.of(dataset, model, TrainConfig(), ValueRange(-80.0, 20.0)).to_dict()))


def a_state() -> Any:
    models = (
        ModelEntry(NAME, None, "d", "s", "2026-03-01T02:30:00+00:00", PROMOTED, "", {"loss": 1.0}, {"rmse_db": 2}),
    )
    stages = {"train": StageEntry("done", "new", "d", "2026-03-01T02:30:00+00:00", {"model": NAME})}
    return json.loads(State(NAME, models, stages, ("000002-20260301T023000Z",)).to_json())


SETTINGS = b"""preset: tiny
epochs: 3
conv_filters: [8, 16]
conv_strides: [2, [2, 1]]
conv_kernels: [3, 3]
learning_rate: 5e-4
"""
RERUN = {
    "workspace": "w",
    "inputs": ["a", "s3://b/c"],
    "models": "m",
    "beam": ["--runner=DirectRunner"],
    "report": True,
    "preprocess": {"preset": "tiny", "shard_mb": 4, "split": "validation=0.1", "mono": True},
    "train": {"preset": "tiny", "epochs": 3},
    "retrain": {"max_age": "7d", "epochs": 2, "learning_rate": 1e-3},
    "promote": {"keep_models": 2, "tolerance": 0.1, "split": "test"},
}
TEXTS = st.lists(
    st.sampled_from(["a", "epochs", "preset", ": ", "- ", "\n", "  ", "[", "]", "{", "}", "&a ", "*a", "<<: ", "!!int ",
                     "!!timestamp ", "!!binary ", "!!float ", "!!bool ", "!!set ", "? ", "'", '"', "|", ">", "#", "%",
                     "1:2:3", "0x", "1e999", "2026-99-99", "\\ud800", "é", "\t", "---\n", "9" * 5000, "~", ".inf"]),
    max_size=30,
).map(lambda parts: "".join(parts).encode())  # fmt: skip


def kinds(folder: Path) -> dict[str, tuple[Use, st.SearchStrategy[Any]]]:
    """What is changed and how it is used, by name."""
    entry = json.loads((folder / "dataset.json").read_text())
    (manifest,) = folder.glob("runs/*/manifest.parquet")
    shard = (folder / SHARD).read_bytes()
    with (folder / SHARD).open("rb") as file:
        record = next(read_frames(file, SHARD))
    rerun = changed_documents(RERUN).map(lambda values: yaml.safe_dump(values, allow_unicode=True).encode())
    return {
        "dataset.json": (use_entry, changed_documents(entry)),
        "manifest": (use_manifest, changed_bytes(manifest.read_bytes())),
        "record": (use_record, changed_bytes(record)),
        "head of a record": (use_record, changed_bytes(record[:40]).map(lambda head: head + record[40:])),
        "shard": (use_shard, changed_bytes(shard)),
        "bundle.json": (use_bundle, changed_documents(bundle_of(folder))),
        "state.json": (use_state, changed_documents(a_state())),
        "YAML": (use_yaml, st.one_of(changed_bytes(SETTINGS), TEXTS)),
        "rerun.yaml": (use_rerun_file, st.one_of(rerun, TEXTS)),
    }


KINDS = (
    *("dataset.json", "manifest", "record", "head of a record", "shard", "bundle.json", "state.json", "YAML"),
    "rerun.yaml",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write_whole(tmp_path_factory.mktemp("mutants") / "ds")
    (made / "in").mkdir()
    (made / "in" / "0.wav").write_bytes(b"RIFF")
    return made


@pytest.mark.parametrize("count", [QUICK, pytest.param(MANY, marks=pytest.mark.slow)], ids=["a few", "thousands"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_file_is_taken_or_refused_in_a_line(folder: Path, kind: str, count: int) -> None:
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    use, changes = kinds(folder)[kind]

    lines: list[str] = []

    @settings(_SETTINGS, max_examples=count)
    @given(changes)
    def check(changed: Any) -> None:
        try:
            use(folder, changed)
        except AudioVaeError as error:
            lines.append(str(error))

    try:
        check()
    finally:
        for path in set(folder.rglob("*")) - set(kept):
            if path.is_file():
                path.unlink()
        for path, data in kept.items():
            path.write_bytes(data)
    assert [line for line in lines if not 0 < len(line.encode()) < 3_000] == []
    assert len(lines) > count // 10
    assert CONFIG.fingerprint == open_dataset(str(folder)).fingerprint
