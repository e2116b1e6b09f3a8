"""Many sounds, each into a WAV file of its own, with progress on standard error."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipelines.console.live_line import counting
from pipelines.errors import WorkError
from pipelines.store import replacing
from vae_model.model_folder.outputs import Output


@dataclass(frozen=True)
class WavFile:
    """A sound that was written. path: a path or URI. about: what else there is to say of it, as JSON values."""

    path: str
    num_samples: int
    about: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {"path": self.path, "num_samples": self.num_samples, **self.about}


def write_sounds(
    output: Output,
    name: str,
    waveforms: Iterable[NDArray[np.float32]],
    sample_rate: int,
    total: int,
    about: Sequence[Mapping[str, Any]],
) -> tuple[WavFile, ...]:
    """Write each waveform (n_samples, n_channels) as `<name>-00001.wav` and so on, and publish them.

    about: what there is to say of each; it may grow while waveforms come.
    """
    written = []
    with counting(total, "sounds") as counter:
        for number, waveform in enumerate(waveforms, start=1):
            file = f"{name}-{number:05}.wav"
            samples = write_wav(output.path / file, [waveform], sample_rate)
            written.append((output.file(file), samples))
            counter.add()
    output.publish()
    print(f"{len(written):,} sounds in {output.name}", file=sys.stderr)
    return tuple(WavFile(*file, more) for file, more in zip(written, about, strict=True))


_BLOCK = 65536


def write_wav(path: Path, blocks: Iterable[NDArray[np.float32]], sample_rate: int) -> int:
    """Write waveform blocks (n_samples, n_channels) as a 16 bit WAV file, all at once; returns its samples.

    When a sample is beyond full scale the whole is made quieter until its peak is 1. The blocks pass through a
    temporary file, so that memory does not grow with their number.
    """
    spool = path.with_name(f".float-{path.name}")
    try:
        peak, count = _spool(spool, blocks, sample_rate)
        gain = 1.0 / max(peak, 1.0)
        with replacing(path) as partial, soundfile.SoundFile(spool) as source:
            shape: Any = {"samplerate": sample_rate, "channels": source.channels, "subtype": "PCM_16", "format": "WAV"}
            with soundfile.SoundFile(partial, "w", **shape) as target:
                for block in source.blocks(_BLOCK, dtype="float32", always_2d=True):
                    target.write(block * np.float32(gain))
        return count
    except soundfile.LibsndfileError as error:
        raise WorkError(f"{path} cannot be written: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            spool.unlink()


def _spool(path: Path, blocks: Iterable[NDArray[np.float32]], sample_rate: int) -> tuple[float, int]:
    """Write the blocks as float32 into a file that may exceed 4 GB; the peak and the number of samples."""
    blocks = iter(blocks)
    first = next(blocks)
    peak, count = 0.0, 0
    with soundfile.SoundFile(path, "w", sample_rate, first.shape[1], "FLOAT", format="W64") as file:
        for block in (block for part in ([first], blocks) for block in part):
            peak, count = max(peak, float(np.abs(block).max(initial=0.0))), count + len(block)
            file.write(block)
    return peak, count
