"""The page on a model, written: title, sections, colophon."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pipelines.config import TRAIN
from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.dataset.records import Record
from vae_model.evaluation.batches import default_split
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.outputs import output_file, shown
from vae_model.pages.facts import counted, name_of


def write_report(model: str, dataset_uri: str, output: str, split: str | None, seed: int = 0) -> dict[str, Any]:
    """Write the page on a model. Returns its file as `page`, `num_bytes`, `split` and `num_sounds`."""
    with output_file(output) as path:
        values = _write(model, open_dataset(dataset_uri), path, split, seed)
    return {"page": shown(output), **values}


def _write(model: str, dataset: Dataset, path: Path, split: str | None, seed: int) -> dict[str, Any]:
    """Write the page; what there is to say of it."""
    bundle = Bundle.load(model)  # mistakes show before TensorFlow's seconds of loading
    bundle.check_fits(dataset, model)
    split = split or default_split(dataset)
    dataset.split(split)
    from vae_model.runtime import prepare

    prepare()
    from vae_model.evaluation.evaluation import evaluate
    from vae_model.pages.model_page import Story, model_page
    from vae_model.report import write_page
    from vae_model.sound.generator import SoundGenerator

    generator = SoundGenerator.load(model, seed)
    figures = evaluate(generator.autoencoder, bundle, dataset, split, seed)
    story = Story(
        title=f"What {'a VAE' if bundle.model.is_vae else 'an autoencoder'} learned from {name_of(dataset.uri)}",
        opening=opening(bundle),
        colophon=colophon(bundle, seed),
        sound_title=sound_title,
        notice=TRAINED_ON if split == TRAIN else "",
    )
    page = model_page(generator, dataset, split, model, figures, story, seed, _say)
    num_bytes = write_page(page, path).stat().st_size
    return {"num_bytes": num_bytes, "split": split, "num_sounds": sum(len(section.sounds) for section in page.sections)}


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
