"""The page on a model: what was trained on what, its sounds beside the originals, its latents, curves and figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.config import TRAIN
from pipelines.dataset.folder import Dataset
from pipelines.dataset.records import Record
from vae_model.evaluation.batches import sample
from vae_model.model_folder.bundle import Bundle
from vae_model.pages.facts import LIST_BYTES, MAP_BYTES, MAP_SECONDS, MAX_SECONDS, is_compact, sound_bytes
from vae_model.pages.figures import circumstances, measures, ratio, training_sections
from vae_model.pages.latent_map import MIN_POINTS, latent_map
from vae_model.pages.page_sounds import Listener, Reconstructed, survey
from vae_model.report import Comparisons, Page, Section
from vae_model.sound.generator import SoundGenerator

A_ROW = 2
MAX_ROWS, _FEWEST_ROWS = 20, 8
"""New sounds by label: so many sounds in a row, and at most so many rows; so many are there however large they are."""
MAX_SURVEYED = 2048
"""The sounds of the page, the worst among them, are chosen among so many records of the split, evenly picked."""


@dataclass(frozen=True)
class Numbers:
    """How many of each kind a page has: comparisons and worst ones (three sounds each), new sounds, steps, points."""

    comparisons: int = 8
    worst: int = 4
    new: int = 8
    steps: int = 8
    points: int = 200


@dataclass(frozen=True)
class Story:
    """What a page says in its own words. opening: the lead's first sentence. sound_title: names a record."""

    title: str
    opening: str
    colophon: str
    sound_title: Callable[[Record], str]
    notice: str = ""


def numbers_for(bundle: Bundle) -> Numbers:
    """As many sounds as LIST_BYTES and MAP_BYTES allow, up to the usual numbers."""
    usual = Numbers()
    in_list = sound_bytes(bundle.audio, bundle.spectrogram, MAX_SECONDS)
    on_map = sound_bytes(bundle.audio, bundle.spectrogram, MAP_SECONDS, is_compact(bundle.audio))
    rows = rows_of_new_sounds(bundle)
    new = len(rows) * A_ROW or usual.new
    in_lists = 3 * (usual.comparisons + usual.worst) + new + usual.steps
    share = min(1.0, LIST_BYTES / (in_lists * in_list))
    return Numbers(
        max(2, int(usual.comparisons * share)),
        max(1, int(usual.worst * share)),
        max(1, int(new * share), min(len(rows), _FEWEST_ROWS)),
        max(3, int(usual.steps * share)),
        min(usual.points, int(MAP_BYTES / on_map)),
    )


def rows_of_new_sounds(bundle: Bundle) -> list[dict[str, str]]:
    """The labels of each row of new sounds: a value each, of the labels with the fewest values first."""
    if bundle.prior is None or bundle.prior.settings is None:
        return []
    labels = sorted(bundle.prior.settings.labels.items(), key=lambda item: len(item[1]))
    rows = [{name: value} for name, values in labels for value in values]
    return rows[:MAX_ROWS]


def model_page(
    generator: SoundGenerator,
    dataset: Dataset,
    split: str,
    model: str | Path,
    figures: dict[str, Any],
    story: Story,
    seed: int,
    say: Callable[[str], None] = lambda line: None,
    recordings: Sequence[str] = (),
) -> Page:
    """The page of a model on a split of a dataset that fits it.

    figures: of `evaluation.evaluate` on the same split. recordings: as of Recordings.
    """
    numbers = numbers_for(generator.bundle)
    total = dataset.split(split).num_examples
    looked_at = min(total, MAX_SURVEYED)
    say(f"choosing among {looked_at:,} sounds")
    evenly, worst = survey(
        generator, sample(dataset, split, looked_at), looked_at, numbers.comparisons, min(numbers.worst, looked_at)
    )
    listener = Listener(generator, dataset, story.sound_title, MAX_SECONDS, recordings)
    say("making sounds")
    sections = [
        *_compared(listener, evenly, worst, split, total, looked_at),
        _new_sounds(listener, generator.bundle, numbers.new, seed),
    ]
    if len(evenly) > 1:
        between = listener.interpolation([one.record for one in evenly], numbers.steps)
        text = "From the latent of one of the sounds above to that of another, each step decoded."
        sections.append(Section("Interpolation", text, [Comparisons([between])]))
    sections += _map(generator, dataset, split, story, numbers.points, seed, say, recordings)
    sections += training_sections(model, generator.bundle)
    facts = circumstances(dataset, generator.bundle, generator.autoencoder.model.count_params())
    sections.append(Section("Numbers", f"Measured on split {split}.", [measures(figures), facts]))
    return Page(story.title, lead(story, split, figures), story.notice, sections, story.colophon)


