"""All of a file, or a reason: what strangers' files hold is read to its end, or it is said what is missing."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest
import soundfile

from pipelines.audio.decoding import header_of
from pipelines.audio.loading import Loader, iter_segments
from pipelines.config import AudioConfig
from pipelines.errors import SourceError
from tests.helpers import strange_sounds as strange
from tests.helpers.strange_sounds import (
    RATE,
    by_pyav,
    cut,
    encoded,
    loaded,
    mp3,
    mp3_frames,
    sine,
    with_sizes,
    without_length,
)

Make = Callable[[], bytes]


def seconds_of(samples: np.ndarray, rate: int) -> float:
    return len(samples) / rate


def changing(first: dict[str, int], then: dict[str, int]) -> bytes:
    parts = [without_length(mp3(sine(6, kind["rate"], kind["channels"]), kind["rate"])) for kind in (first, then)]
    return b"".join(parts)


def with_foreign_bytes(count: int) -> bytes:
    """A tag's worth of bytes between two frames of a noise."""
    noise = np.random.default_rng(0).normal(0, 0.1, (20 * RATE, 1)).astype(np.float32)
    data = mp3(noise)
    frames = list(mp3_frames(data))
    middle = sum(map(len, frames[: len(frames) // 3]))
    return data[:middle] + b"\x07" * count + data[middle:]


STEREO, MONO = {"rate": RATE, "channels": 2}, {"rate": RATE, "channels": 1}
LOW = {"rate": 22050, "channels": 1}

READ_WHOLE: dict[str, tuple[str, Make, int, float]] = {
    # MP3 whose length nobody tells, or that changes on its way
    "VBR without a length": (".mp3", lambda: without_length(mp3(sine(20), mode="VARIABLE")), RATE, 20),
    "best VBR without one": (".mp3", lambda: without_length(mp3(sine(9), mode="VARIABLE", level=0.1)), RATE, 9),
    "CBR without a length": (".mp3", lambda: without_length(mp3(sine(5))), RATE, 5),
    "rate that drops": (".mp3", lambda: changing(MONO, LOW), RATE, 12),
    "channels that come": (".mp3", lambda: changing(MONO, STEREO), RATE, 12),
    "channels that go": (".mp3", lambda: changing(STEREO, MONO), RATE, 12),
    "foreign bytes": (".mp3", lambda: with_foreign_bytes(1000), RATE, 20),
    "many foreign bytes": (".mp3", lambda: with_foreign_bytes(30_000), RATE, 20),
    # joined files
    "two MP3": (".mp3", lambda: mp3(sine(4)) + mp3(sine(5)), RATE, 9),
    "two tagged MP3": (".mp3", lambda: 2 * (b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + mp3(sine(4))), RATE, 8),
    "three short FLAC": (".flac", lambda: 3 * encoded(sine(0.5), "FLAC"), RATE, 1.5),
    "two FLAC": (".flac", lambda: encoded(sine(9), "FLAC") + encoded(sine(4), "FLAC"), RATE, 13),
    "two Vorbis": (".ogg", lambda: encoded(sine(6), "OGG", "VORBIS") + encoded(sine(3), "OGG", "VORBIS"), RATE, 9),
    "two short Vorbis": (".ogg", lambda: 2 * encoded(sine(0.6), "OGG", "VORBIS"), RATE, 1.2),
    "two Opus": (".opus", lambda: 2 * encoded(sine(3, 48000), "OGG", "OPUS", 48000), 48000, 6),
    "two FLAC in Ogg": (".oga", lambda: 2 * by_pyav(sine(3, 48000), "ogg", "flac"), 48000, 6),
    # of unknown length
    "piped FLAC": (".flac", lambda: strange.piped_flac(encoded(sine(5), "FLAC")), RATE, 5),
    "WAV of no size": (".wav", lambda: with_sizes(encoded(sine(5), "WAV"), 36, 0), RATE, 5),
    "WAV of no sizes": (".wav", lambda: with_sizes(encoded(sine(5), "WAV"), 0, 0), RATE, 5),
    "WAV of ffmpeg's pipe": (".wav", lambda: with_sizes(encoded(sine(5), "WAV"), 2**32 - 1, 2**32 - 1), RATE, 5),
    "WAV of sox's pipe": (".wav", lambda: with_sizes(encoded(sine(5), "WAV"), 0x7FFFF024, 0x7FFFF000), RATE, 5),
    "BW64": (".wav", lambda: b"BW64" + encoded(sine(5), "RF64")[4:], RATE, 5),
    "FLAC in Ogg": (".ogg", lambda: by_pyav(sine(4, 48000), "ogg", "flac"), 48000, 4),
    "CAF of FFmpeg's": (".caf", lambda: by_pyav(sine(4, 48000), "caf", "pcm_s16le"), 48000, 4),
    # under another's suffix
    "m4a named wav": (".wav", lambda: by_pyav(sine(4, 48000), "mp4", "aac"), 48000, 4),
    "webm named ogg": (".ogg", lambda: by_pyav(sine(4, 48000), "webm", "libopus"), 48000, 4),
    "WAV named m4a": (".m4a", lambda: encoded(sine(4), "WAV"), RATE, 4),
    "MP3 named wav": (".wav", lambda: mp3(sine(4)), RATE, 4),
    "FLAC named m4a": (".m4a", lambda: encoded(sine(4), "FLAC"), RATE, 4),
    "ADTS named mp3": (".mp3", lambda: by_pyav(sine(4, 48000), "adts", "aac"), 48000, 4),
    # ADTS
    "ADTS whose rate drops": (
        ".aac",
        lambda: by_pyav(sine(3, 48000), "adts", "aac") + by_pyav(sine(3, 24000), "adts", "aac", 24000),
        48000,
        6,
    ),
}


@pytest.mark.parametrize("kind", READ_WHOLE)
def test_what_is_whole_is_read_whole(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("av")
    suffix, make, rate, seconds = READ_WHOLE[kind]
    samples, warnings = loaded(tmp_path / f"sound{suffix}", make())
    assert seconds_of(samples, rate) == pytest.approx(seconds, abs=0.15)
    assert warnings == []
    level = np.sqrt(np.mean(samples[: len(samples) // 8] ** 2)), np.sqrt(np.mean(samples[-len(samples) // 8 :] ** 2))
    assert level[0] == pytest.approx(level[1], rel=0.2), "the end sounds as loud as the beginning"


CUT_SHORT: dict[str, tuple[str, Make, int, float]] = {
    "WAV": (".wav", lambda: cut(encoded(sine(10), "WAV")), RATE, 5),
    "WAV of 24 bits": (".wav", lambda: cut(encoded(sine(10), "WAV", "PCM_24")), RATE, 5),
    "RF64": (".rf64", lambda: cut(encoded(sine(10), "RF64")), RATE, 5),
    "W64": (".w64", lambda: cut(encoded(sine(10), "W64")), RATE, 5),
    "AIFF": (".aiff", lambda: cut(encoded(sine(10), "AIFF")), RATE, 5),
    "AU": (".au", lambda: cut(encoded(sine(10), "AU")), RATE, 5),
    "CAF": (".caf", lambda: cut(encoded(sine(10), "CAF")), RATE, 5),
    "MP3": (".mp3", lambda: cut(mp3(sine(10))), RATE, 5),
    "MP3 without a length": (".mp3", lambda: cut(without_length(mp3(sine(10))), 0.5003), RATE, 5),
    "ADTS": (".aac", lambda: cut(by_pyav(sine(10, 48000), "adts", "aac"), 0.5003), 48000, 5),
    "Vorbis": (".ogg", lambda: cut(encoded(sine(10), "OGG", "VORBIS")), RATE, 5),
    "Opus": (".opus", lambda: cut(encoded(sine(10, 48000), "OGG", "OPUS", 48000)), 48000, 5),
    "FLAC": (".flac", lambda: cut(encoded(sine(10), "FLAC")), RATE, 5),
    "m4a": (".m4a", lambda: cut(by_pyav(sine(10, 48000), "mp4", "aac", movflags="faststart"), 0.6), 48000, 6),
    "webm": (".webm", lambda: cut(by_pyav(sine(10, 48000), "webm", "libopus")), 48000, 5),
    "mka": (".mka", lambda: cut(by_pyav(sine(10, 48000), "matroska", "flac")), 48000, 5),
}


@pytest.mark.parametrize("kind", CUT_SHORT)
def test_what_is_cut_short_is_read_up_to_the_cut_and_told(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("av")
    suffix, make, rate, seconds = CUT_SHORT[kind]
    samples, warnings = loaded(tmp_path / f"sound{suffix}", make())
    assert 0.25 * seconds < seconds_of(samples, rate) < seconds + 0.5  # Ogg has large pages at its beginning
    (warning,) = warnings
    assert warning.startswith("is cut short: it ")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff", "au", "caf", "w64"])
def test_a_whole_file_is_told_nothing_of(tmp_path: Path, suffix: str) -> None:
    for seconds in (0.05, 1.0, 7.3):
        samples, warnings = loaded(tmp_path / f"sound.{suffix}", encoded(sine(seconds), suffix.upper()))
        assert warnings == []
        whole = str(tmp_path / f"sound.{suffix}")
        expected = soundfile.read(whole, dtype="float32", always_2d=True)[0]  # in one read: no block ends
        np.testing.assert_array_equal(samples, expected)


def test_tags_behind_a_sound_are_no_sound(tmp_path: Path) -> None:
    for data, suffix in (
        (mp3(sine(3)), ".mp3"),
        (encoded(sine(3), "FLAC"), ".flac"),
        (encoded(sine(3), "WAV"), ".wav"),
    ):
        for tag in (b"TAG" + bytes(125), b"APETAGEX" + bytes(5000), bytes(9000)):
            samples, warnings = loaded(tmp_path / f"sound{suffix}", data + tag)
            assert (round(len(samples) / RATE, 1), warnings) == (3.0, [])


def test_a_wav_whose_sizes_wrapped_at_4_gib_is_taken_whole(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    header = with_sizes(encoded(sine(1), "WAV"), 36, 0)[:44]
    length = (1 << 32) + 200_000
    path.write_bytes(with_sizes(header, (length + 36) % (1 << 32), length % (1 << 32)))
    os.truncate(path, 44 + length)
    assert header_of(str(path))[0] == length / 2 / RATE


def test_six_channels_come_in_the_order_of_a_wav(tmp_path: Path) -> None:
    """Front left, front right, centre, low, rear left, rear right: Vorbis and Opus store them otherwise."""
    tones = np.array([200, 300, 400, 50, 600, 700])
    time = np.arange(48000) / 48000
    plane = (0.1 * np.sin(2 * np.pi * tones * time[:, None])).astype(np.float32)
    vorbis = plane[:, [0, 2, 1, 4, 5, 3]]
    files = {
        "a.wav": encoded(plane, "WAV", rate=48000),
        "a.flac": encoded(plane, "FLAC", rate=48000),
        "a.ogg": encoded(vorbis, "OGG", "VORBIS", rate=48000),
        "a.opus": encoded(vorbis, "OGG", "OPUS", rate=48000),
        "a.m4a": by_pyav(plane, "mp4", "aac"),
    }
    for name, data in files.items():
        samples, _ = loaded(tmp_path / name, data, 48000, mono=False, channels=6)
        found = np.abs(np.fft.rfft(samples[:48000], 48000, axis=0)).argmax(axis=0)
        np.testing.assert_array_equal(found, tones, err_msg=name)


def test_a_path_longer_than_libsndfile_takes(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["d" * 200] * 7)
    folder.mkdir(parents=True)
    path = folder / "sound.wav"
    assert len(str(path)) > 1024
    samples, warnings = loaded(path, encoded(sine(1), "WAV"))
    assert (len(samples), warnings) == (RATE, [])


def test_the_noise_of_one_kind_of_aiff_is_left_to_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    clear = sine(3, 48000)
    data = by_pyav(clear, "aiff", "adpcm_ima_qt")
    samples, warnings = loaded(tmp_path / "sound.aifc", data)
    error = samples[: len(clear)] - clear[: len(samples)]
    by_libsndfile = soundfile.read(str(tmp_path / "sound.aifc"), dtype="float32", always_2d=True)[0]
    assert np.std(error) < 0.9 * np.std(by_libsndfile[: len(clear)] - clear[: len(by_libsndfile)])
    assert warnings == []
    monkeypatch.setitem(sys.modules, "av", None)
    _, warnings = loaded(tmp_path / "sound.aifc", data)
    assert warnings == ["was decoded with noise at -52 dB; PyAV does better: pip install 'audio-vae[formats]'"]


@pytest.mark.parametrize("kind", ["two Vorbis", "VBR without a length"])
def test_on_another_store_as_here(kind: str) -> None:
    suffix, make, rate, seconds = READ_WHOLE[kind]
    with fsspec.open(f"memory://strange/sound{suffix}", "wb") as file:
        file.write(make())
    assert seconds_of(Loader(None).load(f"memory://strange/sound{suffix}"), rate) == pytest.approx(seconds, abs=0.15)


def test_segments_that_come_one_by_one_are_of_the_whole_file_too(tmp_path: Path) -> None:
    path = tmp_path / "two.ogg"
    path.write_bytes(READ_WHOLE["two Vorbis"][1]())
    told: list[str] = []
    segments = list(iter_segments(str(path), AudioConfig(sample_rate=RATE, segment_seconds=1.0), told.append))
    assert len(segments) in (9, 10)
    assert told == []


# Without PyAV ---------------------------------------------------------------------------------------------------------

NEEDS_PYAV = {
    "m4a": (".m4a", lambda: by_pyav(sine(1, 48000), "mp4", "aac"), r"^\.m4a needs PyAV: pip install 'audio-vae\[form"),
    "m4a named wav": (".wav", READ_WHOLE["m4a named wav"][1], r"\(mov\) needs PyAV: pip install"),
    "FLAC in Ogg": (
        ".ogg",
        READ_WHOLE["FLAC in Ogg"][1],
        r"unknown error in flac decoder.*\(ogg\) needs PyAV: pip inst",
    ),
    "piped FLAC": (".flac", READ_WHOLE["piped FLAC"][1], r"PyAV may read more of it: pip install"),
    "cut FLAC": (".flac", CUT_SHORT["FLAC"][1], r"lost sync; PyAV may read more of it: pip install"),
}


@pytest.mark.parametrize("kind", NEEDS_PYAV)
def test_without_pyav_the_reason_names_it(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    suffix, make, reason = NEEDS_PYAV[kind]
    data = make()
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(SourceError) as caught:
        loaded(tmp_path / f"sound{suffix}", data)
    assert caught.value.stage in ("open", "decode")
    assert re.search(reason, caught.value.reason), caught.value.reason


@pytest.mark.parametrize("kind", ["two FLAC", "two short Vorbis", "VBR without a length", "two tagged MP3"])
def test_without_pyav_what_is_left_is_told(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    suffix, make, *_ = READ_WHOLE[kind]
    data = make()
    monkeypatch.setitem(sys.modules, "av", None)
    _, (warning,) = loaded(tmp_path / f"sound{suffix}", data)
    assert warning.startswith("was not read to its end: ")
    assert warning.endswith("pip install 'audio-vae[formats]'")


@pytest.mark.parametrize("kind", ["WAV of no size", "WAV of no sizes", "BW64", "WAV named m4a", "FLAC named m4a"])
def test_these_need_no_pyav(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    suffix, make, rate, seconds = READ_WHOLE[kind]
    samples, warnings = loaded(tmp_path / f"sound{suffix}", make())
    assert (seconds_of(samples, rate), warnings) == (pytest.approx(seconds, abs=0.15), [])
