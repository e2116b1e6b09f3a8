"""Sound from spectrograms: physics of what comes out, and the commands that write it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipelines.audio.spectrogram import LogSpectrogramExtractor
from pipelines.config import AudioConfig, SpectrogramConfig
from pipelines.errors import SettingError, SourceError
from tests.helpers.small_models import Identity
from tests.helpers.sounds import tone
from vae_model.commands import generate, reconstruct
from vae_model.model_folder.bundle import Bundle
from vae_model.model_folder.config import ORIGINAL_PHASE, PHASES, ModelConfig, TrainConfig
from vae_model.model_folder.file_names import candidates
from vae_model.model_folder.value_range import ValueRange
from vae_model.sound.generator import SoundGenerator
from vae_model.sound.wav import write_wav
from vae_model.vae.variational import build

RATE = 8000


def bundle_of(channels: int = 1, per_record: bool = False, min_db: float = -60.0, seconds: float = 0.5) -> Bundle:
    audio, spectrogram = AudioConfig(RATE, channels, segment_seconds=seconds), SpectrogramConfig(256, 64)
    shape = (spectrogram.n_bins, spectrogram.n_frames(audio.segment_samples), channels)
    model = ModelConfig("vae", shape, (2, 4), (3, 3), (2, 2), 3)
    return Bundle(model, TrainConfig(), audio, spectrogram, ValueRange(min_db, 40.0, per_record), (), {})


def identity(**options: object) -> SoundGenerator:
    return SoundGenerator(Identity(), bundle_of(**options))  # type: ignore[arg-type]


def column(waveform: np.ndarray) -> np.ndarray:
    return waveform[:, None]


def pitch_hz(waveform: np.ndarray) -> float:
    """Mean frequency of the power within a tenth of the loudest."""
    power = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)), 8 * RATE)) ** 2
    hz = np.arange(len(power)) / 8
    near = np.abs(hz - hz[power.argmax()]) < 0.1 * hz[power.argmax()]
    return float((hz * power)[near].sum() / power[near].sum())


def error_db(waveform: np.ndarray, original: np.ndarray) -> float:
    """Spectral convergence: the error of the magnitudes over the magnitudes."""
    extractor = LogSpectrogramExtractor(256, 64, top_db=200)
    ours, theirs = (10 ** (extractor.extract(w) / 20) for w in (waveform, original))
    return float(20 * np.log10(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)))


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MODEL folder with an untrained VAE."""
    folder = tmp_path_factory.mktemp("model")
    bundle = bundle_of()
    build(bundle.model).save(folder)
    bundle.save(folder)
    return folder


@pytest.mark.parametrize("per_record", [False, True])
@pytest.mark.parametrize("frequency_hz", [440.0, 1234.5])
def test_tone_keeps_pitch_level_and_length(frequency_hz: float, per_record: bool) -> None:
    original = column(tone(frequency_hz, 0.5, RATE, level=0.25))
    (output,) = identity(per_record=per_record).reconstruct([original])
    assert output.shape == (4000, 1)
    assert output.dtype == np.float32
    assert pitch_hz(output[:, 0]) == pytest.approx(frequency_hz, rel=0.001)
    middle = output[500:-500]
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.25, rel=0.05)
    assert error_db(output, original) < -40


def test_channels_stay_apart() -> None:
    original = np.stack([tone(500, 0.5, RATE), tone(1500, 0.5, RATE, level=0.1)], axis=1)
    (output,) = identity(channels=2).reconstruct([original])
    assert output.shape == (4000, 2)
    assert pitch_hz(output[:, 0]) == pytest.approx(500, rel=0.005)
    assert pitch_hz(output[:, 1]) == pytest.approx(1500, rel=0.005)
    assert np.abs(output[500:-500, 1]).max() == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("per_record", [False, True])
def test_silence_stays_silent(per_record: bool) -> None:
    generator = identity(per_record=per_record, min_db=-100.0)
    (output,) = generator.reconstruct([np.zeros((4000, 1), np.float32)])
    assert np.isfinite(output).all()
    assert np.abs(output).max() < 1e-4


def test_input_beyond_the_model_s_range_is_clipped_to_it() -> None:
    generator = identity(min_db=39.0)
    quiet, value_range = generator.normalise(column(tone(440, 0.5, RATE, level=0.001)))
    loud, _ = generator.normalise(column(tone(440, 0.5, RATE, level=100.0)))
    assert quiet.max() == 0
    assert loud.max() == 1
    assert value_range == generator.bundle.value_range


