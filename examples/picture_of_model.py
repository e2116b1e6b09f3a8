"""A picture of a model of labelled sounds: of each kind one that it never heard, what it makes of it, and a new one.

    python examples/picture_of_model.py kit-model/ kit-data/ kit.png --label kind

Spectrograms over octaves, the louder channel, on one colour scale. Of each kind the held-out sound is shown whose
reconstruction error is the median: neither the best nor the worst. It must have been there when the dataset was made.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines import open_dataset
from pipelines.dataset.records import Record
from vae_model import SoundGenerator
from vae_model.evaluation.batches import default_split
from vae_model.pages.page_sounds import Listener
from vae_model.pages.report import sound_title
from vae_model.report.figure import in_rows
from vae_model.runtime import prepare

SPAN_DB = 80.0
"""How far under the loudest cell the colours reach."""
MOST_KINDS = 6
MAX_SECONDS = 3.0


def typical(generator: SoundGenerator, records: Sequence[Record]) -> Record:
    """The record with the median reconstruction error."""
    given = np.stack([generator.bundle.value_range.model_input(record) for record in records])
    errors = np.square(given - generator.autoencoder.reconstruct(given)[0]).mean(axis=(1, 2, 3))
    return records[int(np.argsort(errors, kind="stable")[len(errors) // 2])]


def draw(model: str, dataset: str, label: str, output: Path, split: str | None, seed: int) -> None:
    """Write the picture."""
    prepare()
    generator, opened = SoundGenerator.load(model, seed), open_dataset(dataset)
    by_kind: dict[str, list[Record]] = {}
    for record in opened.records(split or default_split(opened)):
        if record.segment == 0 and record.labels.get(label):
            by_kind.setdefault(record.labels[label], []).append(record)
    kinds = sorted(by_kind)[:MOST_KINDS]
    if not kinds:
        raise SystemExit(f"--label {label} must be a label of records of the split, there is none")
    listener = Listener(generator, opened, sound_title, MAX_SECONDS)
    chosen = [typical(generator, by_kind[kind]) for kind in kinds]
    new = listener.new_sounds([{label: kind} for kind in kinds], 1, seed)
    sounds = {
        "held out": [listener.original(record) or listener.inversion(record) for record in chosen],
        "reconstructed": [listener.reconstruction(record) for record in chosen],
        "new": [comparison.sounds[0] for comparison in new],
    }
    rows = {name: [sound.log_spectrogram for sound in each] for name, each in sounds.items()}
    loudest = max(float(levels.max()) for row in rows.values() for levels in row)
    spectrogram = generator.bundle.spectrogram
    picture = in_rows(
        rows, kinds, (loudest - SPAN_DB, loudest), generator.bundle.audio.sample_rate, spectrogram.hop_length
    )
    picture.save(output, optimize=True)


def main() -> None:
    """Parse the arguments and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("dataset")
    parser.add_argument("output", type=Path)
    parser.add_argument("--label", required=True, help="whose values are the columns, up to six")
    parser.add_argument("--split", help="test if there is one, else validation")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draw(arguments.model, arguments.dataset, arguments.label, arguments.output, arguments.split, arguments.seed)
    print(f"{arguments.output}: {arguments.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
