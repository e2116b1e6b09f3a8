"""What the learned prior does as a function of tensors, for a model that is exported: TensorFlow alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from vae_model.prior.conditions import MAX_DB, MIN_DB
from vae_model.prior.flow import FlowModel
from vae_model.prior.prior import GUIDANCE
from vae_model.prior.sampling import STEPS, step


class ExportedPrior:
    """Draws latents as `Prior.draw` does, by chance of TensorFlow's own. model: the flow."""

    signature = (
        tf.TensorSpec((), tf.int32, name="count"),
        tf.TensorSpec((), tf.int32, name="seed"),
        tf.TensorSpec((None,), tf.string, name="labels"),
    )

    def __init__(self, model: FlowModel) -> None:
        self.model = model
        labels = model.settings.labels
        self._entries = [f"{name}={value}" for name, values in labels.items() for value in values]
        self._columns = np.array([column for column, values in enumerate(labels.values()) for _ in values], int)
        self._numbers = [number for values in labels.values() for number in range(1, 1 + len(values))]

    def draw(self, count: Any, seed: Any, labels: Any) -> tuple[Any, Any]:
        """Latents (count, dim), and the min_db and max_db of each, (count, 2).

        labels: texts `name=value`; what is not named is drawn as often as the data have it. InvalidArgumentError for
        one that was not learned.
        """
        wanted = self._wanted(labels)
        rows = self._rows(count, seed, wanted)
        given = {}
        if sizes := self.model.settings.class_sizes:
            given["classes"] = tf.cast(rows[:, : len(sizes)], tf.int32)
        if self.model.settings.context_size:
            given["context"] = self._context(rows)
        dim = self.model.settings.latent_space_dim
        points = tf.random.stateless_normal((count, dim), tf.stack([seed, 1]))

        def body(number: Any, x: Any) -> tuple[Any, Any]:
            time = tf.cast(number, tf.float32) / STEPS
            return number + 1, step(self.model, x, time, 1 / STEPS, given, GUIDANCE)

        _, points = tf.while_loop(lambda number, _: number < STEPS, body, (tf.constant(0), points))
        levels = [rows.shape[1] + MIN_DB, rows.shape[1] + MAX_DB]
        return points * self.model.scale + self.model.mean, tf.gather(rows, levels, axis=1)

    def _wanted(self, labels: Any) -> Any:
        """Of each label the number of the value that is asked for, 0 where none is: (labels,)."""
        known = labels[:, None] == tf.constant(self._entries, tf.string)[None]
        names = ", ".join(self._entries[:50]) or "none"
        message = f"labels must be of those that the model learned: {names}"
        tf.debugging.assert_equal(tf.reduce_all(tf.reduce_any(known, axis=1)), True, message)
        asked = tf.where(tf.reduce_any(known, axis=0), tf.constant(self._numbers, tf.float32), 0.0)
        columns = np.arange(len(self.model.settings.labels))[:, None] == self._columns[None]
        return tf.reduce_max(tf.where(tf.constant(columns), asked[None], 0.0), axis=1)

    def _rows(self, count: Any, seed: Any, wanted: Any) -> Any:
        """Rows of `conditions.py`, drawn by chance among those that have most of what is wanted."""
        rows, number = tf.convert_to_tensor(self.model.rows), len(self.model.settings.labels)
        hits = tf.reduce_sum(tf.cast((rows[:, :number] == wanted) & (wanted > 0), tf.int32), axis=1)
        logits = tf.where(hits == tf.reduce_max(hits), 0.0, -1e9)
        picked = tf.random.stateless_categorical(logits[None], count, tf.stack([seed, 0]))[0]
        drawn = tf.gather(rows, picked)
        labels = tf.where(wanted > 0, wanted, drawn[:, :number])
        return tf.concat([labels, drawn[:, number:]], axis=1)

    def _context(self, rows: Any) -> Any:
        """The conditions that are numbers: the level, if the prior knows it; nothing before."""
        settings, level = self.model.settings, tf.convert_to_tensor(self.model.level)
        max_db = rows[:, rows.shape[1] + MAX_DB, None]
        parts = [(max_db - level[0]) / level[1], tf.ones_like(max_db)] if settings.with_levels else []
        if settings.with_before:
            parts.append(tf.zeros((tf.shape(rows)[0], settings.latent_space_dim + 1)))
        return tf.concat(parts, axis=1)
