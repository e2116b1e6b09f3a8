"""The same records as a TensorFlow Datasets builder on Beam; runs in an environment of its own.

usage: tfds_beam.py RECORDINGS OUTPUT WORKERS
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import apache_beam as beam
import librosa
import numpy as np
import tensorflow_datasets as tfds
from apache_beam.options.pipeline_options import PipelineOptions

SAMPLE_RATE, SECONDS, FRAME_SIZE, HOP_LENGTH = 22050, 0.74, 512, 256
RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
RECORDINGS, OUTPUT, WORKERS = Path(sys.argv[1]), sys.argv[2], sys.argv[3]


def example(path: str) -> tuple[str, dict[str, Any]]:
    signal, _ = librosa.load(path, sr=SAMPLE_RATE, duration=SECONDS, mono=True)
    signal = librosa.util.fix_length(signal, size=int(SAMPLE_RATE * SECONDS))
    stft = librosa.stft(signal, n_fft=FRAME_SIZE, hop_length=HOP_LENGTH)[:-1]
    array = librosa.amplitude_to_db(np.abs(stft))
    low, high = array.min(), array.max()
    normalised = ((array - low) / (high - low)).astype(np.float32)[..., np.newaxis]
    return path, {"spectrogram": normalised, "min_db": low, "max_db": high, "source": path}


class Spectrograms(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        features = {
            "spectrogram": tfds.features.Tensor(shape=(256, 64, 1), dtype=np.float32),
            "min_db": np.float32,
            "max_db": np.float32,
            "source": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: Any) -> Any:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Any:
        paths = [str(path) for path in sorted(RECORDINGS.rglob("*.wav"))]
        return beam.Create(paths) | beam.Reshuffle() | beam.Map(example)


if __name__ == "__main__":
    mode = "in_memory" if WORKERS == "1" else "multi_processing"
    flags = [f"--runner={RUNNER}", f"--direct_num_workers={WORKERS}", f"--direct_running_mode={mode}"]
    config = tfds.download.DownloadConfig(beam_options=PipelineOptions(flags), try_download_gcs=False)
    Spectrograms(data_dir=OUTPUT).download_and_prepare(download_config=config)
