"""Training on shards from anybody ends in a line that names the file and the record, never by a signal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from pipelines.dataset.checking import damage_in
from pipelines.dataset.folder import open_dataset
from pipelines.errors import WorkError
from tests.helpers.hostile_records import (
    LENGTHS,
    ODD_RECORDS,
    SHARD,
    change_record,
    integers,
    replace_shard,
    with_length,
    write_whole,
)
from vae_model.model_folder.config import ModelConfig, TrainConfig
from vae_model.model_folder.value_range import ValueRange
from vae_model.training.data import Examples
from vae_model.training.trainer import train_model

MODEL = ModelConfig(conv_filters=(4, 3), conv_kernels=(3, 3), conv_strides=(2, 2), latent_space_dim=3)
OF_CELLS = ("NaN", "beyond 1")
"""What only those who read the cells can see."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whole(tmp_path_factory.mktemp("data") / "ds")


@pytest.fixture
def dataset(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "ds"))


def read(dataset: Path, cache_mb: int) -> int:
    """Read an epoch as training does; returns its examples."""
    examples = Examples(open_dataset(str(dataset)), "train", cache_mb)
    return sum(len(batch) for batch in examples.batches(ValueRange(-80.0, 20.0), 4))


@pytest.mark.parametrize("cache_mb", [0, 64])
def test_sound_records_are_read(sound: Path, cache_mb: int) -> None:
    assert read(sound, cache_mb) == 12


@pytest.mark.parametrize("cache_mb", [0, 64])
@pytest.mark.parametrize("kind", [kind for kind in ODD_RECORDS if kind not in OF_CELLS])
def test_tensorflow_refuses_what_the_reader_refuses(dataset: Path, kind: str, cache_mb: int) -> None:
    change, rule = ODD_RECORDS[kind]
    change_record(dataset, change)
    with pytest.raises(tf.errors.OpError):
        read(dataset, cache_mb)
    with pytest.raises(WorkError, match=rule):
        raise damage_in(open_dataset(str(dataset))) or AssertionError


@pytest.mark.parametrize("cache_mb", [0, 64])
@pytest.mark.parametrize("length", LENGTHS)
def test_a_length_that_the_file_does_not_have_never_reaches_tensorflow(
    dataset: Path, length: int, cache_mb: int
) -> None:
    replace_shard(dataset, with_length((dataset / SHARD).read_bytes(), length))
    with pytest.raises(tf.errors.OpError, match=r"does not fit into its \d+ bytes|records, dataset\.json says"):
        read(dataset, cache_mb)


@pytest.mark.parametrize("kind", ["label no UTF-8", "min_db -inf", "NaN", "length 2**60", "numbered wrongly"])
def test_train_says_which_record_it_is(dataset: Path, tmp_path: Path, kind: str) -> None:
    rule = r"record at byte 0|must be numbered"
    if kind == "length 2**60":
        replace_shard(dataset, with_length((dataset / SHARD).read_bytes(), 2**60))
        rule = "a record of 1,152,921,504,606,846,976 bytes cannot be in it"
    elif kind == "numbered wrongly":
        change_record(dataset, integers("segment", 7))
    else:
        change, rule = ODD_RECORDS[kind]
        change_record(dataset, change)
    with pytest.raises(WorkError, match=rule) as found:
        train_model(str(dataset), str(tmp_path / "model"), MODEL, TrainConfig(epochs=1, batch_size=4), quiet=True)
    assert SHARD in str(found.value)
    assert "learning-rate" not in str(found.value)
