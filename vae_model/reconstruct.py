"""The command `audio-vae reconstruct`: audio files through a model and back to sound."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pipelines.errors import SettingError, SourceError
from pipelines.sources import find_audio
from vae_model.config import ORIGINAL_PHASE
from vae_model.files import output_folder
from vae_model.options import add_phase


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
    targets = [Path(arguments.output) / name for name in wav_names(sources, _suffix(arguments.phase))]
    _require_apart(sources, targets)
    from vae_model.runtime import prepare

    prepare()
    from vae_model.sound import SoundGenerator, write_wav

    generator = SoundGenerator.load(arguments.model, phase=arguments.phase)
    output_folder(arguments.output)
    sample_rate = generator.bundle.audio.sample_rate
    written, failed = [], []
    for source, target in zip(sources, targets, strict=True):
        try:
            samples = write_wav(target, generator.reconstruct_file(source), sample_rate)
        except SourceError as error:
            failed.append({"source": source, "error_stage": error.stage, "error": error.reason})
            print(f"audio-vae reconstruct: {' '.join(str(error).split())}", file=sys.stderr)
        else:
            written.append({"source": source, "path": str(target), "num_samples": samples})
            print(f"{source} -> {target}", file=sys.stderr)
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
        stem, number = PurePosixPath(source).stem, 1
        name = f"{stem}{suffix}"
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}{suffix}"
        taken.add(name.casefold())
        yield name


def _require_apart(sources: list[str], targets: list[Path]) -> None:
    """SettingError when writing a target would destroy one of the inputs."""
    inputs = {os.path.realpath(source): source for source in sources if os.path.exists(source)}
    for target in targets:
        if source := inputs.get(os.path.realpath(target)):
            raise SettingError(f"--output {target.parent} must be another folder than that of AUDIO {source}")