def _new_sounds(listener: Listener, bundle: Bundle, count: int, seed: int) -> Section:
    """A row for each value of a label where the model knows labels, else a few sounds."""
    rows = rows_of_new_sounds(bundle)[:count]
    text = "Latents drawn at random, from where those of the training sounds lie, and decoded."
    if rows:
        text += " A row for each label: what a caption adds was drawn as often as the training sounds have it."
    a_row = max(1, count // len(rows)) if rows else count
    return Section("New sounds", text, [Comparisons(listener.new_sounds(rows, a_row, seed))])


def lead(story: Story, split: str, figures: dict[str, Any]) -> str:
    """The opening, and how well the model reconstructs."""
    quotient = ratio(figures)
    if quotient is None:
        return story.opening
    whom = f"On {figures['num_examples']:,} others, which it never heard," if split != TRAIN else "On the same sounds"
    error = figures["reconstruction"][figures["decode"]]["mse"]
    return (
        f"{story.opening} {whom} its reconstruction error is {error:.4f}: {quotient:.0%} of the "
        f"{figures['baselines']['mean']['mse']:.4f} that always answering with the average spectrogram gives."
    )


def _compared(
    listener: Listener, evenly: list[Reconstructed], worst: list[Reconstructed], split: str, total: int, looked_at: int
) -> list[Section]:
    """Originals and what the model makes of them: evenly picked ones, and those it does worst."""
    held_out = split != TRAIN
    among = f"{len(evenly)} of {total:,}, evenly picked"
    text = (
        "The recording; the same magnitudes with phases found as for all other sounds, so the best that any "
        "reconstruction could be; and what the model makes of it."
    )
    told = f"{among}, none of them used in training. {text}" if held_out else f"{among} from training. {text}"
    title = "Held-out sounds" if held_out else "Sounds from training"
    sections = [Section(title, told, [Comparisons(listener.compare(evenly))])]
    if looked_at > len(evenly):
        told = f"Those with the largest errors among {looked_at:,}."
        sections.append(Section("Worst reconstructions", told, [Comparisons(listener.compare(worst))]))
    return sections


def _map(
    generator: SoundGenerator,
    dataset: Dataset,
    split: str,
    story: Story,
    points: int,
    seed: int,
    say: Callable[[str], None],
    recordings: Sequence[str],
) -> list[Section]:
    """The latent map: half of it of the split, the rest of what the model was trained on."""
    others = 0 if split == TRAIN else dataset.count(TRAIN)
    count = min(dataset.split(split).num_examples, points - min(others, points // 2))
    records = [(split, record) for record in sample(dataset, split, count)]
    if others and points > count:
        records += [(TRAIN, record) for record in sample(dataset, TRAIN, min(others, points - count))]
    if len(records) < MIN_POINTS:
        return []
    say(f"placing {len(records)} sounds on the map")
    compact = is_compact(generator.bundle.audio)
    listener = Listener(generator, dataset, story.sound_title, MAP_SECONDS, recordings, compact)
    text = f"{len(records)} sounds as the model sees them, a point each. Click one to hear it."
    return [Section("Latent map", text, [latent_map(listener, records, seed)])]
