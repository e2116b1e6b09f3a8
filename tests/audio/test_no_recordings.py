"""What is no sound, or no recording, is refused by name or told, whatever it says of itself."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.audio.limits import SourceLimits
from pipelines.audio.loading import Loader
from pipelines.errors import SourceError, describe
from tests.helpers import strange_sounds as strange
from tests.helpers.strange_sounds import (
    RATE,
    by_pyav,
    encoded,
    loaded,
    mp3,
    sine,
    without_length,
)

# What is no sound -----------------------------------------------------------------------------------------------------

NO_SOUND = {
    "empty": (b"", "the file is empty"),
    "zeros": (bytes(1000), "it begins with nothing but zeros"),
    "page": (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "it is a web page"),
    "pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n",
        "it is a pointer of git-lfs (`git lfs pull` brings the sound)",
    ),
    "text": (b"This is no sound.\n" * 30, "it is text"),
    "list of other files": (b"ffconcat version 1.0\nfile 'secret.wav'\n", "it is text"),
    "playlist": (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/secret.ts\n", "it is text"),
}


@pytest.mark.parametrize("suffix", ["aac", "m4a", "webm", "mka", "wma", "wav", "mp3", "flac", "ogg", "au"])
@pytest.mark.parametrize("kind", NO_SOUND)
def test_what_is_no_sound_is_named(tmp_path: Path, kind: str, suffix: str) -> None:
    data, reason = NO_SOUND[kind]
    with pytest.raises(SourceError) as caught:
        loaded(tmp_path / f"sound.{suffix}", data)
    assert (caught.value.stage, caught.value.reason) == ("open", f"Format not recognised: {reason}")


@pytest.mark.parametrize("lead", [b"\0", b"\x01\x02", b"\xff\xfe"])
def test_a_list_of_other_files_is_never_followed(tmp_path: Path, lead: bytes) -> None:
    """Nor when bytes before it hide that it is text."""
    (tmp_path / "secret.wav").write_bytes(encoded(sine(1), "WAV"))
    for text in (b"ffconcat version 1.0\nfile 'secret.wav'\n", b"#EXTM3U\n#EXTINF:1,\nsecret.wav\n#EXT-X-ENDLIST\n"):
        for suffix in ("m4a", "aac", "mka", "wma"):
            with pytest.raises(SourceError):
                loaded(tmp_path / f"list.{suffix}", lead + text)


# What is no recording -------------------------------------------------------------------------------------------------


def test_a_sound_longer_than_its_bytes_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="its sample rate of 23 Hz is that of no recording, 1,000 Hz at least"):
        loaded(tmp_path / "tiny.flac", strange.tiny_flac_of_hours(), 22050)
    with pytest.raises(SourceError, match=r"gives [\d,]+ s of sound and more from 55 bytes: no recording does"):
        loaded(tmp_path / "tiny.flac", strange.tiny_flac_of_hours())
    silence, _ = loaded(tmp_path / "silence.flac", encoded(np.zeros((RATE * 120, 1), np.float32), "FLAC"))
    assert len(silence) == RATE * 120


def test_a_longer_source_than_is_allowed_fails(tmp_path: Path) -> None:
    limits = SourceLimits(max_source_seconds=3.0)
    for suffix, make in ((".wav", lambda: encoded(sine(4), "WAV")), (".mp3", lambda: without_length(mp3(sine(4))))):
        with pytest.raises(SourceError, match="--max-source-seconds=3 allows less"):
            loaded(tmp_path / f"long{suffix}", make(), limits=limits)
        assert len(loaded(tmp_path / f"long{suffix}", make(), duration=0.5, limits=limits)[0]) == RATE // 2
        assert len(loaded(tmp_path / f"short{suffix}", make(), limits=SourceLimits(4.5))[0]) > 3.9 * RATE


def test_a_level_far_over_full_scale_fails_or_is_told(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    samples = sine(1)
    samples[1000] = 1e10
    one = encoded(samples, "WAV", "FLOAT")
    with pytest.raises(SourceError, match="its level of 200 dB over full scale is above --max-over-full-scale-db=20"):
        loaded(path, one)
    whole = encoded(32768 * sine(1), "WAV", "FLOAT")
    with pytest.raises(SourceError, match="82 dB over full scale"):
        loaded(path, whole)
    told = loaded(path, whole, limits=SourceLimits(max_over_full_scale_db=float("inf")))[1]
    assert told == ["its level is 82 dB over full scale"]
    assert loaded(path, encoded(5 * sine(1), "WAV", "FLOAT"))[1] == []


def test_channels_that_cancel_are_told(tmp_path: Path) -> None:
    wave = sine(1)
    antiphase = np.concatenate([wave, -wave], axis=1)
    mixed, warnings = loaded(tmp_path / "antiphase.wav", encoded(antiphase, "WAV"))
    assert np.abs(mixed).max() < 1e-4
    assert warnings == ["its channels cancel each other: their mix is silence"]
    assert loaded(tmp_path / "a.wav", encoded(antiphase, "WAV"), mono=False)[1] == []
    assert loaded(tmp_path / "b.wav", encoded(0 * antiphase, "WAV"))[1] == []
    assert loaded(tmp_path / "c.wav", encoded(np.concatenate([wave, wave], axis=1), "WAV"))[1] == []


def test_a_low_rate_is_read_where_it_is_asked_for(tmp_path: Path) -> None:
    data = encoded(sine(4, 250, hz=20), "WAV", rate=250)
    assert len(loaded(tmp_path / "heart.wav", data, 250)[0]) == 1000
    with pytest.raises(SourceError, match="250 Hz is that of no recording"):
        loaded(tmp_path / "heart.wav", data, 22050)


def test_an_unreadable_file_fails_for_what_lies_outside_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "sound.wav")
    with pytest.raises(SourceError) as caught:
        Loader(None).load(path)
    assert (caught.value.stage, caught.value.reason) == ("open", "No such file or directory")
    Path(path).write_bytes(encoded(sine(1), "WAV"))

    def refuse(*arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(SourceError) as caught:
        Loader(None).load(path)
    assert (caught.value.stage, caught.value.reason) == ("read", "Permission denied")


def test_what_only_libsndfile_words_says_something() -> None:
    for code in range(1, 60):
        error = soundfile.LibsndfileError(code)
        assert not {"Unspecified internal error", "System error", "File does not exist"} & {describe(error)}


def test_a_file_that_is_no_bytes_of_its_own(tmp_path: Path) -> None:
    """A decoder that is asked for an odd seek by a damaged file must not fail in Python."""
    file = io.BytesIO(by_pyav(sine(1, 48000), "mp4", "aac"))
    data = bytearray(file.getvalue())
    data[:4] = b"\xff\xff\xff\xff"
    with pytest.raises(SourceError):
        loaded(tmp_path / "sound.m4a", bytes(data))


def test_asking_the_other_decoder_shows_signs_of_life(tmp_path: Path) -> None:
    """Else a long file would pass the deadline of its builder while nothing comes of it."""
    pytest.importorskip("av")
    path = tmp_path / "sound.mp3"
    path.write_bytes(without_length(mp3(sine(30), mode="VARIABLE")))
    loader, signs = Loader(None), []
    loader.alive = lambda: signs.append(1)
    loader.load(str(path))
    assert len(signs) >= 30 * RATE // (1 << 18)
