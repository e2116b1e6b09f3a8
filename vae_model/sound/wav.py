"""Many sounds, each into a WAV file of its own, with progress on standard error."""

from __future__ import annotations

import contextlib
import itertools
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipelines.console.live_line import counting
from pipelines.errors import WorkError, require
from pipelines.space import unwritten
from pipelines.store import replacing
from vae_model.model_folder.config import LOUDNESS, NO_CHANGE, NORMALISATIONS, PEAK
from vae_model.model_folder.outputs import Output
from vae_model.sound.limiter import CEILING_DB, Limiter
from vae_model.sound.loudness import LoudnessMeter

TARGET_LUFS = -18.0
"""What `loudness` brings a sound to: the reference of ReplayGain 2.0."""


@dataclass(frozen=True)
class WavFile:
    """A sound that was written. path: a path or URI. about: what else there is to say of it, as JSON values.

    limited_db: the most that was taken off where it was beyond full scale, 0 when nothing was.
    """

    path: str
    num_samples: int
    limited_db: float = 0.0
    about: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        values = {"path": self.path, "num_samples": self.num_samples, **self.about}
        return values | ({"limited_db": self.limited_db} if self.limited_db else {})


class Written(NamedTuple):
    """What a WAV file got. limited_db: as of `WavFile`."""

    num_samples: int
    limited_db: float


def write_sounds(
    output: Output,
    name: str,
    waveforms: Iterable[NDArray[np.float32] | Iterable[NDArray[np.float32]]],
    sample_rate: int,
    total: int,
    about: Sequence[Mapping[str, Any]],
    normalise: str = NO_CHANGE,
) -> tuple[WavFile, ...]:
    """Write each waveform (n_samples, n_channels), or its blocks, as `<name>-00001.wav` and so on, and publish them.

    about: what there is to say of each; it may grow while waveforms come. normalise: as of `write_wav`.
    """
    written = []
    with counting(total, "sounds") as counter:
        for number, waveform in enumerate(waveforms, start=1):
            file = f"{name}-{number:05}.wav"
            blocks = [waveform] if isinstance(waveform, np.ndarray) else waveform
            with output.telling_what_is_left(number - 1):
                got = write_wav(output.path / file, blocks, sample_rate, normalise)
            written.append((output.file(file), got))
            counter.add()
    output.publish()
    print(f"{len(written):,} sounds in {output.name}", file=sys.stderr)
    return tuple(WavFile(path, *got, more) for (path, got), more in zip(written, about, strict=True))


_BLOCK = 65536


def require_normalisation(normalise: str) -> None:
    """SettingError unless it is one of NORMALISATIONS."""
    require(normalise in NORMALISATIONS, "--normalise", normalise, f"one of {', '.join(NORMALISATIONS)}")


def write_wav(
    path: Path, blocks: Iterable[NDArray[np.float32]], sample_rate: int, normalise: str = NO_CHANGE
) -> Written:
    """Write waveform blocks (n_samples, n_channels) as a 16 bit WAV file, all at once.

    normalise: `none` leaves the level as it is, `peak` brings the highest peak to `CEILING_DB`, `loudness` the whole to
    `TARGET_LUFS`. Where that is beyond full scale, a limiter makes it quieter for that moment alone. The blocks pass
    through a temporary file, so that memory does not grow with their number.
    """
    spool = path.with_name(f".float-{path.name}")
    try:
        count, gain = _spool(spool, blocks, sample_rate, normalise)
        limiter = Limiter(sample_rate)
        with replacing(path) as partial, soundfile.SoundFile(spool) as source:
            shape: Any = {"samplerate": sample_rate, "channels": source.channels, "subtype": "PCM_16", "format": "WAV"}
            with soundfile.SoundFile(partial, "w", **shape) as target:
                read = source.blocks(_BLOCK, dtype="float32", always_2d=True)
                for block in limiter.limit(block * gain for block in read):
                    target.write(block)
        return Written(count, round(limiter.limited_db, 2))
    except soundfile.LibsndfileError as error:
        raise unwritten(spool, str(path), error) or WorkError(f"{path} cannot be written: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            spool.unlink()


def _spool(
    path: Path, blocks: Iterable[NDArray[np.float32]], sample_rate: int, normalise: str
) -> tuple[int, np.float32]:
    """Write the blocks as float32 into a file that may exceed 4 GB; their samples, and the gain they are to get."""
    blocks = iter(blocks)
    first = next(blocks)
    peak, count, meter = 0.0, 0, LoudnessMeter(sample_rate)
    with soundfile.SoundFile(path, "w", sample_rate, first.shape[1], "FLOAT", format="W64") as file:
        for block in itertools.chain([first], blocks):
            if normalise == PEAK:
                peak = max(peak, float(np.abs(block).max(initial=0.0)))
            elif normalise == LOUDNESS:
                meter.add(block)
            count += len(block)
            file.write(block)
    gain_db = 0.0
    if peak > 0:
        gain_db = CEILING_DB - 20 * math.log10(peak)
    elif normalise == LOUDNESS and math.isfinite(meter.lufs):
        gain_db = TARGET_LUFS - meter.lufs
    return count, np.float32(10 ** (gain_db / 20))
