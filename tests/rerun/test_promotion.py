"""Whether to train and whether to promote, decided without a model at hand."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config import AudioConfig, DatasetConfig, SpectrogramConfig
from pipelines.dataset.folder import MANIFEST, open_dataset
from tests.helpers.dataset_writer import RUN, noises, write_dataset
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.value_range import ValueRange
from vae_model.rerun import known_sources
from vae_model.rerun.config import Promote, RerunConfig, read_config
from vae_model.rerun.promotion import Figures, judge
from vae_model.rerun.retraining import BEGIN, RESUME, SKIP, Decision, decide
from vae_model.rerun.state import PROMOTED, REJECTED, TRAINING, ModelEntry, State

OLD = {"rmse_db": 5.0, "loss": 200.0, "scale": [-80.0, 0.0, False, 1e5]}


def candidate(health: str = "healthy", advice: str = "", **figures: Any) -> Figures:
    return Figures("new", {**OLD, **figures}, health, advice)


@pytest.mark.parametrize(
    ("new", "promote", "promoted"),
    [
        (5.0, Promote(), True),
        (5.099, Promote(), True),
        (5.101, Promote(), False),
        (5.0, Promote(tolerance=0.0), True),
        (4.9, Promote(tolerance=-0.05), False),
        (4.7, Promote(tolerance=-0.05), True),
        (float("nan"), Promote(), False),
    ],
)
def test_the_tolerance(new: float, promote: Promote, promoted: bool) -> None:
    verdict = judge(candidate(rmse_db=new), Figures("old", OLD), promote)
    assert verdict.promoted is promoted
    assert verdict.reason.startswith("promoted: " if promoted else "not promoted: ")


def test_a_loss_below_zero_has_the_tolerance_on_its_own_side() -> None:
    """A learned variance makes losses negative: a part of one is taken of its size."""
    old = Figures("old", {**OLD, "loss": -100.0})
    assert judge(candidate(loss=-99.0), old, Promote(metric="loss")).promoted
    assert not judge(candidate(loss=-97.0), old, Promote(metric="loss")).promoted


def test_losses_in_other_units_are_not_compared() -> None:
    worse = candidate(loss=900.0, rmse_db=4.0, scale=[-80.0, 0.0, False, 1e6])
    assert judge(worse, Figures("old", OLD), Promote(metric="loss")).reason.startswith("promoted: rmse_db 4 to 5")
    assert not judge(candidate(loss=900.0, rmse_db=4.0), Figures("old", OLD), Promote(metric="loss")).promoted


def test_health() -> None:
    ill = candidate("collapsed", "the latents have collapsed: KL is 0.1 nats", rmse_db=1.0)
    for promoted in (None, Figures("old", OLD)):
        verdict = judge(ill, promoted, Promote())
        assert verdict == type(verdict)(False, "not promoted: the latents have collapsed: KL is 0.1 nats")
    assert judge(ill, Figures("old", OLD, "collapsed"), Promote()).promoted  # no worse than what is there
    assert judge(candidate(), None, Promote()).reason == "promoted: the first model, rmse_db 5"


class Story:
    """A dataset of 12 training records, of which a model has learned from those of some sources."""

    def __init__(self, folder: Path, text: str) -> None:
        path = folder / "rerun.yaml"
        path.write_text(f"workspace: work\ninputs: [in]\ntrain: {{preset: tiny}}\n{text}")
        self.config: RerunConfig = read_config(str(path))
        data = DatasetConfig(AudioConfig(sample_rate=4000, segment_seconds=0.25), SpectrogramConfig(64, 64))
        self.dataset = open_dataset(write_dataset(folder / "dataset", {"train": noises(12)}, data))
        self.made_with: dict[str, Any] = {}  # what the promoted model has other than the file
        rows = [{"source": f"{i}.wav", "size": 9, "stamp": "1", "split": "train", "num_segments": 1} for i in range(12)]
        more = {"status": "written", "shard": "train-00000.tfrecord", "seconds": 0.25, "max_db": 0.0}
        manifest = pa.Table.from_pylist([row | more for row in rows], schema=MANIFEST)
        pq.write_table(manifest, folder / "dataset" / "runs" / RUN / "manifest.parquet")
        learned = manifest.slice(0, 5).select(known_sources.COLUMNS)
        known_sources.write(known_sources.uri_of(self.config.workspace, self.model().name), learned)
        self.now = datetime.datetime(2026, 3, 8, 2, 30, tzinfo=datetime.timezone.utc)

    def model(self, **changes: Any) -> ModelEntry:
        began = "2026-03-01T02:30:00+00:00"
        known = {"name": "000001-20260301T023000Z", "start": None, "dataset": "before", "began": began}
        return ModelEntry(**{**known, "settings": self.config.settings_digest, "status": PROMOTED, **changes})

    def decide(self, *models: ModelEntry, is_there: bool = True) -> Decision:
        promoted = next((model.name for model in models if model.status == PROMOTED), None)
        first = self.config.first
        model = dataclasses.replace(first.model, input_shape=self.dataset.record.shape, **self.made_with)
        bundle = Bundle.of(self.dataset, model, first.train, ValueRange(-80.0, 0.0)) if promoted else None
        return decide(State(promoted, models), self.config, self.dataset, bundle, self.now, is_there=is_there)


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path, "")


def test_the_first_training(story: Story) -> None:
    assert story.decide() == Decision(BEGIN, "there is no model yet", None)


def test_nothing_new(story: Story) -> None:
    model = story.model(dataset=story.dataset.digest)
    assert story.decide(model) == Decision(SKIP, f"nothing changed since model {model.name}")


def test_other_settings(story: Story) -> None:
    trained = story.model(dataset=story.dataset.digest, settings="other")
    assert story.decide(trained) == Decision(BEGIN, "the settings of train changed", trained.name)
    story.made_with = {"latent_space_dim": 3}
    reason = "the settings of train changed; from scratch: another architecture, latent_space_dim: 3 != 64"
    assert story.decide(trained) == Decision(BEGIN, reason, None)


def test_an_interrupted_training_goes_on_if_it_can(story: Story) -> None:
    old = story.model()
    begun = story.model(name="000002-20260308T020000Z", status=TRAINING, dataset=story.dataset.digest, start=old.name)
    assert story.decide(old, begun) == Decision(RESUME, f"model {begun.name} was interrupted", old.name)
    assert story.decide(begun, is_there=False).action == BEGIN


def test_a_rejected_model_is_not_tried_again(story: Story) -> None:
    tried = story.model(name="000002-20260308T020000Z", status=REJECTED, dataset=story.dataset.digest)
    assert story.decide(story.model(), tried).action == SKIP


@pytest.mark.parametrize(
    ("text", "action", "reason"),
    [
        ("retrain: {min_new_examples: 7}", BEGIN, "7 new training records, 7 wanted"),
        ("retrain: {min_new_examples: 8}", SKIP, "7 new training records, 8 wanted; last training 7 days ago"),
        ("retrain: {min_new_examples: 8, max_age: 7d}", BEGIN, "the last training was 7 days ago, 7d allowed"),
        ("retrain: {min_new_examples: 8, max_age: 8d}", SKIP, "7 new training records, 8 wanted; last training"),
    ],
)
def test_enough_is_new_or_the_model_is_old(text: str, action: str, reason: str, tmp_path: Path) -> None:
    story = Story(tmp_path, text)
    decision = story.decide(story.model())
    assert decision.action == action
    assert decision.reason.startswith(reason)
    assert decision.start == (story.model().name if action == BEGIN else None)


def test_from_scratch_if_asked_to(tmp_path: Path) -> None:
    story = Story(tmp_path, "retrain: {start: scratch}")
    assert story.decide(story.model()) == Decision(BEGIN, "7 new training records, 1 wanted", None)
