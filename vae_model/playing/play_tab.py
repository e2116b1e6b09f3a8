"""The tab to play on: the map of sounds, and sliders along the directions from what was touched there."""

from __future__ import annotations

import gradio as gr

from vae_model.playing.board import Touch, for_page
from vae_model.playing.directions import told_of
from vae_model.playing.heard import Heard, write_sound
from vae_model.playing.studio import Studio
from vae_model.playing.widgets import NATIVE, Values, asset, loudness, output, shown


def play(studio: Studio) -> None:
    """Lay out the tab."""
    gr.Markdown(_about(studio))
    with gr.Row():
        with gr.Column(scale=3, min_width=300):
            board = gr.HTML(
                html_template=asset("board.html"),
                css_template=asset("board.css"),
                js_on_load=asset("board.js"),
                board=for_page(studio.sounds, studio.directions),
                elem_id="board",
            )
        with gr.Column(scale=2, min_width=300):
            outputs = output("Sound here", "moved", autoplay=True, original="original")
            original = gr.Audio(interactive=False, visible="hidden", elem_id="original", waveform_options=NATIVE)
    gr.Markdown(_about_sliders(studio))
    sliders = []
    with gr.Row():
        for number, change in enumerate(studio.directions.changes, start=1):
            label = f"Direction {number}{told_of(change)}"
            sliders.append(gr.Slider(-3, 3, 0, step=0.1, label=label, elem_id=f"direction-{number}", min_width=320))
    reset = gr.Button("Sliders to 0", elem_id="reset")

    def sound(touched: str | None, *amounts: float) -> Heard:
        return studio.play(Touch.of_json(touched, len(studio.sounds)), amounts)

    def beside(heard: Heard) -> Values:
        if heard.original is None:
            return "", None
        path = write_sound(studio.folder, f"recording of {heard.name}", heard.original, studio.sample_rate)
        return loudness(studio, heard), path

    inputs, make = [board, *sliders], shown(studio, sound, beside)
    outputs.append(original)
    for event in (board.input, *(slider.input for slider in sliders)):  # sliders: by pointer, key or number
        event(make, inputs, outputs, show_progress="hidden", trigger_mode="always_last")
    reset.click(lambda: [0.0] * len(sliders), None, sliders).then(make, inputs, outputs, show_progress="hidden")


def _about(studio: Studio) -> str:
    count = len(studio.sounds)
    what = f"{count} of the training sounds" if studio.has_training_sounds else f"{count} new sounds"
    beside = " A and B compare with its recording, where that is still there." if studio.has_training_sounds else ""
    return (
        f"A map of {what}. Click to hear one; drag to morph between those near the pointer. Space plays again; on the "
        f"map arrow keys go from sound to sound, with Shift between them.{beside}"
    )


def _about_sliders(studio: Studio) -> str:
    told = (
        " Beside each stands what there is more (+) or less (−) of along it: the rank correlation over the sounds of "
        "the map, where it is at least 0.3."
    )
    return (
        "Sliders go from the sound that was touched, or from the mean, along the directions in which the model's "
        f"sounds differ most, in standard deviations.{told if any(studio.directions.changes) else ''}"
    )
