"""The page on a model, written: title, sections, colophon."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.audio.features import require_sound
from pipelines.config import TRAIN
from pipelines.console.counts import counted
from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.dataset.records import Record
from pipelines.errors import require
from pipelines.store.paths import Place
from vae_model.evaluation.batches import default_split
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.outputs import output_file, shown
from vae_model.pages.facts import name_of
from vae_model.runtime import prepare


@dataclass(frozen=True)
class Report:
    """The page on a model that was written. page: its file, an absolute path or a URI."""

    page: str
    num_bytes: int
    split: str
    num_sounds: int


def write_report(
    model: Place,
    dataset: Dataset | Place,
    output: Place,
    *,
    split: str | None = None,
    seed: int = 0,
    recordings: Sequence[Place] = (),
) -> Report:
    """Write a page on which to see and hear what a model learned, one HTML file: `audio-vae report`.

    model: the MODEL folder at a path or URI. dataset: an open one, or the path or URI of one, made with the model's
    settings. split: test if it has records, else validation, unless given. seed: of new sounds and the map.
    recordings: folders or files, also URIs, that the dataset was made of; those that it names itself are looked at
    where they are files on this machine.

    >>> report = write_report(model, dataset, folder / "report.html")
    >>> report.split, report.num_sounds > 10, report.num_bytes < 30e6
    ('validation', True, True)
    """
    require(0 <= seed < 2**31, "--seed", seed, "at least 0 and below 2**31")
    output = os.fspath(output)
    with output_file(output) as path:
        places = [os.fspath(place) for place in recordings]
        return _write(os.fspath(model), open_dataset(dataset), path, shown(output), split, seed, places)


def _write(
    model: str, dataset: Dataset, path: Path, name: str, split: str | None, seed: int, recordings: Sequence[str]
) -> Report:
    """Write the page into a local file; `name` is what it will be called."""
    bundle = Bundle.load(model)  # mistakes show before TensorFlow's seconds of loading
    bundle.check_fits(dataset, model)
    split = split or default_split(dataset)
    dataset.split(split)
    require_sound(bundle.audio, bundle.spectrogram)
    prepare()
    from vae_model.evaluation.evaluation import evaluate
    from vae_model.evaluation.onsets import measure_onsets
    from vae_model.pages.model_page import Story, model_page
    from vae_model.report import write_page
    from vae_model.sound.generator import SoundGenerator

    generator = SoundGenerator.load(model, seed)
    figures = evaluate(generator.autoencoder, bundle, dataset, split, seed, prior=generator.prior)
    figures["onsets"] = measure_onsets(generator, dataset, split, seed, recordings, _say)
    story = Story(
        title=f"What {'a VAE' if bundle.model.is_vae else 'an autoencoder'} learned from {name_of(dataset.uri)}",
        opening=opening(bundle),
        colophon=colophon(bundle, seed),
        sound_title=sound_title,
        notice=TRAINED_ON if split == TRAIN else "",
    )
    page = model_page(generator, dataset, split, model, figures, story, seed, _say, recordings)
    num_bytes = write_page(page, path).stat().st_size
    return Report(name, num_bytes, split, sum(len(section.sounds) for section in page.sections))


TRAINED_ON = "These are sounds that the model was trained on: what is on this page says nothing about others."


def sound_title(record: Record) -> str:
    """A name for people: the source, and where in it a later segment starts."""
    return record.source if record.segment == 0 else f"{record.source}, from {record.start_seconds:.1f} s"


def opening(bundle: Bundle) -> str:
    """What was trained on what, in a sentence."""
    kind = "variational autoencoder" if bundle.model.is_vae else "autoencoder"
    count, epochs = bundle.dataset["num_examples"].get(TRAIN, 0), bundle.metrics.get("epochs")
    trained = f"A {kind} of {bundle.model.latent_space_dim} latent dimensions was trained"
    trained += "" if epochs is None else f" for {counted(epochs, 'epoch')}"
    return f"{trained} on {counted(count, 'segment')} of {bundle.audio.segment_seconds:.3g} s."


def colophon(bundle: Bundle, seed: int) -> str:
    """How the page was made."""
    return (
        "Waveforms of reconstructions and new sounds: phases estimated from magnitudes, which adds some "
        f"roughness of its own. Made by audio-vae {bundle.versions.get('audio-vae', '')}, seed {seed}."
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
