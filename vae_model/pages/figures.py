"""A model's figures as parts of a page: curves, posterior, the table of measures, the circumstances."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.config import TRAIN, VALIDATION
from pipelines.dataset.folder import Dataset
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.history import read_history
from vae_model.pages.facts import data_facts
from vae_model.report import Bars, Chart, Charts, Curve, Fact, Facts, Figure, Figures, Section


def training_sections(model: str | Path, bundle: Bundle) -> list[Section]:
    """Curves over the epochs, and the posterior's health; of either only what the model has."""
    sections = []
    if drawn := charts(model, bundle):
        sections.append(Section("Training", "After each epoch.", [Charts(drawn)]))
    posterior = bundle.metrics.get("posterior")
    if posterior is not None:
        bars = Bars("KL of each latent dimension in nats, sorted.", sorted(posterior["kl_per_dimension"], reverse=True))
        sections.append(Section("Posterior health", _health(posterior), [bars]))
    return sections


def charts(model: str | Path, bundle: Bundle) -> list[Chart]:
    """The loss and its terms over the epochs; none when there is no history."""
    history = read_history(model)
    weight = f"{bundle.model.reconstruction_weight:,.0f}"
    wanted = [
        ("Loss", "loss", f"What is minimised: {weight} times the reconstruction error, plus KL.", True),
        ("Reconstruction", "reconstruction_loss", "Mean squared error of a cell, from a sampled latent.", True),
        ("KL", "kl_loss", "How much a latent tells of its sound, in nats.", False),
    ]
    if not bundle.model.is_vae:
        wanted = [("Loss", "loss", "What is minimised: the mean squared error of a cell.", True)]
    drawn = []
    for title, column, caption, log_scale in wanted:
        curves = [
            Curve(name, [row.get(key, math.nan) for row in history])
            for name, key in {TRAIN: column, VALIDATION: f"val_{column}"}.items()
            if any(key in row for row in history)
        ]
        if curves:
            drawn.append(Chart(title, caption, curves, log_scale))
    return drawn


def _health(posterior: dict[str, Any]) -> str:
    active, dim, advice = posterior["active_units"], posterior["latent_space_dim"], posterior["advice"]
    found = f"{active} of {dim} latent dimensions differ from sound to sound: the posterior is healthy."
    return advice[:1].upper() + advice[1:] + "." if advice else found


def measures(figures: dict[str, Any]) -> Figures:
    """The table of what `evaluation.evaluate` found, each measure with one line on what it says.

    figures: those, and under `onsets` what `measure_onsets` found, if anybody asked.
    """
    rows = [*_errors(figures), *_posterior(figures), *_probes(figures), *_frechet(figures), *_new_sounds(figures)]
    return Figures([*rows, *_onsets(figures.get("onsets"))])


def ratio(figures: dict[str, Any]) -> float | None:
    """The model's error over that of always answering with the training mean; None without one, or where it is 0."""
    if figures["baselines"] is None or not figures["baselines"]["mean"]["mse"]:
        return None
    quotient: float = figures["reconstruction"][figures["decode"]]["mse"] / figures["baselines"]["mean"]["mse"]
    return quotient


def _errors(figures: dict[str, Any]) -> Iterator[Figure]:
    own, baselines = figures["reconstruction"][figures["decode"]], figures["baselines"]
    which = "a sampled latent" if figures["decode"] == "sampled_z" else "the latent's mean"
    yield Figure(
        "Reconstruction error",
        f"{own['mse']:.5f}",
        f"Mean squared error over {figures['num_examples']:,} spectrograms, scaled to 0…1, decoded from {which}.",
    )
    if baselines is not None:
        text = "The same for always answering with the mean of the training spectrograms: what any model has to beat."
        yield Figure("Error of the mean spectrogram", f"{baselines['mean']['mse']:.5f}", text)
        if (quotient := ratio(figures)) is not None:
            yield Figure("Ratio of the two", f"{quotient:.0%}", "100% would be no better than the mean.")
        if "label_mean" in baselines:
            text = f"The mean of the training sounds that share {' and '.join(baselines['labels'])}."
            yield Figure("Error of the labels' mean", f"{baselines['label_mean']['mse']:.5f}", text)
        for name in baselines:
            if name.startswith("pca_"):
                size = name.removeprefix("pca_")
                text = f"The best that {size} numbers a sound can do without a network."
                yield Figure(f"Error of {size} principal components", f"{baselines[name]['mse']:.5f}", text)
    yield Figure("Typical miss", f"{own['rmse_db']:.1f} dB", "Root mean square over all cells.")
    if own["rmse_above_floor_db"] is not None:
        text = "The same where there is sound, not silence or padding."
        yield Figure("Typical miss in sound", f"{own['rmse_above_floor_db']:.1f} dB", text)
    text = "How far a moment's spectrum is off, on average."
    yield Figure("Log-spectral distance", f"{own['log_spectral_distance_db']:.1f} dB", text)


