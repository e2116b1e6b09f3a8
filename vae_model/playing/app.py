"""The server of the local web page on which to play with a model."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.errors import SettingError, require
from pipelines.own_folder import own_folder
from pipelines.store.paths import Place
from vae_model.model_folder.bundle import Bundle
from vae_model.pages.facts import name_of
from vae_model.runtime import prepare

MAX_UPLOAD_MB = 20
"""Larger uploads are refused."""
_LOOK_SECONDS = 60
_PREFIX = "audio-vae-app-"


@dataclass(frozen=True)
class App:
    """A page that is served at `url` until it is closed, also at the end of a `with`."""

    url: str
    _page: Any
    _folder: Path

    def close(self) -> None:
        """End the server, and remove uploads and sounds."""
        self._page.close(verbose=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> App:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_app(
    model: Place,
    *,
    dataset: Place | None = None,
    recordings: Sequence[Place] = (),
    host: str = "127.0.0.1",
    port: int = 7860,
) -> App:
    """Serve a local web page on which to play with a model: `audio-vae app`. It goes on while the program does.

    model: the MODEL folder at a path or URI. dataset: whose training sounds are on the map, instead of those that
    training left in the MODEL folder; without either new sounds are. recordings: folders or files, also URIs, that the
    dataset was made of, to hear beside what the model makes of them; those that it names itself are looked at where
    they are files on this machine. host: the address to listen on; anyone who
    reaches another one than 127.0.0.1 can use the page. Pages of other sites can't: see Guard. Uploads and sounds lie
    in a temporary folder for a quarter of an hour, those that were made on a page while it is open: see Sessions.
    SettingError when Gradio is not installed, the port is taken, or the dataset is made as the model's was not.

    >>> with open_app(model, port=port) as app:
    ...     page = urllib.request.urlopen(app.url).read()
    >>> b"Sounds of" in page
    True
    """
    require(0 < port < 65536, "--port", port, "from 1 to 65535")
    if importlib.util.find_spec("gradio") is None:
        raise SettingError("audio-vae app needs Gradio: pip install 'audio-vae[app]'")
    model = os.fspath(model)
    bundle = Bundle.load(model)  # mistakes show before TensorFlow's seconds of loading
    opened = None if dataset is None else open_dataset(dataset)
    if opened is not None:
        bundle.check_fits(opened, model)
    _require_free(host, port)
    prepare()
    folder = own_folder(_PREFIX)
    try:
        page = _launch(model, host, port, str(folder), opened, [os.fspath(place) for place in recordings])
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return App(f"http://{host}:{port}", page, folder)


def _launch(model: str, host: str, port: int, folder: str, dataset: Dataset | None, recordings: Sequence[str]) -> Any:
    """Start the page's server in a thread; uploads and sounds lie in `folder`, the only one that it serves files of."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = folder
    os.environ["HF_HUB_OFFLINE"] = "1"
    from starlette.middleware import Middleware

    from vae_model.playing.board import Touch
    from vae_model.playing.guard import Guard
    from vae_model.playing.heard import KEPT_SECONDS
    from vae_model.playing.page import build, look
    from vae_model.playing.studio import Studio
    from vae_model.sound.generator import SoundGenerator
    from vae_model.sound.recordings import ModelRecordings
    from vae_model.training_sounds import read_training_sounds, sounds_of_dataset

    generator = SoundGenerator.load(model)
    bundle = generator.bundle
    if dataset is None:
        sounds = read_training_sounds(model, bundle)
    else:
        sounds = sounds_of_dataset(generator.autoencoder, bundle, dataset)
    studio = Studio(generator, folder, sounds, ModelRecordings(bundle, dataset, recordings))
    studio.play(Touch())  # compiles what the first sound would wait for
    page = build(studio, f"Sounds of {name_of(model)}", (_LOOK_SECONDS, KEPT_SECONDS))
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
        **look(),
        app_kwargs={"middleware": [Middleware(Guard, host=host)]},
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
