"""The command `audio-vae reconstruct`: audio files through a model and back to sound."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import PurePosixPath

from pipelines import store
from pipelines.audio.sources import find_audio
from pipelines.errors import SettingError, SourceError
from vae_model.commands.arguments import add_phase
from vae_model.model_folder.config import ORIGINAL_PHASE
from vae_model.model_folder.folder import file_in
from vae_model.model_folder.outputs import output_folder


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae reconstruct",
        description="Pass audio through a model and write what comes out: a WAV file for each input, of its length.",
    )
    result.add_argument("model", metavar="MODEL", help="folder that `audio-vae train` wrote")
    result.add_argument("audio", metavar="AUDIO", nargs="+", help="audio files, or folders of them")
    result.add_argument("--output", required=True, metavar="DIR", help="folder for the WAV files")
    add_phase(result, ORIGINAL_PHASE)
    result.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return result


def main(argv: list[str]) -> int:
    """Run the command: 0, or 1 when some of the files could not be used. Other errors are the caller's to print."""
    arguments = parser().parse_args(argv)
    sources = find_audio(arguments.audio)
    names = list(wav_names(sources, _suffix(arguments.phase)))
    _require_apart(sources, arguments.output, names)
    from vae_model.runtime import prepare

    prepare()
    from vae_model.sound.generator import SoundGenerator
    from vae_model.sound.wav import write_wav

    generator = SoundGenerator.load(arguments.model, phase=arguments.phase)
    sample_rate = generator.bundle.audio.sample_rate
    written, failed = [], []
    with output_folder(arguments.output) as output:
        for source, name in zip(sources, names, strict=True):
            try:
                samples = write_wav(output.path / name, generator.reconstruct_file(source), sample_rate)
            except SourceError as error:
                failed.append({"source": store.shown(source), "error_stage": error.stage, "error": error.reason})
                print(f"audio-vae reconstruct: {' '.join(str(error).split())}", file=sys.stderr)
            else:
                written.append({"source": store.shown(source), "path": output.file(name), "num_samples": samples})
                print(f"{store.shown(source)} -> {output.file(name)}", file=sys.stderr)
    if arguments.json:
        values = {"sample_rate": sample_rate, "phase": arguments.phase, "written": written, "failed": failed}
        print(json.dumps(values))
    return 1 if failed else 0


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