def _posterior(figures: dict[str, Any]) -> Iterator[Figure]:
    posterior = figures["posterior"]
    if posterior is None:
        return
    dim = posterior["latent_space_dim"]
    yield Figure("KL", f"{posterior['kl']:.1f} nats", f"What the {dim} latent dimensions tell of a sound, at most.")
    text = "Dimensions that differ from sound to sound; the others are idle."
    yield Figure("Active dimensions", f"{posterior['active_units']} of {dim}", text)


def _probes(figures: dict[str, Any]) -> Iterator[Figure]:
    for label, probes in ((figures["probes"] or {}).get("labels") or {}).items():
        model, pca = probes["model"], probes.get("pca")
        if model is not None:
            beside = "" if pca is None else f"; principal components get {pca['accuracy']:.0%}"
            text = f"How often a plane through the latents tells {label}{beside}, guessing {model['majority']:.0%}."
            yield Figure(f"Linear probe: {label}", f"{model['accuracy']:.0%}", text)


def _frechet(figures: dict[str, Any]) -> Iterator[Figure]:
    frechet = figures["frechet"]
    said = {
        "reconstruction": (
            "Fréchet distance, reconstructions",
            "How far they are from the originals as a crowd, 0 the same.",
        ),
        "generated": ("Fréchet distance, new sounds", "The same of new sounds."),
        "train": ("Fréchet distance, training sounds", "The same of real ones: what is left when nothing is wrong."),
    }
    for key, (name, text) in said.items():
        if frechet[key] is not None:
            yield Figure(name, f"{frechet[key]:,.0f} dB²", text)


def _new_sounds(figures: dict[str, Any]) -> Iterator[Figure]:
    found = figures["new_sounds"]
    if found is None:
        return
    made, real = found[found["made"]], found["real"]
    text = f"The part of new sounds that are like real ones; of held-out sounds {real['precision']:.0%}."
    yield Figure("Precision of new sounds", f"{made['precision']:.0%}", text)
    text = f"The part of real sounds that some new one is like; held-out sounds reach {real['recall']:.0%}."
    yield Figure("Recall of new sounds", f"{made['recall']:.0%}", text)
    for name, each in made["labels"].items():
        of_real = real["labels"][name]
        if each["accuracy"] is not None:
            held_out = f"{of_real['accuracy']:.0%}"
            text = f"Those that a classifier takes for what they were made to be; of held-out ones {held_out}."
            yield Figure(f"New sounds: right {name}", f"{each['accuracy']:.0%}", text)
        share = each["inception_score"] / of_real["inception_score"]
        text = f"How clear and how varied new sounds are by {name}, as a part of what held-out ones are."
        yield Figure(f"Inception score: {name}", f"{share:.0%}", text)
    text = "How far new sounds are from the nearest training sound, beside reconstructions of held-out ones."
    if found["copies"]:
        text += " They are copies: with few sounds, fewer --prior-epochs help."
    yield Figure("Distance from the training sounds", f"{found['nearest_ratio']:.0%}", text)


def _onsets(found: dict[str, Any] | None) -> Iterator[Figure]:
    if found is None or not found["num"]:
        return
    original, true, own = (found[name] for name in ("original", "spectrogram", "reconstruction"))
    text = (
        f"How much louder the 20 ms before an onset are, beside the 20 ms behind it, than in the recording: median of "
        f"{found['num']}. True spectrograms made sound come to {true['before_change_db']:+.1f} dB."
    )
    yield Figure("Before an onset", f"{own['before_change_db']:+.1f} dB", text.replace("-", "−"))
    text = (
        f"From a tenth to nine tenths of the peak; {original['attack_ms']:.1f} ms in the recordings, "
        f"{true['attack_ms']:.1f} ms of true spectrograms."
    )
    yield Figure("Attack", f"{own['attack_ms']:.1f} ms", text)
    text = f"How much louder an onset's peak is than in the recording; {true['peak_change_db']:+.1f} dB of true ones."
    yield Figure("Peak of an onset", f"{own['peak_change_db']:+.1f} dB", text.replace("-", "−"))


def circumstances(dataset: Dataset, bundle: Bundle, num_parameters: int) -> Facts:
    """What the model is and was trained on."""
    metrics = bundle.metrics
    facts = [*data_facts(dataset)]
    facts += [
        Fact("Range", f"{bundle.value_range.min_db:.1f} to {bundle.value_range.max_db:.1f} dB".replace("-", "−")),
        Fact("Model", f"{num_parameters:,} parameters, {bundle.model.latent_space_dim} latents"),
        Fact("Training", f"batches of {bundle.train.batch_size}, learning rate {bundle.train.learning_rate:g}"),
    ]
    if {"epochs", "best_epoch", "train_seconds"} <= metrics.keys():
        best = metrics["best_epoch"] or "what it started from"
        facts.append(Fact("Epochs", f"{metrics['epochs']}, the best was {best}"))
        facts.append(Fact("Time to train", f"{metrics['train_seconds']:,.0f} s"))
    return Facts(facts)
