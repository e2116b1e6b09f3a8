"""Audio files to a dataset as one ordinary Beam pipeline: load, cut and pad, log-spectrogram, normalise, write.

usage: beam_pipeline.py RECORDINGS DATASET [Beam options]

`audio-vae preprocess RECORDINGS --output DATASET --preset tiny` writes the same records, byte for byte, a shard at a
time (docs/architecture.md says what that is good for). `audio-vae train DATASET` takes either.
"""

from __future__ import annotations

import sys

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.beam import CutSegments, ExtractFeatures, GlobalRange, Normalise, ReadAudio, WriteDataset
from pipelines.config import PRESETS


def main(recordings: str, dataset: str, beam_flags: list[str]) -> None:
    config = PRESETS["tiny"]
    with beam.Pipeline(options=PipelineOptions(beam_flags)) as pipeline:
        audio = pipeline | ReadAudio(recordings, config.audio)
        extracted = audio.waveforms | CutSegments(config.audio) | ExtractFeatures(config.spectrogram)
        records = extracted.features | Normalise()
        written = records | WriteDataset(dataset, config, failures=[audio.failures, extracted.failures])
        _ = extracted.features | GlobalRange() | beam.Map(lambda pair: print(f"{pair[0]:.1f} to {pair[1]:.1f} dB"))
        _ = written | "Done" >> beam.Map(print)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
