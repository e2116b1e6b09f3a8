"""The demo's page: what was trained on what, sounds beside their reconstructions, new ones, curves and numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from pipelines.dataset import Dataset
from pipelines.records import Record
from vae_model.bundle import Bundle
from vae_model.checkpoints import read_history
from vae_model.listening import Errors, compare, mean_spectrogram, measure, new_sounds, spread_over
from vae_model.report import Bars, Chart, Curve, Fact, Figure, Page, Section, write_page
from vae_model.sound import SoundGenerator

COMPARISONS = 12
NEW_SOUNDS = 6
_NOTES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")


@dataclass(frozen=True)
class Origin:
    """Where the sounds are from. folder: path or URI. synthesised: whether the demo made them. seed: the demo's."""

    folder: str
    synthesised: bool
    seed: int

    @property
    def root(self) -> str:
        """What the dataset's sources are relative to."""
        return str(Path(self.folder).parent) if Path(self.folder).is_file() else self.folder


def write_demo_page(path: Path, origin: Origin, dataset: Dataset, split: str, model: Path) -> Errors:
    """Measure the model on a split of the dataset that it was trained on, write the page, return the errors."""
    generator = SoundGenerator.load(str(model), origin.seed)
    value_range = generator.bundle.value_range
    mean = mean_spectrogram(dataset.records("train"), value_range)
    errors = measure(generator.autoencoder, value_range, dataset.records(split), mean)
    held_out = split != "train"
    records = spread_over(dataset, split, COMPARISONS)
    sections = [
        Section(
            "Held-out sounds" if held_out else "Sounds from training",
            f"{len(records)} of {errors.num_records}, evenly picked, none of them used in training."
            if held_out
            else f"{len(records)} of the {errors.num_records} that the model was trained on.",
            compare(generator, records, origin.root, sound_title),
        ),
        Section(
            "New sounds",
            "Latents drawn at random, from where those of the training sounds lie, and decoded.",
            new_sounds(generator, NEW_SOUNDS, origin.seed),
        ),
    ]
    page = Page(
        title=f"What a VAE learned from {_whose(origin, dataset)}",
        lead=_lead(generator.bundle, dataset, origin, errors, held_out),
        notice="" if held_out else _NOTHING_HELD_OUT,
        sections=sections,
        charts=charts(model, generator.bundle),
        bars=posterior_bars(generator.bundle),
        figures=figures(errors, generator.bundle, held_out),
        facts=facts(dataset, generator, origin),
        colophon=_colophon(generator.bundle, origin),
    )
    write_page(page, path)
    return errors


_NOTHING_HELD_OUT = (
    "There were too few recordings to hold any out: the reconstructions and errors on this page are of sounds that the "
    "model was trained on, and say nothing about others."
)


def _colophon(bundle: Bundle, origin: Origin) -> str:
    text = (
        "Waveforms of reconstructions and new sounds: phases estimated from magnitudes, which adds some "
        f"roughness of its own. Made by audio-vae {bundle.versions.get('audio-vae', '')}, seed {origin.seed}."
    )
    if origin.synthesised:
        return text
    return text + " This was a minute of a small model: preprocess and train with the preset default go much further."


def sound_title(record: Record) -> str:
    """A name for people: timbre and note where the labels tell them, else the source and where it starts."""
    if {"timbre", "note"} <= record.labels.keys():
        octave, step = divmod(int(record.labels["note"]), 12)
        return f"{record.labels['timbre'].capitalize()}, {_NOTES[step]}{octave - 1}"
    return record.source if record.segment == 0 else f"{record.source}, from {record.start_seconds:.1f} s"


def _whose(origin: Origin, dataset: Dataset) -> str:
    """The training sounds in a few words."""
    if origin.synthesised:
        return _count(dataset.splits["train"].num_examples, "sound")
    return origin.folder.rstrip("/").rsplit("/", 1)[-1] or origin.folder


def _lead(bundle: Bundle, dataset: Dataset, origin: Origin, errors: Errors, held_out: bool) -> str:
    epochs, count = _count(bundle.metrics["epochs"], "epoch"), dataset.splits["train"].num_examples
    if origin.synthesised:
        data = f"{_count(count, 'one-second sound')} made for it: plucked, struck, blown, sung and bowed"
    else:
        data = f"{_count(count, 'segment')} of {bundle.audio.segment_seconds:g} s"
    trained = f"A small variational autoencoder was trained for {epochs} on {data}."
    if errors.ratio is None:
        return trained
    whom = f"On {errors.num_records:,} others, which it never heard," if held_out else "On the same sounds"
    return (
        f"{trained} {whom} its reconstruction error is {errors.reconstruction:.4f}: {errors.ratio:.0%} of the "
        f"{errors.mean_spectrogram:.4f} that always answering with the average spectrogram gives."
    )


