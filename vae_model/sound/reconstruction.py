"""Audio files through a model and back to sound, a WAV file for each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from pipelines import store
from pipelines.audio.sources import find_audio
from pipelines.errors import SettingError, SourceError
from pipelines.store.paths import Place
from vae_model.model_folder.config import NO_CHANGE, ORIGINAL_PHASE, PHASES
from vae_model.model_folder.folder import file_in
from vae_model.model_folder.outputs import output_folder
from vae_model.runtime import prepare


@dataclass(frozen=True)
class Reconstruction:
    """What came out for a file. path: of the WAV file, a path or URI. warning: such as that the file is cut short.

    limited_db: the most that was taken off where the sound was beyond full scale, 0 when nothing was.
    """

    source: str
    path: str
    num_samples: int
    limited_db: float = 0.0
    warning: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; what there is nothing to say of is left out."""
        return {name: value for name, value in asdict(self).items() if value or name == "num_samples"}


@dataclass(frozen=True)
class Failure:
    """A file that could not be used, where it failed, and why."""

    source: str
    error_stage: str
    error: str


@dataclass(frozen=True)
class Reconstructions:
    """What came out for all files."""

    sample_rate: int
    phase: str
    written: tuple[Reconstruction, ...]
    failed: tuple[Failure, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        written = [one.to_dict() for one in self.written]
        failed = [asdict(one) for one in self.failed]
        return {"sample_rate": self.sample_rate, "phase": self.phase, "written": written, "failed": failed}


def reconstruct(
    model: Place,
    audio: Place | Sequence[Place],
    output: Place,
    *,
    phase: str = PHASES[0],
    normalise: str = NO_CHANGE,
    tell: Callable[[Reconstruction | SourceError], None] = lambda outcome: None,
) -> Reconstructions:
    """Pass audio through a model and write what comes out, a WAV file of the same length: `audio-vae reconstruct`.

    model: the MODEL folder at a path or URI. audio: files, or folders of them. output: the folder to write into,
    another than theirs. phase: how phases are found, docs/sound.md; `original` takes those that went in.
    normalise: how loud the files are made, as of `generate`. tell: is told what came of each file, as soon as it is
    known. A file that can't be used stops none of the others.

    >>> heard = reconstruct(model, [sounds / "tone_00.wav", sounds / "tone_01.wav"], folder / "heard")
    >>> [(one.source == str(sounds / "tone_00.wav"), one.num_samples) for one in heard.written]
    [(True, 16000), (False, 16000)]
    """
    model, output = os.fspath(model), os.fspath(output)
    sources = find_audio([os.fspath(place) for place in ([audio] if isinstance(audio, (str, os.PathLike)) else audio)])
    names = list(wav_names(sources, _suffix(phase)))
    _require_apart(sources, output, names)
    prepare()
    from vae_model.sound.generator import SoundGenerator
    from vae_model.sound.wav import require_normalisation, write_wav

    require_normalisation(normalise)
    generator = SoundGenerator.load(model, phase=phase)
    sample_rate = generator.bundle.audio.sample_rate
    written, failed = [], []
    with output_folder(output) as folder:
        for source, name in zip(sources, names, strict=True):
            try:
                warnings: list[str] = []
                blocks = generator.reconstruct_file(source, warnings.append)
                got = write_wav(folder.path / name, blocks, sample_rate, normalise)
            except SourceError as error:
                failed.append(Failure(store.shown(source), error.stage, error.reason))
                tell(error)
            else:
                written.append(Reconstruction(store.shown(source), folder.file(name), *got, *warnings))
                tell(written[-1])
    return Reconstructions(sample_rate, phase, tuple(written), tuple(failed))


def _suffix(phase: str) -> str:
    """Of the files' names: phases that no model could find are named."""
    return ".original-phase.wav" if phase == ORIGINAL_PHASE else ".wav"


def wav_names(sources: list[str], suffix: str = ".wav") -> Iterator[str]:
    """A file name for each source: its own with this suffix, and a number more where that is taken.

    Names that differ only in case are one name, as they are to some file systems.
    """
    taken: set[str] = set()
    for source in sources:
        stem, number = PurePosixPath(store.split(source)[1]).stem, 1
        name = f"{stem}{suffix}"
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}{suffix}"
        taken.add(name.casefold())
        yield name


def _require_apart(sources: list[str], folder: str, names: list[str]) -> None:
    """SettingError when writing files of these names into the folder would destroy one of the inputs."""
    inputs = {store.identity(source): source for source in sources}
    for name in names:
        if source := inputs.get(store.identity(file_in(folder, name))):
            raise SettingError(f"--output {folder} must be another folder than that of AUDIO {source}")
