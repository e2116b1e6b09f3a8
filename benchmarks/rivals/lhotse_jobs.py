"""The same arrays as lhotse features, extracted by several jobs; runs in an environment of its own.

usage: lhotse_jobs.py RECORDINGS OUTPUT JOBS
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import torch
from lhotse import CutSet, FeatureExtractor, NumpyFilesWriter, Recording, RecordingSet
from lhotse.features.base import register_extractor
from lhotse.utils import compute_num_frames

SAMPLE_RATE, SECONDS, FRAME_SIZE, HOP_LENGTH = 22050, 0.74, 512, 256


@dataclass
class LogSpectrogramConfig:
    frame_size: int = FRAME_SIZE
    hop_length: int = HOP_LENGTH

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> LogSpectrogramConfig:
        return LogSpectrogramConfig(**values)


@register_extractor
class LogSpectrogram(FeatureExtractor):
    name = "log-spectrogram"
    config_type = LogSpectrogramConfig

    @property
    def frame_shift(self) -> float:
        return HOP_LENGTH / SAMPLE_RATE

    def feature_dim(self, sampling_rate: int) -> int:
        return FRAME_SIZE // 2

    def extract(self, samples: Any, sampling_rate: int) -> Any:
        """As many frames as lhotse wants for the recording's length: it pads and cuts when batches are made."""
        signal = np.asarray(samples)[0]
        stft = librosa.stft(signal, n_fft=FRAME_SIZE, hop_length=HOP_LENGTH)[:-1]
        n_frames = compute_num_frames(len(signal) / sampling_rate, self.frame_shift, sampling_rate)
        array = librosa.amplitude_to_db(np.abs(stft))[:, :n_frames]
        return ((array - array.min()) / (array.max() - array.min())).T


if __name__ == "__main__":
    torch.set_num_threads(1)
    paths = sorted(Path(sys.argv[1]).rglob("*.wav"))
    recordings = RecordingSet.from_recordings(
        Recording.from_file(path, recording_id=f"{path.parent.name}-{path.stem}").resample(SAMPLE_RATE)
        for path in paths
    )
    cuts = CutSet.from_manifests(recordings=recordings).truncate(max_duration=SECONDS, offset_type="start")
    cuts.compute_and_store_features(
        LogSpectrogram(), storage_path=sys.argv[2], num_jobs=int(sys.argv[3]), storage_type=NumpyFilesWriter
    )
