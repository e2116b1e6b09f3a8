"""What the tabs of the page have in common: where sounds come in, where they are heard, and errors as messages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from pipelines.errors import AudioVaeError
from vae_model.playing.figure import figure
from vae_model.playing.heard import Heard, playable, write_sound
from vae_model.playing.studio import Studio

T = TypeVar("T")
Outputs = tuple[str | None, str, str]
_NATIVE = gr.WaveformOptions(show_recording_waveform=False)
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
        waveform_options=_NATIVE,
        elem_id=name,
    )
    given.upload(_telling(lambda path: playable(path, studio.folder)), given, given, show_progress="hidden")
    return given


def output(label: str, name: str, autoplay: bool = False) -> list[gr.components.Component]:
    """A player, whose button downloads a WAV file, what there is to say of the sound, and the picture below."""
    with gr.Column():
        made = gr.Audio(
            label=label,
            interactive=False,
            autoplay=autoplay,
            buttons=["download"],
            waveform_options=_NATIVE,
            elem_id=name,
            elem_classes="made",
        )
        facts = gr.Markdown(elem_id=f"{name}-facts")
        picture = gr.HTML(elem_id=f"{name}-picture", js_on_load=None)
    return [made, facts, picture]


def shown(studio: Studio, make: Callable[..., Heard]) -> Callable[..., Outputs]:
    """`make` for Gradio: what it heard as the values of a player, a line of text and a picture."""

    hop_length = studio.generator.bundle.spectrogram.hop_length

    def show(*values: Any) -> Outputs:
        heard = make(*values)
        path = write_sound(studio.folder, heard.name, heard.waveform, studio.sample_rate)
        return path, heard.facts(studio.sample_rate), figure(heard, studio.sample_rate, hop_length)

    return _telling(show)


def _telling(make: Callable[..., T]) -> Callable[..., T]:
    """The same, with its errors as a message on the page."""

    def tell(*values: Any) -> T:
        try:
            return make(*values)
        except AudioVaeError as error:
            reason = getattr(error, "reason", str(error))  # without the path of the upload on this machine
            raise gr.Error(f"This could not be used: {reason}", print_exception=False) from error

    return tell


def skipping(studio: Studio, make: Callable[..., Heard]) -> Callable[..., Outputs]:
    """The same as `_shown`, doing nothing while an input is empty."""
    show = shown(studio, make)
    return lambda *values: (None, "", "") if None in values else show(*values)
