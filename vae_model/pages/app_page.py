"""The page of `audio-vae app`, in Gradio: it only lays out what `studio` does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.errors import AudioVaeError
from vae_model.pages.app_actions import MAX_SECONDS, Heard, Studio
from vae_model.prior.prior import GUIDANCE

_SYSTEM = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")
_MONO = ("ui-monospace", "Consolas", "DejaVu Sans Mono", "monospace")
_ANY = ""
"""The choice of a menu that leaves a label open: no label has this value."""
_Outputs = tuple[tuple[int, NDArray[np.int16]], Image.Image]


def theme() -> gr.themes.Base:
    """Gradio's plain theme in the machine's own fonts: none is fetched."""
    return gr.themes.Default(primary_hue="pink", font=_SYSTEM, font_mono=_MONO)


def build(studio: Studio, title: str, delete_cache: tuple[int, int]) -> gr.Blocks:
    """The page of a model. delete_cache: every so many seconds, its files of that age in seconds are removed."""
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=delete_cache) as page:
        gr.Markdown(f"# {title}")
        with gr.Tab("Reconstruct"):
            _reconstruct(studio)
        with gr.Tab("Move"):
            _move(studio)
        with gr.Tab("Mix"):
            _mix(studio)
        with gr.Tab("Generate"):
            _generate(studio)
        if studio.has_prior:
            with gr.Tab("Vary"):
                _vary(studio)
    return page


def _reconstruct(studio: Studio) -> None:
    gr.Markdown(f"Drop a sound or record one. The model passes on up to {MAX_SECONDS:.0f} s of it.")
    with gr.Row():
        given = _input("Your sound", "given")
        made, picture = _output("Reconstruction", "reconstruction")
    given.change(_skipping(studio, studio.reconstruct), given, [made, picture], show_progress="minimal")


def _move(studio: Studio) -> None:
    gr.Markdown(
        "Directions in which the latents of the training sounds differ most, in standard deviations from their mean."
    )
    with gr.Row():
        with gr.Column():
            sliders = [
                gr.Slider(-3, 3, 0, step=0.1, label=f"Direction {number}", elem_id=f"direction-{number}")
                for number in range(1, studio.directions + 1)
            ]
            reset = gr.Button("Back to the mean")
        with gr.Column():
            made, picture = _output("Sound here", "moved", autoplay=True)
    move = _shown(studio, lambda *amounts: studio.move(list(amounts)))
    for slider in sliders:
        slider.release(move, sliders, [made, picture], show_progress="hidden", trigger_mode="always_last")
    reset.click(lambda: [0.0] * len(sliders), None, sliders).then(move, sliders, [made, picture])


def _mix(studio: Studio) -> None:
    gr.Markdown("What lies between the beginnings of two sounds.")
    with gr.Row():
        with gr.Column():
            first, second = _input("One sound", "first"), _input("Another", "second")
            part = gr.Slider(0, 1, 0.5, step=0.05, label="From one to another", elem_id="part")
        with gr.Column():
            made, picture = _output("Mixed", "mixed", autoplay=True)
    mix = _skipping(studio, studio.mix)
    for event in (first.change, second.change, part.release):
        event(mix, [first, second, part], [made, picture], show_progress="minimal", trigger_mode="always_last")


def _generate(studio: Studio) -> None:
    gr.Markdown("A latent drawn from where those of the training sounds lie. The same number gives the same sound.")
    with gr.Row():
        with gr.Column():
            menus = [
                gr.Dropdown([("any", _ANY), *values], value=_ANY, label=name, elem_id=f"label-{number}")
                for number, (name, values) in enumerate(studio.labels.items(), start=1)
            ]
            guidance = gr.Slider(
                0,
                4,
                GUIDANCE,
                step=0.1,
                label="Guidance: how plainly it is what its labels say",
                elem_id="guidance",
                visible=studio.has_prior,
            )
            segment, longest = studio.generator.bundle.audio.segment_seconds, studio.longest_seconds
            is_free = longest > segment
            most = longest if is_free else segment + 1
            seconds = gr.Slider(segment, most, segment, label="Seconds", elem_id="seconds", visible=is_free)
            seed = gr.Number(0, label="Number", precision=0, minimum=0, maximum=2**31 - 1, elem_id="seed")
            again = gr.Button("Generate", variant="primary", elem_id="generate")
        with gr.Column():
            made, picture = _output("New sound", "generated", autoplay=True)

    def new(number: float | None, guided: float, length: float, *chosen: str) -> Heard:
        pairs = zip(studio.labels, chosen, strict=True)
        labels = {name: value for name, value in pairs if value != _ANY}
        return studio.generate(int(number or 0), labels, guided, length if is_free else None)

    inputs = [seed, guidance, seconds, *menus]
    again.click(_shown(studio, new), inputs, [made, picture]).then(lambda number: int(number or 0) + 1, seed, seed)


def _vary(studio: Studio) -> None:
    gr.Markdown("Drop a sound: what is like its beginning, by what the model learned of all sounds.")
    with gr.Row():
        with gr.Column():
            given = _input("Your sound", "to-vary")
            amount = gr.Slider(0.05, 1, 0.3, step=0.05, label="How far from it", elem_id="amount")
            number = gr.Number(0, label="Number", precision=0, minimum=0, maximum=2**31 - 1, elem_id="variation")
            again = gr.Button("Another", variant="primary", elem_id="vary")
        with gr.Column():
            made, picture = _output("Variation", "varied", autoplay=True)
    vary = _skipping(studio, lambda path, share, seed: studio.vary(path, share, int(seed)))
    inputs = [given, amount, number]
    for event in (given.change, amount.release, number.change):
        event(vary, inputs, [made, picture], show_progress="minimal", trigger_mode="always_last")
    again.click(lambda seed: int(seed or 0) + 1, number, number)


def _input(label: str, name: str) -> gr.Audio:
    return gr.Audio(
        label=label,
        type="filepath",
        sources=["upload", "microphone"],
        editable=False,
        buttons=["download"],  # Gradio's own also share, on a site elsewhere
        elem_id=name,
    )


def _output(label: str, name: str, autoplay: bool = False) -> tuple[gr.Audio, gr.Image]:
    """A player, whose button downloads a WAV file, and the picture below it."""
    with gr.Column():
        made = gr.Audio(
            label=label, interactive=False, format="wav", autoplay=autoplay, buttons=["download"], elem_id=name
        )
        picture = gr.Image(
            label="Spectrogram", show_label=False, interactive=False, type="pil", buttons=[], elem_id=f"{name}-picture"
        )
    return made, picture


def _shown(studio: Studio, make: Callable[..., Heard]) -> Callable[..., _Outputs]:
    """`make` for Gradio: what it heard as a player's and a picture's value, its errors as a message on the page."""

    def show(*values: Any) -> _Outputs:
        try:
            heard = make(*values)
        except AudioVaeError as error:
            reason = getattr(error, "reason", str(error))  # without the path of the upload on this machine
            raise gr.Error(f"This could not be used: {reason}", print_exception=False) from error
        samples = (heard.waveform * 32767).round().astype(np.int16)
        return (studio.sample_rate, samples), studio.picture(heard)

    return show


def _skipping(studio: Studio, make: Callable[..., Heard]) -> Callable[..., Any]:
    """The same, doing nothing while an input is empty."""
    show = _shown(studio, make)
    return lambda *values: (None, None) if None in values else show(*values)
