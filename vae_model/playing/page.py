"""The page of `audio-vae app`, in Gradio: it only lays out what `Studio` does."""

from __future__ import annotations

from typing import Any

import gradio as gr

from vae_model.playing.heard import MAX_SECONDS, Heard
from vae_model.playing.play_tab import play
from vae_model.playing.studio import Studio
from vae_model.playing.widgets import (
    asset,
    comparison,
    loudness,
    output,
    session_download,
    shown,
    skipping,
    sound_input,
)
from vae_model.prior.prior import GUIDANCE

_SYSTEM = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")
_MONO = ("ui-monospace", "Consolas", "DejaVu Sans Mono", "monospace")
_ANY = ""
"""The choice of a menu that leaves a label open: no label has this value."""


def theme() -> gr.themes.Base:
    """Gradio's plain theme in the machine's own fonts, none is fetched, and with grey words that can be read."""
    plain = gr.themes.Default(primary_hue="pink", font=_SYSTEM, font_mono=_MONO)
    return plain.set(body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_400")


def look() -> dict[str, Any]:
    """What `launch` is given of the page's looks and keys."""
    return {"theme": theme(), "css": asset("page.css"), "js": asset("keys.js")}


def build(studio: Studio, title: str, delete_cache: tuple[int, int]) -> gr.Blocks:
    """The page of a model. delete_cache: every so many seconds, its files of that age in seconds are removed."""
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=delete_cache) as page:
        gr.Markdown(f"# {title}")
        with gr.Tab("Play"):
            play(studio)
        with gr.Tab("Reconstruct"):
            _reconstruct(studio)
        with gr.Tab("Mix"):
            _mix(studio)
        with gr.Tab("Generate"):
            _generate(studio)
        if studio.has_prior:
            with gr.Tab("Vary"):
                _vary(studio)
        session_download(studio)

        def forget(request: gr.Request) -> None:
            studio.sessions.forget(request.session_hash or "")

        page.unload(forget)
    return page


def _reconstruct(studio: Studio) -> None:
    gr.Markdown(f"Drop a sound or record one. The model passes on up to {MAX_SECONDS:.0f} s of it.")
    with gr.Row():
        with gr.Column():
            given = sound_input(studio, "Your sound", "given")
            compare = comparison("compare", "given", "reconstruction")
        outputs = output("Reconstruction", "reconstruction")

    reconstruct = skipping(studio, studio.reconstruct, lambda heard: (loudness(studio, heard),))
    given.change(reconstruct, given, [*outputs, compare], show_progress="minimal", trigger_mode="always_last")


def _mix(studio: Studio) -> None:
    gr.Markdown("What lies between the beginnings of two sounds.")
    with gr.Row():
        with gr.Column():
            first, second = sound_input(studio, "One sound", "first"), sound_input(studio, "Another", "second")
            part = gr.Slider(0, 1, 0.5, step=0.05, label="From one to another", elem_id="part")
        with gr.Column():
            outputs = output("Mixed", "mixed", autoplay=True)
    mix = skipping(studio, studio.mix)
    for event in (first.change, second.change, part.input):
        event(mix, [first, second, part], outputs, show_progress="minimal", trigger_mode="always_last")


def _generate(studio: Studio) -> None:
    gr.Markdown(
        "A latent drawn from where those of the training sounds lie. The same number gives the same sound; pressed "
        "again, it is the next number's."
    )
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
            heard = gr.State(None)
        with gr.Column():
            outputs = output("New sound", "generated", autoplay=True)

    def new(number: int, guided: float, length: float, *chosen: str) -> Heard:
        pairs = zip(studio.labels, chosen, strict=True)
        labels = {name: value for name, value in pairs if value != _ANY}
        return studio.generate(number, labels, guided, length if is_free else None)

    def settle(last: list[Any] | None, number: float | None, *asked: Any) -> tuple[int, list[Any]]:
        """The number of the sound to make: the one that is shown, but the next where that has been made."""
        wanted = [int(number or 0), *asked]
        wanted[0] = (wanted[0] + 1) % 2**31 if wanted == last else wanted[0]
        return wanted[0], wanted

    inputs = [seed, guidance, seconds, *menus]
    again.click(settle, [heard, *inputs], [seed, heard]).then(shown(studio, new), inputs, outputs)


def _vary(studio: Studio) -> None:
    gr.Markdown("Drop a sound: what is like its beginning, by what the model learned of all sounds.")
    with gr.Row():
        with gr.Column():
            given = sound_input(studio, "Your sound", "to-vary")
            amount = gr.Slider(0.05, 1, 0.3, step=0.05, label="How far from it", elem_id="amount")
            number = gr.Number(0, label="Number", precision=0, minimum=0, maximum=2**31 - 1, elem_id="variation")
            again = gr.Button("Another", variant="primary", elem_id="vary")
        with gr.Column():
            outputs = output("Variation", "varied", autoplay=True)
    vary = skipping(studio, lambda path, share, seed: studio.vary(path, share, int(seed)))
    inputs = [given, amount, number]
    for event in (given.change, amount.input, number.change):
        event(vary, inputs, outputs, show_progress="minimal", trigger_mode="always_last")
    again.click(lambda seed: int(seed or 0) + 1, number, number)
