"""Flags that several commands share."""

from __future__ import annotations

import argparse

from vae_model.model_folder.config import NO_CHANGE, NORMALISATIONS, PHASES


def add_seed(parser: argparse.ArgumentParser) -> None:
    """The flag `--seed`, None for a new one."""
    parser.add_argument(
        "--seed", type=int, metavar="S", help="the same seed gives the same sounds (default: a new one)"
    )


def add_phase(parser: argparse.ArgumentParser, *more: str) -> None:
    """The flag --phase: one of PHASES, or of `more`."""
    parser.add_argument(
        "--phase",
        choices=(*PHASES, *more),
        default=PHASES[0],
        help=f"how the phases are found, docs/sound.md (default: {PHASES[0]})",
    )


def add_code(parser: argparse.ArgumentParser, *, feature: bool = True, model: bool = True) -> None:
    """The flags that let code of one's own be imported, for the help: `cli` takes them off the command line before.

    feature: whether the command makes or hears sound, so that it needs the feature's class. model: whether it takes a
    model.
    """
    group = parser.add_argument_group("code of your own")
    if feature:
        text = "import this feature, which the dataset or the model is of (docs/features.md)"
        group.add_argument("--feature", metavar="MODULE:CLASS", help=text)
    if model:
        text = "import this module, with the class that the model is of (docs/own-code.md)"
        group.add_argument("--import", metavar="MODULE", help=text)


def add_normalise(parser: argparse.ArgumentParser) -> None:
    """The flag --normalise."""
    parser.add_argument(
        "--normalise",
        choices=NORMALISATIONS,
        default=NO_CHANGE,
        help=f"how loud each WAV file is made: as its spectrogram says, or all to one peak, or to one loudness, "
        f"docs/sound.md (default: {NO_CHANGE})",
    )


def add_recordings(parser: argparse.ArgumentParser) -> None:
    """The flag --recordings, for what compares with originals."""
    parser.add_argument(
        "--recordings",
        nargs="+",
        default=[],
        metavar="INPUT",
        help="folders or files, also URIs, that the dataset was made of (of those that it names, only files on this "
        "machine are read)",
    )


def add_prior(parser: argparse.ArgumentParser, label_help: str) -> None:
    """The flags of what is drawn from a learned prior: --label, --guidance, --temperature."""
    parser.add_argument("--label", action="append", type=_label, metavar="NAME=VALUE", help=f"{label_help}; repeatable")
    parser.add_argument(
        "--guidance",
        type=float,
        metavar="G",
        help="how much more than the data the sounds are what their labels say; 0: as the data (default: what measured "
        "best, docs/latents.md)",
    )
    parser.add_argument(
        "--temperature", type=float, metavar="T", help="of the noise; below 1 the sounds are more alike (default: 1)"
    )


def labels_of(arguments: argparse.Namespace) -> dict[str, str] | None:
    """What --label named; None when nothing."""
    return None if arguments.label is None else dict(arguments.label)


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} must look like digit=3")
    return name, value
