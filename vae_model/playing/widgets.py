"""What the tabs of the page have in common: where sounds come in, where they are heard, and errors as messages."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.errors import AudioVaeError
from vae_model.playing.figure import figure
from vae_model.playing.heard import Heard, loudness_of, playable, write_sound
from vae_model.playing.sessions import MAX_MB, MAX_SOUNDS
from vae_model.playing.studio import Studio

Values = tuple[str | None, ...]
"""Of outputs of the page."""
NATIVE = gr.WaveformOptions(show_recording_waveform=False)
"""The browser's own player. Gradio's draws every sound up to full height, however faint it is."""


def asset(name: str) -> str:
    """The text of a file of the page's."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def sound_input(studio: Studio, label: str, name: str) -> gr.Audio:
    """Where a sound is dropped or recorded; what browsers don't play, such as AIFF, is turned into what they do."""
    given = gr.Audio(
        label=label,
        type="filepath",
        sources=["upload", "microphone"],
        editable=False,
        buttons=["download"],  # Gradio's own also share, on a site elsewhere
        waveform_options=NATIVE,
        elem_id=name,
    )

    def played(path: str) -> Any:
        with telling():
            made = playable(path, studio.folder)
        return gr.skip() if made == path else made  # a value that is set again would count as a change

    given.upload(played, given, given, show_progress="hidden")
    return given


def output(label: str, name: str, autoplay: bool = False, original: str = "") -> list[gr.components.Component]:
    """A player, whose button downloads a WAV file, what there is to say of the sound, and the picture below.

    original: the name of another player, for a comparison with it after these.
    """
    with gr.Column():
        made = gr.Audio(
            label=label,
            interactive=False,
            autoplay=autoplay,
            buttons=["download"],
            waveform_options=NATIVE,
            elem_id=name,
            elem_classes="made",
        )
        facts = gr.Markdown(elem_id=f"{name}-facts")
        compared = [comparison(f"compare-{name}", original, name)] if original else []
        picture = gr.HTML(elem_id=f"{name}-picture", js_on_load=None)
    return [made, facts, picture, *compared]


def comparison(name: str, original: str, made: str) -> gr.HTML:
    """Buttons that play one and the other of two players, by their names, at equal loudness.

    A is the original. Its value is as of `loudness`.
    """
    return gr.HTML(
        value="",
        html_template=asset("compare.html"),
        css_template=asset("compare.css"),
        js_on_load=asset("compare.js"),
        players={"given": original, "reconstruction": made},
        elem_id=name,
        elem_classes="comparison",
    )


def loudness(studio: Studio, heard: Heard) -> str:
    """Of a sound and its original in LUFS, as JSON for `comparison`; "" where one is silent or not there."""
    levels = {"given": heard.original_lufs, "reconstruction": loudness_of(heard.waveform, studio.sample_rate)}
    return json.dumps(levels) if all(level and math.isfinite(level) for level in levels.values()) else ""


def shown(
    studio: Studio, make: Callable[..., Heard], also: Callable[[Heard], Values] | None = None
) -> Callable[..., Values]:
    """`make` for Gradio: what it heard as the values of a player, a line of text and a picture, and what `also` says.

    It is kept for the session's download.
    """
    hop_length = studio.generator.bundle.spectrogram.hop_length

    def show(request: gr.Request, *values: Any) -> Values:
        with telling():
            heard = make(*values)
        path = write_sound(studio.folder, heard.name, heard.waveform, studio.sample_rate)
        if not heard.passing and request.session_hash:
            studio.sessions.keep(request.session_hash, path)
        outputs = (path, heard.facts(studio.sample_rate), figure(heard, studio.sample_rate, hop_length))
        return outputs if also is None else (*outputs, *also(heard))

    return show


@contextmanager
def telling() -> Iterator[None]:
    """Errors as a message on the page."""
    try:
        yield
    except AudioVaeError as error:
        reason = getattr(error, "reason", str(error))  # without the path of the upload on this machine
        raise gr.Error(f"This could not be used: {reason}", print_exception=False) from error


def skipping(
    studio: Studio, make: Callable[..., Heard], also: Callable[[Heard], Values] | None = None
) -> Callable[..., Values]:
    """The same as `shown`, doing nothing while an input is empty."""
    show = shown(studio, make, also)
    nothing = (None, "", "") if also is None else (None, "", "", "")

    def show_or_skip(request: gr.Request, *values: Any) -> Values:
        return nothing if None in values else show(request, *values)

    return show_or_skip


def session_download(studio: Studio) -> None:
    """A button that downloads all sounds of the session."""
    with gr.Row():
        ask = gr.Button(
            f"Download the sounds made on this page (ZIP; the last {MAX_SOUNDS}, up to {MAX_MB} MB)",
            elem_id="zip",
            size="sm",
        )
        file = gr.DownloadButton("sounds.zip", visible="hidden", elem_id="zip-file")

    def packed(request: gr.Request) -> str:
        path = studio.sessions.zip(request.session_hash or "")
        if path is None:
            raise gr.Error("No sound has been made on this page yet.", print_exception=False)
        return path

    click = "() => setTimeout(() => document.querySelector('#zip-file').click(), 200)"
    ask.click(packed, None, file, show_progress="hidden").success(None, None, None, js=click)
