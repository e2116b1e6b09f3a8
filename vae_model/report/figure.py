"""Log-spectrograms side by side, or in rows and columns, with axes and a colour scale, as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vae_model.report import axes, media
from vae_model.report.log_frequency import log_frequency_ticks, to_log_rows

_PANEL = 192  # a spectrogram's cells are drawn so many whole pixels wide and high that its panel has at least this
_LEFT, _TOP, _RIGHT, _BOTTOM, _GAP = 56, 24, 72, 24, 24
_SCALE_WIDTH = 12
_SIZE = 12
_CELL, _CELL_GAP, _ROW_NAME = (156, 124), 8, 112


def side_by_side(
    log_spectrograms: Mapping[str, np.ndarray], range_db: tuple[float, float], sample_rate: int, hop_length: int
) -> Image.Image:
    """A picture (RGB) of log-spectrograms in dB of one shape (n_bins, n_frames, n_channels), each under its caption.

    range_db: (min, max) of the colour scale. The loudest channel is shown, low frequencies at the bottom.
    """
    n_bins, n_frames = next(iter(log_spectrograms.values())).shape[:2]
    width, height = n_frames * -(-_PANEL // n_frames), n_bins * -(-_PANEL // n_bins)
    count = len(log_spectrograms)
    size = (_LEFT + count * width + (count - 1) * _GAP + _RIGHT, _TOP + height + _BOTTOM)
    figure = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(figure)
    font = ImageFont.load_default(_SIZE)
    bottom = _TOP + height
    for tick in axes.frequency_ticks(n_bins, sample_rate):
        y = bottom - tick.position * height
        draw.text((_LEFT - 6, y), tick.text, "black", font, anchor="rm")
        draw.line([(_LEFT - 4, y), (_LEFT - 1, y)], "black")
    for index, (caption, log_spectrogram) in enumerate(log_spectrograms.items()):
        left = _LEFT + index * (width + _GAP)
        image = media.spectrogram_image(log_spectrogram, range_db).resize((width, height), Image.Resampling.NEAREST)
        figure.paste(image.convert("RGB"), (left, _TOP))
        draw.text((left, _TOP - 6), caption, "black", font, anchor="ls")
        for tick in axes.time_ticks(n_frames, hop_length, sample_rate):
            x = left + tick.position * width
            draw.line([(x, bottom), (x, bottom + 3)], "black")
            draw.text((x, bottom + 5), tick.text, "black", font, anchor="mt")
    _draw_scale(figure, draw, (size[0] - _RIGHT + _GAP // 2, _TOP, height), range_db)
    return figure


def in_rows(
    rows: Mapping[str, Sequence[np.ndarray]],
    columns: Sequence[str],
    range_db: tuple[float, float],
    sample_rate: int,
    hop_length: int,
) -> Image.Image:
    """A picture of few colours of log-spectrograms in dB (n_bins, n_frames, n_channels), in rows that have names.

    columns: their names. All are of one shape, and drawn over octaves, the loudest channel. range_db: (min, max) of the
    colour scale.
    """
    n_bins, n_frames = next(iter(rows.values()))[0].shape[:2]
    (width, height), left = _CELL, _ROW_NAME + _LEFT
    across, down = width + _CELL_GAP, height + _CELL_GAP
    figure = Image.new("RGB", (left + len(columns) * across + _RIGHT, _TOP + len(rows) * down + _BOTTOM), "white")
    draw, font = ImageDraw.Draw(figure), ImageFont.load_default(_SIZE)
    for number, (name, pictures) in enumerate(rows.items()):
        top = _TOP + number * down
        draw.text((8, top + height / 2), name, "black", ImageFont.load_default(_SIZE + 2), anchor="lm")
        for tick in log_frequency_ticks(n_bins, sample_rate, 0.12):
            draw.text((left - 6, top + (1 - tick.position) * height), tick.text, "black", font, anchor="rm")
        for column, picture in enumerate(pictures):
            image = media.spectrogram_image(to_log_rows(picture, sample_rate), range_db).convert("RGB")
            figure.paste(image.resize((width, height), Image.Resampling.BOX), (left + column * across, top))
    for column, name in enumerate(columns):
        place = left + column * across
        draw.text((place + width / 2, _TOP - 6), name, "black", ImageFont.load_default(_SIZE + 2), anchor="ms")
        for tick in axes.time_ticks(n_frames, hop_length, sample_rate):
            anchor = "lt" if tick.position < 0.05 else "mt"
            x = place + (0 if anchor == "lt" else tick.position * width)
            draw.text((x, _TOP + len(rows) * down - 2), tick.text, "black", font, anchor=anchor)
    _draw_scale(figure, draw, (left + len(columns) * across + 4, _TOP, len(rows) * down - _CELL_GAP), range_db)
    colours = Image.new("P", (1, 1))
    greys = np.repeat(np.arange(0, 256, 2).astype(np.uint8), 3).reshape(-1, 3)
    greys[greys >= 248] = 255  # white is looked for in steps of 4
    colours.putpalette(np.concatenate([media.palette()[::2], greys]).tobytes())
    return figure.quantize(palette=colours, dither=Image.Dither.NONE)


def _draw_scale(
    figure: Image.Image, draw: ImageDraw.ImageDraw, place: tuple[int, int, int], range_db: tuple[float, float]
) -> None:
    """The colour scale with its decibels, at (left, top, height)."""
    left, top, height = place
    low, high = range_db
    column = np.linspace(low, high, height)[:, None, None]
    figure.paste(media.spectrogram_image(np.repeat(column, _SCALE_WIDTH, axis=1), range_db).convert("RGB"), (left, top))
    for value in axes.nice_steps(low, high, at_most=4):
        y = top + height * (1 - (value - low) / max(high - low, 1e-6))
        text = f"{axes.number(value)} dB".replace("−", "-")  # the font lacks the true minus
        draw.text((left + _SCALE_WIDTH + 4, y), text, "black", ImageFont.load_default(_SIZE), anchor="lm")