def charts(model: Path, bundle: Bundle) -> list[Chart]:
    """The loss and its two terms over the epochs."""
    history = read_history(model)

    def chart(title: str, column: str, caption: str, log_scale: bool) -> Chart:
        columns = {"train": column, "validation": f"val_{column}"}
        curves = [
            Curve(name, [row.get(key, math.nan) for row in history])
            for name, key in columns.items()
            if any(key in row for row in history)
        ]
        return Chart(title, caption, curves, log_scale)

    weight = f"{bundle.model.reconstruction_weight:,.0f}"
    return [
        chart("Loss", "loss", f"What is minimised: {weight} times the reconstruction error, plus KL.", True),
        chart("Reconstruction", "reconstruction_loss", "Mean squared error of a cell, from a sampled latent.", True),
        chart("KL", "kl_loss", "How much a latent tells of its sound, in nats.", False),
    ]


def posterior_bars(bundle: Bundle) -> Bars | None:
    """What each latent dimension tells, the most telling first; None for a model without a posterior."""
    posterior = bundle.metrics.get("posterior")
    if posterior is None:
        return None
    active, dim = posterior["active_units"], posterior["latent_space_dim"]
    found = f"{active} of {dim} latent dimensions differ from sound to sound: the posterior is healthy."
    advice = posterior["advice"]
    return Bars(
        "Posterior health",
        advice[:1].upper() + advice[1:] + "." if advice else found,
        "KL of each latent dimension in nats, sorted.",
        sorted(posterior["kl_per_dimension"], reverse=True),
    )


def figures(errors: Errors, bundle: Bundle, held_out: bool) -> list[Figure]:
    """The numbers, each with what it says."""
    span_db = bundle.value_range.span_db
    whose = f"{errors.num_records} held-out" if held_out else f"{errors.num_records} training"
    result = [
        Figure(
            "Reconstruction error",
            f"{errors.reconstruction:.5f}",
            f"Mean squared error over the {whose} spectrograms, scaled to 0…1.",
        ),
        Figure(
            "Error of the mean spectrogram",
            f"{errors.mean_spectrogram:.5f}",
            "The same for always answering with the mean of the training spectrograms: what any model has to beat.",
        ),
    ]
    if errors.ratio is not None:
        result.append(Figure("Ratio of the two", f"{errors.ratio:.0%}", "100% would be no better than the mean."))
    model_db, mean_db = (math.sqrt(error) * span_db for error in (errors.reconstruction, errors.mean_spectrogram))
    result.append(
        Figure(
            "Typical miss", f"{model_db:.1f} dB", f"Root mean square over all cells; the mean's is {mean_db:.1f} dB."
        )
    )
    kl = bundle.metrics.get("val_kl_loss", bundle.metrics.get("kl_loss", math.nan))
    result.append(
        Figure("KL", f"{kl:.0f} nats", f"What the {bundle.model.latent_space_dim} latent dimensions tell of a sound.")
    )
    return result


def facts(dataset: Dataset, generator: SoundGenerator, origin: Origin) -> list[Fact]:
    """The circumstances."""
    bundle, audio, spectrogram = generator.bundle, generator.bundle.audio, generator.bundle.spectrogram
    splits = ", ".join(f"{split.num_examples:,} {name}" for name, split in dataset.splits.items())
    shape = " × ".join(map(str, dataset.record.shape))
    result = [
        Fact("Sounds", f"{dataset.sources.written:,} {'synthesised' if origin.synthesised else 'files'}"),
        Fact("Segments", splits),
        Fact(
            "Waveform", f"{audio.sample_rate:,} Hz, {'mono' if audio.channels == 1 else f'{audio.channels} channels'}"
        ),
        Fact("Spectrogram", f"{shape}, frame {spectrogram.frame_size}, hop {spectrogram.hop_length}"),
        Fact("Range", f"{bundle.value_range.min_db:.1f} to {bundle.value_range.max_db:.1f} dB".replace("-", "−")),
        Fact(
            "Model",
            f"{generator.autoencoder.model.count_params():,} parameters, {bundle.model.latent_space_dim} latents",
        ),
        Fact("Training", f"batches of {bundle.train.batch_size}, learning rate {bundle.train.learning_rate:g}"),
        Fact("Epochs", f"{bundle.metrics['epochs']}, the best was {bundle.metrics['best_epoch']}"),
        Fact("Time to train", f"{bundle.metrics['train_seconds']:.0f} s"),
    ]
    if dataset.sources.failed:
        result.append(Fact("Unreadable files", f"{dataset.sources.failed:,}, left out"))
    return result


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
