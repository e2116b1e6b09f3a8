"""Loading, padding and cutting, against librosa and numpy."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from pipelines.audio.decoding import BLOCK_FRAMES
from pipelines.audio.loading import Loader, iter_segments
from pipelines.audio.segments import Padder, cut_segments, valid_frames
from pipelines.config import AudioConfig
from pipelines.errors import SettingError, SourceError
from tests.helpers.sounds import tone

RATES = (8000, 11025, 44100, 96000)
FORMATS = [("wav", "PCM_U8"), ("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_24")]
FORMATS += [("aiff", "PCM_16"), ("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III")]


def noise(seconds: float, sample_rate: int, channels: int, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).normal(0, 0.1, (int(seconds * sample_rate), channels))
    return samples.astype(np.float32)


@pytest.mark.parametrize(("suffix", "subtype"), FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_loads_what_librosa_loads(tmp_path: Path, suffix: str, subtype: str, channels: int) -> None:
    path = str(tmp_path / f"noise.{suffix}")
    soundfile.write(path, noise(0.9, 44100, channels), 44100, subtype=subtype)
    expected, _ = librosa.load(path, sr=22050)
    loaded = Loader(22050).load(path)
    assert loaded.shape == (len(expected), 1)
    np.testing.assert_allclose(loaded[:, 0], expected, atol=1e-6)


@pytest.mark.parametrize("native", RATES)
@pytest.mark.parametrize("seconds", [0.01, 0.74, 1.3])
def test_duration_reads_as_much_as_librosa(tmp_path: Path, native: int, seconds: float) -> None:
    path = str(tmp_path / "noise.wav")
    soundfile.write(path, noise(seconds, native, 1), native)
    expected, _ = librosa.load(path, sr=22050, duration=0.74)
    np.testing.assert_allclose(Loader(22050, duration=0.74).load(path)[:, 0], expected, atol=1e-6)


def test_channels_are_kept_when_not_mono(tmp_path: Path) -> None:
    path = str(tmp_path / "stereo.wav")
    samples = noise(0.2, 16000, 2)
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    np.testing.assert_array_equal(Loader(16000, mono=False).load(path), samples)


def test_a_file_longer_than_a_block_is_resampled_without_a_seam(tmp_path: Path) -> None:
    path = str(tmp_path / "long.wav")
    soundfile.write(path, tone(440, 2.5 * BLOCK_FRAMES / 44100, 44100), 44100, subtype="FLOAT")
    expected, _ = librosa.load(path, sr=16000)
    np.testing.assert_allclose(Loader(16000).load(path)[:, 0], expected, atol=1e-6)


@pytest.mark.parametrize(("mono", "channels"), [(True, None), (False, 2)])
def test_files_loaded_ahead_have_the_same_samples(tmp_path: Path, mono: bool, channels: int | None) -> None:
    uris = []
    for native in (8000, 22050, 44100, 48000):
        for number, seconds in enumerate((1 / native, 0.013, 0.1, 0.31, 0.32, 0.6)):
            uris.append(str(tmp_path / f"{native}-{number}.wav"))
            soundfile.write(uris[-1], noise(seconds, native, 1 + number % 2, seed=number), native)
    uris.append(str(tmp_path / "text.wav"))
    Path(uris[-1]).write_text("no audio")
    uris.append(str(tmp_path / "long.wav"))
    soundfile.write(uris[-1], noise(20.0, 8000, 1), 8000)
    alone, ahead = Loader(22050, mono=mono, channels=channels), Loader(22050, mono=mono, channels=channels)
    ahead.preload(uris)
    assert set(ahead._preloaded) == set(uris[:-2])
    for uri in (*uris[:-2], uris[-1]):
        np.testing.assert_array_equal(ahead.load(uri), alone.load(uri))
    with pytest.raises(SourceError):
        ahead.load(uris[-2])


def test_reads_any_fsspec_uri(tmp_path: Path) -> None:
    import fsspec

    path = tmp_path / "tone.flac"
    soundfile.write(path, tone(440, 0.3, 16000), 16000)
    with fsspec.open("memory://sounds/tone.flac", "wb") as file:
        file.write(path.read_bytes())
    np.testing.assert_array_equal(Loader(16000).load("memory://sounds/tone.flac"), Loader(16000).load(str(path)))


@pytest.mark.parametrize("suffix", ["m4a", "webm"])
def test_reads_other_formats_through_pyav(tmp_path: Path, suffix: str) -> None:
    av = pytest.importorskip("av")
    path = str(tmp_path / f"tone.{suffix}")
    samples = tone(1000, 1.0, 48000)
    with av.open(path, "w") as container:
        stream = container.add_stream("aac" if suffix == "m4a" else "libopus", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = 48000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    loaded = Loader(16000).load(path)[:, 0]
    assert abs(len(loaded) - 16000) < 1600
    spectrum = np.abs(np.fft.rfft(loaded[2000:12000] * np.hanning(10000)))
    assert np.argmax(spectrum) * 16000 / 10000 == pytest.approx(1000, abs=2)


@pytest.mark.parametrize(
    ("content", "stage", "reason"),
    [(b"", "open", "Format"), (b"this is no audio at all", "open", "Format not recognised")],
)
def test_what_is_no_audio_says_so(tmp_path: Path, content: bytes, stage: str, reason: str) -> None:
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=reason) as caught:
        Loader(22050).load(str(path))
    assert caught.value.stage == stage


def test_samples_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "nan.wav"
    samples = tone(440, 0.1, 16000)
    samples[17] = np.nan
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    with pytest.raises(SourceError, match="sample 17 is not a finite number"):
        Loader(16000).load(str(path))


def test_a_file_without_samples_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    soundfile.write(path, np.zeros(0, np.float32), 16000)
    with pytest.raises(SourceError, match="holds no samples"):
        Loader(16000).load(str(path))


@pytest.mark.parametrize(
    "mode",
    ["constant", "edge", "linear_ramp", "maximum", "mean", "median", "minimum", "reflect", "symmetric", "wrap"],
)
def test_padder_is_numpy_pad(mode: str) -> None:
    array = np.array([1.0, 5.0, 2.0], dtype=np.float32)
    np.testing.assert_array_equal(Padder(mode).right_pad(array, 7), np.pad(array, (0, 7), mode=mode))
    np.testing.assert_array_equal(Padder(mode).left_pad(array, 2), np.pad(array, (2, 0), mode=mode))
    two = np.stack([array, -array], axis=1)
    np.testing.assert_array_equal(Padder(mode).right_pad(two, 4), np.pad(two, ((0, 4), (0, 0)), mode=mode))


def test_padder_refuses_an_unknown_mode() -> None:
    with pytest.raises(SettingError, match="mode='mirror' must be one of constant"):
        Padder("mirror")


@pytest.mark.parametrize(("size", "hop"), [(100, 100), (100, 30), (7, 7)])
@pytest.mark.parametrize("length", [1, 99, 100, 101, 200, 250])
@pytest.mark.parametrize("block", [1, 33, 1000])
def test_segments_cover_a_waveform_once_cut_anywhere(size: int, hop: int, length: int, block: int) -> None:
    waveform = np.arange(1, length + 1, dtype=np.float32)[:, None]
    blocks = [waveform[i : i + block] for i in range(0, length, block)]
    segments = list(cut_segments(blocks, size, hop, 10, Padder()))
    assert len(segments) == 1 + max(0, int(np.ceil((length - size) / hop)))
    for segment in segments:
        start = segment.index * hop
        piece = waveform[start : start + size]
        assert segment.start_seconds == start / 10
        assert segment.valid_samples == len(piece)
        np.testing.assert_array_equal(segment.samples, np.pad(piece, ((0, size - len(piece)), (0, 0))))
    assert segments[-1].index * hop + segments[-1].valid_samples == length


def test_first_segment_only(tmp_path: Path) -> None:
    path = str(tmp_path / "tone.wav")
    soundfile.write(path, tone(440, 3.0, 22050), 22050)
    (segment,) = iter_segments(path, AudioConfig(segments="first"))
    assert segment.samples.shape == (16317, 1)


def test_valid_frames_are_those_centred_before_the_padding() -> None:
    assert valid_frames(16317, 16317, 256) == 64  # nothing padded: all of 1 + 16317 // 256
    assert valid_frames(16384, 16384, 256) == 65
    assert valid_frames(1, 16384, 256) == 1
    assert valid_frames(256, 16384, 256) == 1  # frame 1 is centred on sample 256, the first padded one
    assert valid_frames(257, 16384, 256) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample_rate": 0}, "sample_rate=0 must be a positive number of Hz"),
        ({"segment_seconds": -1}, "segment_seconds=-1 must be a positive number of seconds"),
        ({"segment_seconds": 1e-9}, "segment_seconds=1e-09 must be at least one sample at 22050 Hz"),
        ({"segment_hop_seconds": 2.0}, "segment_hop_seconds=2.0 must be at most segment_seconds=0.74"),
        ({"pad_mode": "mirror"}, "pad_mode='mirror' must be one of constant"),
        ({"pad_mode": "empty"}, "pad_mode='empty' must be one of constant"),
    ],
)
def test_settings_out_of_range_name_rule_and_value(settings: dict, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        AudioConfig(**settings)
    assert message in str(caught.value)
