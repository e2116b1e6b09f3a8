"""The page of `audio-vae app`, in Gradio: it only lays out what `studio` does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import gradio as gr
from PIL import Image

from pipelines.errors import AudioVaeError
from vae_model.pages.app_actions import MAX_SECONDS, Heard, Studio, playable, write_sound
from vae_model.prior.prior import GUIDANCE

_SYSTEM = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")
_MONO = ("ui-monospace", "Consolas", "DejaVu Sans Mono", "monospace")
_ANY = ""
"""The choice of a menu that leaves a label open: no label has this value."""
T = TypeVar("T")
_Outputs = tuple[str | None, str, Image.Image | None]
_NATIVE = gr.WaveformOptions(show_recording_waveform=False)
"""The browser's own player. Gradio's draws every sound up to full height, however faint it is."""


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
        given = _input(studio, "Your sound", "given")
        outputs = _output("Reconstruction", "reconstruction")
    given.change(
        _skipping(studio, studio.reconstruct), given, outputs, show_progress="minimal", trigger_mode="always_last"
    )


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
            outputs = _output("Sound here", "moved", autoplay=True)
    move = _shown(studio, lambda *amounts: studio.move(list(amounts)))
    for slider in sliders:  # by pointer, key or number
        slider.input(move, sliders, outputs, show_progress="hidden", trigger_mode="always_last")
    reset.click(lambda: [0.0] * len(sliders), None, sliders).then(move, sliders, outputs)


def _mix(studio: Studio) -> None:
    gr.Markdown("What lies between the beginnings of two sounds.")
    with gr.Row():
        with gr.Column():
            first, second = _input(studio, "One sound", "first"), _input(studio, "Another", "second")
            part = gr.Slider(0, 1, 0.5, step=0.05, label="From one to another", elem_id="part")
        with gr.Column():
            outputs = _output("Mixed", "mixed", autoplay=True)
    mix = _skipping(studio, studio.mix)
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
            outputs = _output("New sound", "generated", autoplay=True)

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
    again.click(settle, [heard, *inputs], [seed, heard]).then(_shown(studio, new), inputs, outputs)


def _vary(studio: Studio) -> None:
    gr.Markdown("Drop a sound: what is like its beginning, by what the model learned of all sounds.")
    with gr.Row():
        with gr.Column():
            given = _input(studio, "Your sound", "to-vary")
            amount = gr.Slider(0.05, 1, 0.3, step=0.05, label="How far from it", elem_id="amount")
            number = gr.Number(0, label="Number", precision=0, minimum=0, maximum=2**31 - 1, elem_id="variation")
            again = gr.Button("Another", variant="primary", elem_id="vary")
        with gr.Column():
            outputs = _output("Variation", "varied", autoplay=True)
    vary = _skipping(studio, lambda path, share, seed: studio.vary(path, share, int(seed)))
    inputs = [given, amount, number]
    for event in (given.change, amount.input, number.change):
        event(vary, inputs, outputs, show_progress="minimal", trigger_mode="always_last")
    again.click(lambda seed: int(seed or 0) + 1, number, number)


def _input(studio: Studio, label: str, name: str) -> gr.Audio:
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


def _output(label: str, name: str, autoplay: bool = False) -> list[gr.components.Component]:
    """A player, whose button downloads a WAV file, what there is to say of the sound, and the picture below."""
    with gr.Column():
        made = gr.Audio(
            label=label,
            interactive=False,
            autoplay=autoplay,
            buttons=["download"],
            waveform_options=_NATIVE,
            elem_id=name,
        )
        facts = gr.Markdown(elem_id=f"{name}-facts")
        picture = gr.Image(
            label="Spectrogram", show_label=False, interactive=False, type="pil", buttons=[], elem_id=f"{name}-picture"
        )
    return [made, facts, picture]


def _shown(studio: Studio, make: Callable[..., Heard]) -> Callable[..., _Outputs]:
    """`make` for Gradio: what it heard as the values of a player, a line of text and a picture."""

    def show(*values: Any) -> _Outputs:
        heard = make(*values)
        path = write_sound(studio.folder, heard.name, heard.waveform, studio.sample_rate)
        return path, heard.facts(studio.sample_rate), studio.picture(heard)

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


def _skipping(studio: Studio, make: Callable[..., Heard]) -> Callable[..., _Outputs]:
    """The same as `_shown`, doing nothing while an input is empty."""
    show = _shown(studio, make)
    return lambda *values: (None, "", None) if None in values else show(*values)
