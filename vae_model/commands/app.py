"""The command `audio-vae app`: a local web page on which to play with a model."""

from __future__ import annotations

import argparse
import sys
import threading

from pipelines.flags import parse
from pipelines.signals import handling
from vae_model.commands.arguments import add_code, add_recordings
from vae_model.playing.app import open_app


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(
        prog="audio-vae app",
        description="Open a local web page on which to hear a model: drop or record a sound and hear its "
        "reconstruction, move through the latents, mix two sounds, generate new ones. Ctrl-C ends it. Needs "
        "pip install 'audio-vae[app]'.",
    )
    result.add_argument("model", metavar="MODEL", help="folder that `audio-vae train` wrote")
    result.add_argument(
        "--dataset", metavar="DATASET", help="put sounds of this dataset on the map (those that training left in MODEL)"
    )
    add_recordings(result)
    result.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on (127.0.0.1: this machine alone; anyone who reaches another one can use the page)",
    )
    result.add_argument("--port", type=int, default=7860, metavar="N", help="port to listen on (7860)")
    add_code(result)
    return result


def main(argv: list[str]) -> int:
    """Run the command until it is asked to end. SettingError and WorkError are the caller's to print."""
    arguments = parse(parser(), argv)
    at = f"http://{arguments.host}:{arguments.port}"
    print(f"Loading {arguments.model}, which takes up to half a minute; the page will be at {at}", file=sys.stderr)
    stop = threading.Event()
    with (
        open_app(
            arguments.model,
            dataset=arguments.dataset,
            recordings=arguments.recordings,
            host=arguments.host,
            port=arguments.port,
        ) as app,
        handling(lambda number, frame: stop.set()),
    ):
        print(f"{app.url}  (Ctrl-C ends it)", file=sys.stderr, flush=True)
        stop.wait()
    return 0


if __name__ == "__main__":
    from pipelines.cli import run_module

    run_module("vae_model.commands.app")
