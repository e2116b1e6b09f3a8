"""The command `audio-vae app`: a local web page on which to play with a model."""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import socket
import sys
import tempfile
import threading
from typing import Any

from pipelines.errors import SettingError, require
from vae_model.model_folder.bundle import Bundle

MAX_UPLOAD_MB = 20
"""Larger uploads are refused."""


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
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on (127.0.0.1: this machine alone; anyone who reaches another one can use the page)",
    )
    result.add_argument("--port", type=int, default=7860, metavar="N", help="port to listen on (7860)")
    return result


def main(argv: list[str]) -> int:
    """Run the command until SIGINT or SIGTERM. SettingError and WorkError are the caller's to print."""
    arguments = parser().parse_args(argv)
    require(0 < arguments.port < 65536, "--port", arguments.port, "from 1 to 65535")
    if importlib.util.find_spec("gradio") is None:
        raise SettingError("audio-vae app needs Gradio: pip install 'audio-vae[app]'")
    Bundle.load(arguments.model)  # mistakes show before TensorFlow's seconds of loading
    _require_free(arguments.host, arguments.port)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    from vae_model.runtime import prepare

    prepare()
    with tempfile.TemporaryDirectory(prefix="audio-vae-app-") as folder:
        page = _launch(arguments.model, arguments.host, arguments.port, folder)
        print(f"http://{arguments.host}:{arguments.port}  (Ctrl-C ends it)", file=sys.stderr, flush=True)
        stop.wait()
        page.close(verbose=False)
    return 0


def _launch(model: str, host: str, port: int, folder: str) -> Any:
    """Start the page's server in a thread; uploads and sounds lie in `folder`, the only one that it serves files of."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = folder
    os.environ["HF_HUB_OFFLINE"] = "1"
    from vae_model.pages.app_actions import Studio
    from vae_model.pages.app_page import build, theme
    from vae_model.pages.facts import name_of
    from vae_model.sound.generator import SoundGenerator

    studio = Studio(SoundGenerator.load(model))
    studio.move([0.0])  # compiles what the first sound would wait for
    page = build(studio, f"Sounds of {name_of(model)}")
    page.queue(default_concurrency_limit=1, api_open=False)
    page.launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        allowed_paths=[],
        max_file_size=MAX_UPLOAD_MB * 2**20,
        ssr_mode=False,
        pwa=False,
        enable_monitoring=False,
        footer_links=[],
        theme=theme(),
    )
    return page


def _require_free(host: str, port: int) -> None:
    """SettingError when the address can't be listened on."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise SettingError(f"--host {host} --port {port} must be free to listen on: {error.strerror}") from error
