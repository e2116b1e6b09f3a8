"""Audio files through a model and back to sound, a WAV file for each."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipelines import store
from pipelines.audio.sources import AudioFile, find_audio
from pipelines.errors import SettingError, SourceError
from pipelines.store.paths import Place
from vae_model.model_folder.config import NO_CHANGE, ORIGINAL_PHASE, PHASES
from vae_model.model_folder.file_names import RECORD_FILE, candidates, claim_names, without_own
from vae_model.model_folder.folder import file_in
from vae_model.model_folder.outputs import make_folder, output_folder
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

    model: the MODEL folder at a path or URI. audio: files, or folders of them, whose tree stays. output: the folder to
    write into, another than theirs; no file in it that is of another source, or nobody knows of what, is replaced. Its
    sources.json says what came of which source. phase: how phases are found, docs/sound.md; `original` takes those that
    went in. normalise: how loud the files are made, as of `generate`. tell: is told what came of each file, as soon as
    it is known. A file that can't be used stops none of the others.

    >>> heard = reconstruct(model, [sounds / "tone_00.wav", sounds / "tone_01.wav"], folder / "heard")
    >>> [(one.source == str(sounds / "tone_00.wav"), one.num_samples) for one in heard.written]
    [(True, 16000), (False, 16000)]
    """
    model, output = os.fspath(model), os.fspath(output)
    places = [audio] if isinstance(audio, (str, os.PathLike)) else audio
    sources = without_own(find_audio([os.fspath(place) for place in places]), output)
    suffix = _suffix(phase)
    _require_apart(sources, output, suffix)
    prepare()
    from vae_model.sound.generator import SoundGenerator
    from vae_model.sound.wav import require_normalisation, write_wav

    require_normalisation(normalise)
    generator = SoundGenerator.load(model, phase=phase)
    sample_rate = generator.bundle.audio.sample_rate
    written: list[Reconstruction] = []
    failed: list[Failure] = []
    with output_folder(output) as folder:
        folder.fetch([RECORD_FILE])
        for source, name in zip(sources, claim_names(folder, sources, suffix), strict=True):
            shown = store.shown(source.uri)
            try:
                warnings: list[str] = []
                blocks = generator.reconstruct_file(source.uri, warnings.append)
                make_folder((folder.path / name).parent)
                with folder.telling_what_is_left(len(written)):
                    got = write_wav(folder.path / name, blocks, sample_rate, normalise)
            except SourceError as error:
                failed.append(Failure(shown, error.stage, error.reason))
                tell(error)
            else:
                written.append(Reconstruction(shown, folder.file(name), *got, *warnings))
                tell(written[-1])
    return Reconstructions(sample_rate, phase, tuple(written), tuple(failed))


def _suffix(phase: str) -> str:
    """Of the files' names: phases that no model could find are named."""
    return ".original-phase.wav" if phase == ORIGINAL_PHASE else ".wav"


def _require_apart(sources: list[AudioFile], folder: str, suffix: str) -> None:
    """SettingError when the folder is that of the inputs: the outputs would then lie among them, by the same names."""
    if not sources:
        raise SettingError(f"AUDIO must hold other sounds than those that were written into --output {folder}")
    inputs = {store.identity(source.uri): source.uri for source in sources}
    for source in sources:
        name = next(candidates(source.name, suffix))
        if found := inputs.get(store.identity(file_in(folder, name))):
            raise SettingError(f"--output {folder} must be another folder than that of AUDIO {found}")
