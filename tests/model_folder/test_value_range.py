"""What 0 and 1 stand for: decibels there and back, of arrays and of tensors, of one range and of a range a record."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipelines.dataset.records import Record
from vae_model.model_folder.value_range import ValueRange

VALUES = np.random.default_rng(0).random((3, 4, 5, 1), np.float32)
LOW, HIGH = np.array([-80.3, -77.7, -100.0]), np.array([12.4, -3.1, -100.0])


def record(low: float, high: float, values: np.ndarray = VALUES[0]) -> Record:
    return Record(values, low, high, "a.wav", 0, 0.0, 5)


def test_0_and_1_are_the_bounds_and_the_way_back_is_the_inverse() -> None:
    bounds = ValueRange(-80.0, 20.0)
    assert bounds.to_db(np.array([0, 0.5, 1], np.float32)).tolist() == [-80.0, -30.0, 20.0]
    assert bounds.from_db(np.array([-90, -80, 20], np.float32)).tolist() == pytest.approx([-0.1, 0.0, 1.0])
    np.testing.assert_allclose(bounds.from_db(bounds.to_db(VALUES)), VALUES, atol=1e-6)
    assert bounds.to_db(VALUES).dtype == bounds.from_db(VALUES).dtype == np.float32


@pytest.mark.parametrize("bounds", [ValueRange(-80.3, 12.4), ValueRange.of_each(LOW, HIGH)], ids=["one", "each"])
def test_a_tensor_in_a_traced_function_becomes_what_an_array_does(bounds: ValueRange) -> None:
    to_db, from_db = tf.function(bounds.to_db), tf.function(bounds.from_db)
    np.testing.assert_array_equal(to_db(tf.constant(VALUES)).numpy(), bounds.to_db(VALUES))
    np.testing.assert_allclose(from_db(tf.constant(VALUES)).numpy(), bounds.from_db(VALUES), rtol=1e-6)


def test_bounds_that_are_tensors_are_those_of_arrays() -> None:
    low, high = LOW.astype(np.float32), HIGH.astype(np.float32)
    arrays, tensors = ValueRange.of_each(low, high), ValueRange.of_each(tf.constant(low), tf.constant(high))
    for way in ("to_db", "from_db"):
        np.testing.assert_array_equal(getattr(tensors, way)(VALUES).numpy(), getattr(arrays, way)(VALUES))


def test_each_record_of_many_is_scaled_as_alone() -> None:
    together = ValueRange.of_each(LOW, HIGH)
    for row, (low, high) in enumerate(zip(LOW.tolist(), HIGH.tolist(), strict=True)):
        alone = ValueRange(low, high, per_record=True)
        np.testing.assert_array_equal(together.to_db(VALUES)[row], alone.to_db(VALUES[row]))
        np.testing.assert_array_equal(together.from_db(VALUES)[row], alone.from_db(VALUES[row]))
    some = together.rows([2, 0])
    np.testing.assert_array_equal(some.to_db(VALUES[[2, 0]]), together.to_db(VALUES)[[2, 0]])


def test_a_range_without_extent_divides_by_nothing() -> None:
    silent = np.full((2, 2), -100.0, np.float32)
    assert not ValueRange(-100.0, -100.0).from_db(silent).any()
    assert not ValueRange(-100.0, -100.0, per_record=True).from_db(silent).any()
    np.testing.assert_array_equal(ValueRange(-100.0, -100.0, per_record=True).to_db(VALUES), np.full_like(VALUES, -100))


def test_a_record_is_given_on_its_own_range_or_on_the_model_s() -> None:
    given = record(-70.0, -20.0)
    np.testing.assert_allclose(given.log_spectrogram, VALUES[0] * 50 - 70, atol=1e-5)
    own, fixed = ValueRange(-80.0, 0.0, per_record=True), ValueRange(-120.0, -20.0)
    assert own.of_record(given) == ValueRange(-70.0, -20.0, per_record=True)
    assert fixed.of_record(given) == fixed
    np.testing.assert_allclose(own.model_input(given), VALUES[0], atol=1e-6)
    np.testing.assert_allclose(fixed.model_input(given), 0.5 * VALUES[0] + 0.5, atol=1e-6)


def test_silence_is_the_floor_of_a_range_that_does_not_count_it() -> None:
    loud = ValueRange(-60.0, 40.0)
    np.testing.assert_array_equal(loud.model_input(record(-100.0, -100.0)), np.zeros_like(VALUES[0]))
    quiet = record(-80.0, -10.0)  # which is sound, and stays below
    assert loud.model_input(quiet).min() < 0
    of_both = ValueRange.of_each(np.float32([-100, -80]), np.float32([-100, -10]))
    both = np.stack([np.zeros_like(VALUES[0]), VALUES[0]])
    moved = loud.from_range(both, of_both)
    np.testing.assert_array_equal(moved[0], 0)
    np.testing.assert_allclose(moved[1], loud.model_input(quiet), atol=1e-6)
    tensors = ValueRange(tf.constant(of_both.min_db), tf.constant(of_both.max_db), per_record=True)
    np.testing.assert_allclose(loud.from_range(tf.constant(both), tensors).numpy(), moved, atol=1e-6)


def test_from_one_range_to_another_is_by_decibels() -> None:
    own, model = ValueRange.of_each(LOW, HIGH), ValueRange(-90.0, 5.0)
    by_decibels = model.from_db(own.to_db(VALUES))
    by_decibels[2] = 0  # silence
    np.testing.assert_allclose(model.from_range(VALUES, own), by_decibels, atol=1e-6)
