"""The right preset is offered: once, where much would be thrown away, by headers that are read anyway."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.audio.headers import Header, read_headers
from pipelines.config import PRESETS
from pipelines.plan.advice import is_like_music, what_is_lost
from tests.helpers.console import run_in_process
from tests.helpers.sounds import tone
from vae_model.demonstration import preset_for

OFFER = "7 of 8 files are in stereo at 44.1 kHz, 25% are longer than a segment of 0.74 s: --preset music keeps that"


@pytest.fixture
def loops(tmp_path: Path) -> Path:
    folder = tmp_path / "loops"
    folder.mkdir()
    for number in range(8):
        sound = tone(200 + 10 * number, 1.0 if number > 5 else 0.5, 44100)
        soundfile.write(folder / f"{number}.wav", np.stack([sound] * (2 if number else 1), 1), 44100)
    return folder


def test_headers_say_length_rate_and_channels(loops: Path) -> None:
    (loops / "broken.wav").write_bytes(b"RIFF")
    found = read_headers([str(loops / name) for name in ("0.wav", "7.wav", "broken.wav")])
    assert found == [Header(0.5, 44100, 1), Header(1.0, 44100, 2), None]


def test_the_preset_is_offered_to_a_person_and_once(loops: Path, tmp_path: Path) -> None:
    def said(output: str, *flags: object) -> str:
        done = run_in_process("preprocess", loops, "--output", tmp_path / output, "--workers", 1, *flags)
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert said("first").count(OFFER) == 1
    assert "music" not in said("first")  # there it is by now
    soundfile.write(loops / "more.wav", np.stack([tone(900, 0.5, 44100)] * 2, 1), 44100)
    assert "music" not in said("first")
    for number, flags in enumerate(
        (["--json"], ["--preset", "tiny"], ["--sample-rate", 16000], ["--segments", "first"])
    ):
        assert "music" not in said(str(number), *flags)


def test_what_is_offered_says_how_many_were_looked_at() -> None:
    default, music = PRESETS["default"].audio, PRESETS["music"].audio
    headers = [Header(2.0, 48000, 2)] * 20 + [Header(0.2, 44100, 1)] * 12
    wanted = "20 of 32 files that were looked at are in stereo at 48 kHz, 62% are longer"
    assert (what_is_lost(headers, 286, default) or "").startswith(wanted)
    assert what_is_lost(headers, 286, music) is None
    assert what_is_lost([Header(3.0, 16000, 1)] * 32, 32, default) is None
    assert what_is_lost([Header(3.0, 16000, 2)] * 32, 32, default) is None
    assert not is_like_music([])
    assert not is_like_music(headers[13:])


def test_the_demo_takes_the_preset_of_its_folder(loops: Path, tone_folder: Path) -> None:
    assert preset_for(str(loops)) == "music"
    assert preset_for(str(tone_folder)) == "tiny"
