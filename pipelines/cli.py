"""The console: finds the command that is named, runs it, and turns its errors into a line and an exit status.

Each command is imported only when it is asked for. `python -m pipelines` knows the commands on datasets;
`audio-vae`, in vae_model/cli.py, knows all.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import platform
import select
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from pipelines import __version__
from pipelines.console.names import one_line
from pipelines.errors import AudioVaeError
from pipelines.own_folder import own_temporary_folder
from pipelines.signals import terminable
from pipelines.space import FULL

COMMANDS = {
    "preprocess": ("pipelines.commands.preprocess", "turn folders of audio into a dataset, or bring one up to date"),
    "info": ("pipelines.commands.info", "show what is in a dataset"),
    "verify": ("pipelines.commands.verify", "read every record of a dataset back and check it"),
    "compact": ("pipelines.commands.compact", "make full shards of a dataset's small ones"),
    "import-npy": ("pipelines.commands.import_npy", "make a dataset of the course's .npy files"),
    "prune": ("pipelines.commands.prune", "remove the folders of runs that a dataset no longer uses"),
}
"""Of each command its module, whose `main` takes the words that follow it, and what it is for."""
_VERSIONS = ("keras", "tensorflow", "apache-beam")
"""Packages whose versions decide what works, by their names in a package index."""
COMPLETION = "--print-completion"
_SETTLED = ("preprocess", "rerun")


def help_text(commands: Mapping[str, tuple[str, str]] = COMMANDS) -> str:
    """The list of commands."""
    lines = [f"  {name:<15}{summary}" for name, (_, summary) in commands.items()]
    return "\n".join(
        [
            "usage: audio-vae COMMAND …",
            "",
            "Turn a folder of audio into a dataset, learn a model of the sounds, and make sound from it.",
            "",
            *lines,
            "",
            "audio-vae COMMAND --help, or audio-vae help COMMAND, shows the options of a command.",
            "audio-vae --version shows the versions that matter.",
            "audio-vae --print-completion bash, zsh or fish prints what completes commands and options by Tab.",
            "--feature module:Class lets any command import the feature of your own that a dataset or a model is of;",
            "--import module the class of your own that a model is of.",
        ]
    )


def version_text() -> str:
    """The version of audio-vae, and those of Python and of packages that decide what works, none of them imported."""
    from importlib import metadata

    lines = [
        f"audio-vae {__version__}",
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}",
    ]
    for name in _VERSIONS:
        try:
            lines.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{name} is not installed")
    return "\n".join(lines)


def _allow_feature(name: str) -> None:
    from pipelines.config import allow_feature

    allow_feature(name)


CodeFlags = Mapping[str, tuple[Callable[[str], None], Sequence[str]]]
CODE_FLAGS: dict[str, tuple[Callable[[str], None], Sequence[str]]] = {
    "--feature": (_allow_feature, ("preprocess", "watch")),
}
"""Flags that let code be imported, of any command: what each does with its value, and the commands that have it."""


def completion_text(shell: str, commands: Mapping[str, tuple[str, str]] = COMMANDS) -> str:
    """The script with which a shell completes these commands and their options. SettingError for another shell."""
    from pipelines.console.completion import completion_script

    parsers = ((name, text, importlib.import_module(module).parser()) for name, (module, text) in commands.items())
    return completion_script(shell, parsers)


def run(
    argv: list[str],
    commands: Mapping[str, tuple[str, str]] = COMMANDS,
    is_own_process: bool = False,
    code_flags: CodeFlags = CODE_FLAGS,
) -> int:
    """Run a command and return its exit status: 0 done, 1 the work failed, 2 wrong use, 3 too many failures.

    What asks the process to end does so as Ctrl-C does, from here on. Where nobody reads what is printed any more, as
    after `| head -1`, the command ends without a word. is_own_process: whether nothing else runs in this process, so
    that settings of the whole of it may be made.
    """
    name = argv[0] if argv else ""
    try:
        if is_own_process:
            own_temporary_folder()
        with terminable():
            try:
                status = _run(argv, commands, is_own_process, code_flags)
            except SystemExit:  # argparse's, which may have printed the help
                sys.stdout.flush()
                raise
            sys.stdout.flush()
    except AudioVaeError as error:
        _tell(f"audio-vae {name}: {one_line(error)}")
        return error.exit_status
    except KeyboardInterrupt:
        _tell(f"audio-vae {name}: interrupted")
        return 1
    except BrokenPipeError:
        if not _leave_closed_pipes():
            raise
        return 1
    except OSError as error:
        if error.errno not in FULL:
            raise
        _tell(f"audio-vae {name}: {error.filename or 'what is printed'} cannot be written: {error.strerror}")
        if is_own_process and error.filename is None:
            _to_nowhere(1)  # else the interpreter's end tries again
        return 1
    finally:
        if is_own_process:
            gc.freeze()  # else the interpreter's end looks through all that Beam and TensorFlow left, for 0.2 s
    return status


def _run(argv: list[str], commands: Mapping[str, tuple[str, str]], is_own_process: bool, code_flags: CodeFlags) -> int:
    if argv[:1] == ["help"]:
        argv = [*argv[1:2], "--help"]
    if not argv or argv[0] in ("-h", "--help"):
        print(help_text(commands))
        return 0 if argv else 2
    if argv[0] in ("-V", "--version"):
        print(version_text())
        return 0
    if argv[0] == COMPLETION:
        print(completion_text(argv[1] if len(argv) > 1 else "", commands))
        return 0
    if argv[0] not in commands:
        print(f"audio-vae: COMMAND={argv[0]!r} must be one of {', '.join(commands)}", file=sys.stderr)
        return 2
    if is_own_process and argv[0] in _SETTLED:
        from pipelines.console import terminal

        terminal.settle()
    module, _ = commands[argv[0]]
    words = allowing(argv[0], argv[1:], code_flags)
    status: int = importlib.import_module(module).main(words)
    return status


def _tell(line: str) -> None:
    """Say it where there still is somebody to hear: of a terminal that was closed, nobody is."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def _leave_closed_pipes() -> bool:
    """Whether nobody reads standard output or error any more; then what is still to be written there goes nowhere."""
    closed = False
    for descriptor in (1, 2):
        waiting = select.poll()
        waiting.register(descriptor, 0)
        if any(event & select.POLLERR for _, event in waiting.poll(0)):
            _to_nowhere(descriptor)
            closed = True
    return closed


def _to_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def allowing(command: str, words: list[str], flags: CodeFlags) -> list[str]:
    """The words without `--feature NAME` and its like, which let code that a dataset or a model names be imported."""
    rest, given = [], iter(words)
    for word in given:
        flag, equals, name = word.partition("=")
        if flag not in flags or command in flags[flag][1]:
            rest.append(word)
            continue
        flags[flag][0](name if equals else next(given, ""))
    return rest


def run_module(module: str) -> NoReturn:
    """Run the command of a module as `audio-vae` runs it: for `python -m pipelines.commands.info`, and its like."""
    name = module.rsplit(".", 1)[-1]
    sys.exit(run([name, *sys.argv[1:]], {name: (module, "")}, is_own_process=True))


def main() -> int:
    """Run what the command line of `python -m pipelines` asks for."""
    return run(sys.argv[1:], is_own_process=True)
