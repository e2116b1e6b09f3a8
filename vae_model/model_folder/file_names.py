"""A file for each source in an output folder: the tree of the sources stays, and none takes another's place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from pipelines import store
from pipelines.audio.sources import AudioFile, canonical
from pipelines.errors import SettingError
from pipelines.store import read_json, write_json
from pipelines.store.json_values import Value
from vae_model.model_folder.folder import file_in
from vae_model.model_folder.outputs import Output

RECORD_FILE = "sources.json"
"""What each file in the folder was made of: {its name: the source}."""


def read_record(folder: str) -> dict[str, str]:
    """The record of an output folder at a path or URI; nothing where there is none."""
    path = file_in(folder, RECORD_FILE)
    if not store.exists(path):
        return {}
    try:
        return {name: source.text() for name, source in Value(path, read_json(path)).object().items()}
    except SettingError as error:
        raise SettingError(f"--output {folder} must be another folder: {error}") from error


def without_own(sources: Sequence[AudioFile], folder: str) -> list[AudioFile]:
    """The sources but those that an earlier call has written into the folder: it may lie in that of the sources."""
    own = {store.identity(file_in(folder, name)) for name in read_record(folder)}
    return [source for source in sources if not own or store.identity(source.uri) not in own]


def claim_names(output: Output, sources: Sequence[AudioFile], suffix: str) -> list[str]:
    """A file name in the folder for each source, put down in its record before any of the files is written.

    It is the source's path below its input with another suffix. Where that is another source's, or there is a file of
    which the record has no word, a number is added. Names that differ only in case are one, as they are to some file
    systems. The same source gets the same name again.
    """
    record = read_record(output.name)
    taken, names = {name.casefold() for name in record}, []
    for source in sources:
        owner = canonical(source.uri)
        for name in candidates(source.name, suffix):
            is_free = name.casefold() not in taken and not store.exists(output.file(name))
            if (is_free or record.get(name) == owner) and name not in names:
                break
        taken.add(name.casefold())
        record[name] = owner
        names.append(name)
    write_json(output.path / RECORD_FILE, dict(sorted(record.items())))
    return names


def candidates(name: str, suffix: str) -> Iterator[str]:
    """`a/x.wav`, `a/x-2.wav`, … of a source that may be called by a stranger: none lies outside of the folder."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("..", "/")]
    path = PurePosixPath(*parts)
    yield str(path.with_name(path.stem + suffix))
    number = 2
    while True:
        yield str(path.with_name(f"{path.stem}-{number}{suffix}"))
        number += 1
