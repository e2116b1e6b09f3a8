"""The pipeline that one writes first: spectrograms, their global range, normalise with it as a side input, write.

usage: obvious_beam.py RECORDINGS OUTPUT WORKERS

Every spectrogram crosses two stage boundaries: the side input's, and the shuffle of WriteToTFRecord.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apache_beam as beam
import librosa
import numpy as np
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

SAMPLE_RATE, SECONDS, FRAME_SIZE, HOP_LENGTH = 22050, 0.74, 512, 256
RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def spectrogram(path: str) -> tuple[str, Any]:
    signal, _ = librosa.load(path, sr=SAMPLE_RATE, duration=SECONDS, mono=True)
    signal = librosa.util.fix_length(signal, size=int(SAMPLE_RATE * SECONDS))
    stft = librosa.stft(signal, n_fft=FRAME_SIZE, hop_length=HOP_LENGTH)[:-1]
    return path, librosa.amplitude_to_db(np.abs(stft))


class MinMax(beam.CombineFn):
    def create_accumulator(self) -> tuple[float, float]:
        return float("inf"), float("-inf")

    def add_input(self, accumulator: tuple[float, float], element: tuple[str, Any]) -> tuple[float, float]:
        return min(accumulator[0], element[1].min()), max(accumulator[1], element[1].max())

    def merge_accumulators(self, accumulators: Iterable[tuple[float, float]]) -> tuple[float, float]:
        lows, highs = zip(*accumulators, strict=True)
        return min(lows), max(highs)

    def extract_output(self, accumulator: tuple[float, float]) -> tuple[float, float]:
        return accumulator


def example(element: tuple[str, Any], bounds: tuple[float, float]) -> bytes:
    path, array = element
    normalised = (array - bounds[0]) / (bounds[1] - bounds[0])
    values = tf.train.Feature(float_list=tf.train.FloatList(value=normalised.flatten()))
    source = tf.train.Feature(bytes_list=tf.train.BytesList(value=[path.encode()]))
    return tf.train.Example(
        features=tf.train.Features(feature={"spectrogram": values, "source": source})
    ).SerializeToString()


def main(recordings: Path, output: Path, workers: str) -> None:
    paths = [str(path) for path in sorted(recordings.rglob("*.wav"))]
    mode = "in_memory" if workers == "1" else "multi_processing"
    flags = [f"--runner={RUNNER}", f"--direct_num_workers={workers}", f"--direct_running_mode={mode}"]
    with beam.Pipeline(options=PipelineOptions(flags, save_main_session=True)) as pipeline:
        spectrograms = pipeline | beam.Create(paths) | beam.Reshuffle() | beam.Map(spectrogram)
        bounds = spectrograms | beam.CombineGlobally(MinMax())
        examples = spectrograms | beam.Map(example, beam.pvalue.AsSingleton(bounds))
        _ = examples | beam.io.WriteToTFRecord(str(output / "train"), num_shards=16)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
