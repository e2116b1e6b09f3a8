"""What a learned prior knows of its data: settings of its network, labels and their values. No TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.errors import SettingError, require
from pipelines.store.json_values import Value

FLOW, GAUSSIAN, NONE = PRIORS = "flow", "gaussian", "none"
"""What new sounds can be drawn from: a learned flow, the Gaussian of all latents, or N(0, I)."""
MAX_VALUES = 1000
"""A label of more values is left out: it tells one sound from another, not one kind from another."""
MAX_CLUSTERS = 1000
MAX_ROWS = 20_000
_MOST = 2**16


@dataclass(frozen=True)
class PriorSettings:
    """The network of a learned prior, and what it may be asked for.

    labels: of each label its values, in order. num_clusters: kinds of sounds that were found without labels; 0 where
    labels tell them apart. with_levels: whether it knows the loudness of a sound, which its latent does not have.
    with_before: whether it knows the latent before. num_rows: training sounds whose labels, clusters and levels it
    keeps. width, blocks: of the network.
    """

    latent_space_dim: int
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    num_clusters: int = 0
    with_levels: bool = False
    with_before: bool = False
    num_rows: int = 1
    width: int = 384
    blocks: int = 3

    def __post_init__(self) -> None:
        limits = {"latent_space_dim": _MOST, "num_rows": MAX_ROWS, "width": _MOST, "blocks": 64}
        for name, most in limits.items():
            value = getattr(self, name)
            require(type(value) is int and 0 < value <= most, name, value, f"an integer from 1 to {most}")
        clusters = self.num_clusters
        is_count = type(clusters) is int and 0 <= clusters <= MAX_CLUSTERS
        require(is_count, "num_clusters", clusters, f"an integer from 0 to {MAX_CLUSTERS}")
        for name in ("with_levels", "with_before"):
            require(type(getattr(self, name)) is bool, name, getattr(self, name), "true or false")
        for label, values in self.labels.items():
            few = 0 < len(values) <= MAX_VALUES and all(isinstance(value, str) and value for value in values)
            require(few and len(set(values)) == len(values), f"labels {label}", len(values), "of 1 to 1,000 values")

    @property
    def class_sizes(self) -> tuple[int, ...]:
        """How many values each condition has that is one of several: the labels in order, then the cluster."""
        sizes = tuple(len(values) for values in self.labels.values())
        return (*sizes, self.num_clusters) if self.num_clusters else sizes

    @property
    def context_size(self) -> int:
        """Numbers in the conditions that are numbers, each with whether it is known: level, latent before."""
        return 2 * self.with_levels + (self.latent_space_dim + 1) * self.with_before

    def check_labels(self, wanted: Mapping[str, str]) -> None:
        """SettingError for a label or a value that the prior has not seen, with those that it has."""
        for name, value in wanted.items():
            if name not in self.labels:
                has = ", ".join(self.labels) or "none"
                raise SettingError(f"--label {name}={value} must name a label that the model learned, it has {has}")
            if value not in self.labels[name]:
                has = ", ".join(self.labels[name])
                raise SettingError(f"--label {name}={value} must be a value that the model learned, it has {has}")

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        labels = {name: list(values) for name, values in self.labels.items()}
        return {**dataclasses.asdict(self), "labels": labels}

    @classmethod
    def from_value(cls, value: Value) -> PriorSettings:
        """The inverse of `to_dict`. SettingError naming the file, the rule and the value."""
        names = [item.name for item in dataclasses.fields(cls)]
        values = value.object(names)
        labels = {
            name: tuple(each.text() for each in several.list()) for name, several in values["labels"].object().items()
        }
        try:
            return cls(**{name: values[name].value for name in names} | {"labels": labels})
        except SettingError as error:
            raise SettingError(f"{value.file}: {error}") from error


@dataclass(frozen=True)
class LearnedPrior:
    """What `bundle.json` tells of a prior. kind: one of PRIORS. settings: of a flow. figures: of how it was learned."""

    kind: str
    settings: PriorSettings | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        settings = None if self.settings is None else self.settings.to_dict()
        return {"kind": self.kind, "settings": settings, "figures": dict(self.figures)}

    @classmethod
    def from_value(cls, value: Value) -> LearnedPrior:
        """The inverse of `to_dict`. SettingError naming the file, the rule and the value."""
        values = value.object(("kind", "settings", "figures"))
        kind, settings = values["kind"], values["settings"]
        kind.require(kind.value in PRIORS, f"one of {', '.join(PRIORS)}")
        settings.require((settings.value is None) == (kind.value != FLOW), "there for a flow, and for nothing else")
        found = None if settings.value is None else PriorSettings.from_value(settings)
        values["figures"].object()
        return cls(kind.text(), found, values["figures"].value)