def test_same_spectrogram_gives_the_same_waveform() -> None:
    spectrogram = np.random.default_rng(0).random((128, 63, 1), np.float32)
    np.testing.assert_array_equal(identity().to_waveform(spectrogram), identity().to_waveform(spectrogram))


@pytest.mark.parametrize("seconds", [0.01, 0.5, 0.500125, 0.97, 20.3])
def test_file_of_any_length_comes_back_whole(seconds: float, tmp_path: Path) -> None:
    time = np.arange(int(seconds * RATE)) / RATE
    glide = 0.4 * np.sin(2 * np.pi * (300 * time + 20 * time**2)).astype(np.float32)
    soundfile.write(tmp_path / "glide.wav", glide, RATE, subtype="FLOAT")
    output = np.concatenate(list(identity().reconstruct_file(str(tmp_path / "glide.wav"))))
    assert output.shape == (len(glide), 1)
    if seconds >= 0.5:
        assert error_db(output, column(glide)) < -12


def test_file_is_resampled_to_the_model_s_rate(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(600, 1.0, 44100), 44100)
    output = np.concatenate(list(identity().reconstruct_file(str(tmp_path / "a.wav"))))
    assert len(output) == RATE
    assert pitch_hz(output[:, 0]) == pytest.approx(600, rel=0.005)


def test_wav_has_the_samples_in_16_bits(tmp_path: Path) -> None:
    waveform = column(tone(441, 1.0, RATE, 0.5))
    written = write_wav(tmp_path / "a.wav", [waveform[:3000], waveform[3000:3000], waveform[3000:]], RATE)
    samples, rate = soundfile.read(tmp_path / "a.wav")
    assert (written.num_samples, written.limited_db, len(samples), rate) == (RATE, 0, RATE, RATE)
    assert soundfile.info(tmp_path / "a.wav").subtype == "PCM_16"
    np.testing.assert_allclose(samples, waveform[:, 0], atol=1 / 32768)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_failed_wav_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    with pytest.raises(SourceError):
        write_wav(tmp_path / "out.wav", identity().reconstruct_file(str(tmp_path / "bad.wav")), RATE)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.wav"]


def test_reconstruct_writes_a_wav_for_each_input_and_names_what_failed(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sounds = tmp_path / "sounds"
    (sounds / "more").mkdir(parents=True)
    soundfile.write(sounds / "a.wav", tone(440, 1.3, 11025), 11025)
    soundfile.write(sounds / "more" / "A.flac", np.stack([tone(440, 0.2, RATE)] * 2, axis=1), RATE)
    (sounds / "broken.wav").write_text("not audio")
    output = tmp_path / "out"
    assert reconstruct.main([str(model_folder), str(sounds), "--output", str(output), "--json"]) == 1
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert [Path(entry["source"]).name for entry in result["failed"]] == ["broken.wav"]
    assert "broken.wav: open failed" in captured.err
    lengths = {Path(entry["source"]).name: entry["num_samples"] for entry in result["written"]}
    assert lengths == {"a.wav": int(np.ceil(14332 * RATE / 11025)), "A.flac": 1600}
    for entry in result["written"]:
        samples, rate = soundfile.read(entry["path"])
        assert (len(samples), rate) == (entry["num_samples"], RATE)
        assert np.abs(samples).max() <= 1
    assert {path.relative_to(output).as_posix() for path in output.rglob("*")} == {
        "a.wav",
        "more",
        "more/A.wav",
        "sources.json",
    }


def test_phases_are_named_where_no_model_could_find_them(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440, 0.7, RATE), RATE)
    contents = set()
    for phase in (*PHASES, ORIGINAL_PHASE):
        options = ["--output", str(tmp_path / phase), "--phase", phase, "--json"]
        assert reconstruct.main([str(model_folder), str(tmp_path / "a.wav"), *options]) == 0
        result = json.loads(capsys.readouterr().out)
        (entry,) = result["written"]
        assert result["phase"] == phase
        assert Path(entry["path"]).name == ("a.original-phase.wav" if phase == ORIGINAL_PHASE else "a.wav")
        assert entry["num_samples"] == 5600
        contents.add(Path(entry["path"]).read_bytes())
    assert len(contents) == len(PHASES) + 1
    with pytest.raises(SystemExit, match="2"):
        generate.main([str(model_folder), "--count", "1", "--output", str(tmp_path / "new"), "--phase", ORIGINAL_PHASE])
    assert "--phase" in capsys.readouterr().err


