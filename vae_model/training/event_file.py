"""Event files, from which TensorBoard shows a run: TFRecord files of `tensorboard.Event` messages."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.audio import metadata
from tensorboard.util.tensor_util import make_tensor_proto

from pipelines.dataset.framing import frame
from pipelines.errors import WorkError
from pipelines.space import why_unwritten
from vae_model.report.media import wav_bytes

_VERSION = "brain.Event:2"


class EventFile:
    """A new event file in a folder, to which every `write_…` appends at once.

    first_step: what this run begins with. Events of this step and later ones that an earlier run left in the folder
    are superseded: TensorBoard leaves them out. WorkError when it can't be written.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads a folder's files in the order of their names, and knows them by "tfevents".
        self.path = folder / f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"
        self._append(Event(file_version=_VERSION))
        self._append(Event(step=first_step, session_log=SessionLog(status=SessionLog.START)))

    def write_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers by name."""
        self._summary(step, [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])

    def write_images(self, step: int, images: Mapping[str, Image.Image]) -> None:
        """Pictures by name, as PNG."""
        values = []
        for tag, image in images.items():
            buffer = io.BytesIO()
            image.save(buffer, "PNG")
            png = Summary.Image(
                width=image.width, height=image.height, colorspace=3, encoded_image_string=buffer.getvalue()
            )
            values.append(Summary.Value(tag=tag, image=png))
        self._summary(step, values)

    def write_sounds(self, step: int, waveforms: Mapping[str, NDArray[np.float32]], sample_rate: int) -> None:
        """Waveforms (n_samples, n_channels) by name, full scale ±1 and clipped there, as 16-bit WAV."""
        # Summary.Audio would be shorter, but TensorBoard's fast reader serves it as no audio.
        about = metadata.create_summary_metadata(None, None, encoding=metadata.Encoding.Value("WAV"))
        values = []
        for tag, waveform in waveforms.items():
            clip = np.array([[wav_bytes(waveform, sample_rate), b""]], object)  # the second is a label
            values.append(Summary.Value(tag=tag, tensor=make_tensor_proto(clip), metadata=about))
        self._summary(step, values)

    def _summary(self, step: int, values: list[Any]) -> None:
        self._append(Event(step=step, summary=Summary(value=values)))

    def _append(self, event: Any) -> None:
        event.wall_time = time.time()
        try:
            with self.path.open("ab") as file:
                file.write(frame(event.SerializeToString()))
        except OSError as error:
            raise WorkError(f"{self.path} cannot be written: {why_unwritten(error, self.path)}") from error
