"""The demo's page: the page of `audio-vae report` in the demo's words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.config import TRAIN
from pipelines.console.counts import counted
from pipelines.dataset.folder import Dataset
from pipelines.dataset.records import Record
from vae_model.evaluation.evaluation import evaluate
from vae_model.model_folder.bundle import Bundle
from vae_model.pages.figures import ratio
from vae_model.pages.model_page import Story, model_page
from vae_model.pages.report import colophon, sound_title
from vae_model.report import write_page
from vae_model.sound.generator import SoundGenerator

_NOTES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")
_NOTHING_HELD_OUT = (
    "There were too few recordings to hold any out: the reconstructions and errors on this page are of sounds that the "
    "model was trained on, and say nothing about others."
)


@dataclass(frozen=True)
class Origin:
    """Where the sounds are from. folder: path or URI. synthesised: whether the demo made them. seed: the demo's."""

    folder: str
    synthesised: bool
    seed: int


@dataclass(frozen=True)
class Errors:
    """Mean squared errors over all cells of num_records spectrograms, scaled to [0, 1] as the model has them.

    reconstruction: the model's. mean_spectrogram: of always answering with the training set's mean spectrogram.
    ratio: the first over the second, None where all sounds are the mean.
    """

    num_records: int
    reconstruction: float
    mean_spectrogram: float
    ratio: float | None


def write_demo_page(path: Path, origin: Origin, dataset: Dataset, split: str, model: Path) -> Errors:
    """Measure the model on a split of the dataset that it was trained on, write the page, return the errors."""
    generator = SoundGenerator.load(str(model), origin.seed)
    prior = generator.prior
    figures = evaluate(generator.autoencoder, generator.bundle, dataset, split, origin.seed, prior=prior)
    story = Story(
        title=f"What a VAE learned from {_whose(origin, dataset)}",
        opening=_opening(generator.bundle, dataset, origin) + recognised(figures),
        colophon=_colophon(generator.bundle, origin),
        sound_title=note_title,
        notice=_NOTHING_HELD_OUT if split == TRAIN else "",
    )
    write_page(model_page(generator, dataset, split, model, figures, story, origin.seed), path)
    errors = figures["reconstruction"][figures["decode"]]["mse"], figures["baselines"]["mean"]["mse"]
    return Errors(figures["num_examples"], *errors, ratio(figures))


def note_title(record: Record) -> str:
    """A name for people: timbre and note where the labels tell them, else the source and where it starts."""
    if not {"timbre", "note"} <= record.labels.keys():
        return sound_title(record)
    octave, step = divmod(int(record.labels["note"]), 12)
    return f"{record.labels['timbre'].capitalize()}, {_NOTES[step]}{octave - 1}"


def _whose(origin: Origin, dataset: Dataset) -> str:
    """The training sounds in a few words."""
    if origin.synthesised:
        return counted(dataset.count(TRAIN), "sound")
    return origin.folder.rstrip("/").rsplit("/", 1)[-1] or origin.folder


def _opening(bundle: Bundle, dataset: Dataset, origin: Origin) -> str:
    epochs, count = counted(bundle.metrics["epochs"], "epoch"), dataset.count(TRAIN)
    if origin.synthesised:
        data = f"{counted(count, 'one-second sound')} made for it: plucked, struck, blown, sung and bowed"
    else:
        audio = bundle.audio
        kind = "stereo segment" if audio.channels == 2 else "segment"
        data = f"{counted(count, kind)} of {audio.segment_seconds:.3g} s at {audio.sample_rate / 1000:g} kHz"
    return f"A small variational autoencoder was trained for {epochs} on {data}."


def recognised(figures: dict[str, Any]) -> str:
    """How many new sounds a classifier takes for what they were made to be, in a sentence; "" where nobody can tell."""
    found = figures["new_sounds"]
    labels = (found or {}).get("learned", {}).get("labels", {})
    if found is None or not labels:
        return ""
    parts = [f"{each['accuracy']:.0%} are recognised as their {name}" for name, each in labels.items()]
    real = [f"{found['real']['labels'][name]['accuracy']:.0%}" for name in labels]
    return f" Of {found['num']:,} new sounds {' and '.join(parts)}, of held-out ones {' and '.join(real)}."


def _colophon(bundle: Bundle, origin: Origin) -> str:
    text = colophon(bundle, origin.seed)
    if origin.synthesised:
        return text
    if bundle.audio.channels == 2:
        return text + " This was a few minutes of training: train --preset music takes more of them."
    return text + " This was a minute of a small model: preprocess and train with the preset default go much further."