def test_reconstruct_never_writes_over_its_input(model_folder: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440, 0.1, RATE), RATE)
    before = (tmp_path / "a.wav").read_bytes()
    with pytest.raises(SettingError, match="another folder"):
        reconstruct.main([str(model_folder), str(tmp_path / "a.wav"), "--output", str(tmp_path)])
    assert (tmp_path / "a.wav").read_bytes() == before


def test_the_tree_stays_and_no_source_takes_another_s_place(
    model_folder: Path, tmp_path: Path, command: Callable[..., dict[str, Any]]
) -> None:
    for number, name in enumerate(["in/a/x.wav", "in/b/x.flac", "in/b/X.wav", "other/a/x.wav"]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / name, tone(440, 0.1 * (number + 1), RATE), RATE)
    output = tmp_path / "heard"
    (output / "b").mkdir(parents=True)
    (output / "b" / "x-2.wav").write_text("mine")

    def reconstructed(folder: str) -> dict[str, str]:
        written = command("reconstruct", model_folder, tmp_path / folder, "--output", output)["written"]
        return {str(Path(w["source"]).relative_to(tmp_path)): str(Path(w["path"]).relative_to(output)) for w in written}

    first = reconstructed("in/a") | reconstructed("in/b")
    assert first["in/a/x.wav"] == "x.wav"
    output.joinpath("x.wav").unlink()
    tree = reconstructed("in")
    assert tree["in/a/x.wav"] == "a/x.wav"
    assert (tree["in/b/X.wav"], tree["in/b/x.flac"]) == ("b/X.wav", "b/x-3.wav")
    lengths = {name: soundfile.info(output / name).frames for name in tree.values()}
    other = reconstructed("other")
    assert other == {"other/a/x.wav": "a/x-2.wav"}
    assert reconstructed("in") == tree
    assert {name: soundfile.info(output / name).frames for name in tree.values()} == lengths
    assert (output / "b" / "x-2.wav").read_text() == "mine"
    record = json.loads((output / "sources.json").read_text())
    assert record["a/x-2.wav"] == str(tmp_path / "other" / "a" / "x.wav")


def test_what_was_made_is_not_made_of_again(
    model_folder: Path, tmp_path: Path, command: Callable[..., dict[str, Any]]
) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440, 0.1, RATE), RATE)
    options = ["reconstruct", model_folder, tmp_path, "--output", tmp_path / "heard"]
    first = command(*options)
    assert [written["source"] for written in first["written"]] == [str(tmp_path / "a.wav")]
    assert command(*options) == first


def test_a_stranger_s_name_leads_to_no_other_folder() -> None:
    assert next(candidates("../../etc/x.flac", ".wav")) == "etc/x.wav"
    assert next(candidates("/x.y.wav", ".wav")) == "x.y.wav"


def test_generate_is_repeatable_by_seed(model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def sounds(seed: int, folder: str) -> list[bytes]:
        options = ["--count", "3", "--seed", str(seed), "--output", str(tmp_path / folder), "--json"]
        assert generate.main([str(model_folder), *options]) == 0
        result = json.loads(capsys.readouterr().out)
        assert [entry["num_samples"] for entry in result["written"]] == [4000] * 3
        return [Path(entry["path"]).read_bytes() for entry in result["written"]]

    first = sounds(7, "a")
    assert len(set(first)) == 3
    assert sounds(7, "b") == first
    assert not set(sounds(8, "c")) & set(first)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--count", "0", "--output", "out"], "--count"),
        (["--count", "1", "--seed", "-1", "--output", "out"], "--seed"),
        (
            ["--count", "1", "--output", "http://host/out"],
            "--output http://host/out must be a place",
        ),
    ],
)
def test_generate_names_the_option_that_is_wrong(model_folder: Path, options: list[str], named: str) -> None:
    with pytest.raises(SettingError, match=named):
        generate.main([str(model_folder), *options])


def test_commands_name_a_folder_without_a_model(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440, 0.1, RATE), RATE)
    with pytest.raises(SettingError, match="MODEL"):
        generate.main([str(tmp_path), "--count", "1", "--output", str(tmp_path / "out")])
    with pytest.raises(SettingError, match="MODEL"):
        reconstruct.main([str(tmp_path), str(tmp_path / "a.wav"), "--output", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
