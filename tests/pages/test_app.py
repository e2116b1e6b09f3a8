"""The app: what it makes of sounds, what its server lets out, and the page in a browser."""

from __future__ import annotations

import dataclasses
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.config import SpectrogramConfig
from pipelines.errors import SettingError, SourceError
from tests.helpers.browser import visiting
from tests.helpers.dataset_writer import write_dataset
from tests.helpers.places import ROOT
from tests.helpers.sounds import tone
from tests.helpers.tones_model import CONFIG, tones, write_model
from vae_model import learn_prior
from vae_model.commands import app
from vae_model.pages.app import MAX_UPLOAD_MB
from vae_model.pages.app_actions import Heard, Studio, playable
from vae_model.pages.app_guard import Guard
from vae_model.sound.generator import SoundGenerator

RATE = 4000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained model of 0.25 s at 4 kHz."""
    folder = tmp_path_factory.mktemp("app")
    dataset = write_dataset(folder / "dataset", {"train": tones(40, 0)}, CONFIG)
    return write_model(folder / "model", dataset)


@pytest.fixture(scope="module")
def studio(model: str, tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return Studio(SoundGenerator.load(model), str(tmp_path_factory.mktemp("sounds")))


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "mine.wav", tone(500, 0.6, 8000), 8000)
    return tmp_path / "mine.wav"


def test_directions_are_those_of_the_stored_covariance(studio: Studio) -> None:
    autoencoder = studio.generator.autoencoder
    factor = np.array(autoencoder.model.latent_distribution.factor)
    eigenvalues = np.linalg.eigvalsh(factor @ factor.T)[::-1]
    assert studio.directions == 3
    moved = [studio._axes[number] for number in range(3)]
    np.testing.assert_allclose([axis @ axis for axis in moved], eigenvalues, rtol=1e-4)
    np.testing.assert_allclose(factor @ factor.T @ moved[0], eigenvalues[0] * moved[0], rtol=1e-3, atol=1e-6)
    still, far = studio.move([0.0, 0.0, 0.0]), studio.move([3.0])
    mean = autoencoder.decode(np.array(autoencoder.model.latent_distribution.mean)[None])[0]
    picture = still.log_spectrograms["The model's sound"]
    np.testing.assert_allclose(picture, studio.generator.bundle.value_range.to_db(mean), atol=1e-3)
    assert np.abs(far.log_spectrograms["The model's sound"] - picture).max() > 0


def test_reconstruct_mix_and_generate(studio: Studio, sound: Path, tmp_path: Path) -> None:
    heard = studio.reconstruct(str(sound))
    assert len(heard.waveform) == 0.6 * RATE
    assert heard.name == "reconstruction of mine"
    captions = ["What came in, its first 0.25 s", "What the model makes of it, its first 0.25 s"]
    assert list(heard.log_spectrograms) == captions
    assert studio.picture(heard).width > studio.picture(studio.generate(1)).width
    soundfile.write(tmp_path / "other.wav", tone(1200, 0.3, 8000), 8000)
    ends = [studio.mix(str(sound), str(tmp_path / "other.wav"), part).waveform for part in (0.0, 1.0)]
    assert [len(end) for end in ends] == [0.25 * RATE] * 2
    soundfile.write(tmp_path / "short.wav", tone(500, 0.2, 8000), 8000)
    whole = studio.reconstruct(str(tmp_path / "short.wav"))
    assert list(whole.log_spectrograms) == ["What came in", "What the model makes of it"]
    np.testing.assert_array_equal(ends[0], studio.mix(str(sound), str(sound), 0.7).waveform)
    np.testing.assert_array_equal(studio.generate(7).waveform, studio.generate(7).waveform)


def test_a_log_mel_model_is_heard_and_drawn_as_any_other(sound: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, spectrogram=SpectrogramConfig(64, 64, feature="log-mel", n_bands=8))
    dataset = write_dataset(tmp_path / "dataset", {"train": tones(12, 0)}, config)
    studio = Studio(SoundGenerator.load(write_model(tmp_path / "model", dataset)), str(tmp_path / "sounds"))
    made = [studio.reconstruct(str(sound)), studio.move([1.0]), studio.generate(3), studio.mix(*[str(sound)] * 2, 0.5)]
    for heard in made:
        assert np.isfinite(heard.waveform).all()
        assert np.abs(heard.waveform).max() > 0
        assert {len(picture) for picture in heard.log_spectrograms.values()} == {32}  # bins up to 2 kHz, not bands
        assert studio.picture(heard).height > 0


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """A model whose prior has heard files of two segments, labelled by the last digit of their number."""
    folder = tmp_path_factory.mktemp("learned")
    long = [np.concatenate([wave, wave]) for wave in tones(40, 0)]
    model = write_model(folder / "model", write_dataset(folder / "dataset", {"train": long}, CONFIG))
    learn_prior(model, folder / "dataset", epochs=2, width=8, quiet=True)
    return Studio(SoundGenerator.load(model))


def test_new_sounds_by_label_of_any_length_and_variations(learned: Studio, studio: Studio, sound: Path) -> None:
    assert learned.labels["last"] == tuple("0123456789")
    assert (studio.labels, studio.has_prior, studio.longest_seconds) == ({}, False, 0.25)
    assert len(learned.generate(1, {"last": "3"}, guidance=2.0).waveform) == 0.25 * RATE
    heard = learned.generate(1, {"last": "3"}, seconds=1.5)
    assert len(heard.waveform) == 1.5 * RATE
    np.testing.assert_array_equal(heard.waveform, learned.generate(1, {"last": "3"}, None, 1.5).waveform)
    assert not np.array_equal(heard.waveform, learned.generate(1, {"last": "3"}, 3.0, 1.5).waveform)
    near, far = (learned.vary(str(sound), amount, 1).waveform for amount in (0.1, 1.0))
    assert len(near) == len(far) == 0.25 * RATE
    assert not np.array_equal(near, far)
    with pytest.raises(SettingError, match="seconds=21 must be at most 20"):
        learned.generate(1, seconds=21)
    with pytest.raises(SettingError, match="--label last=x must be a value that the model learned"):
        learned.generate(1, {"last": "x"})


@pytest.mark.slow
def test_the_page_has_menus_for_what_the_prior_knows(learned: Studio, studio: Studio) -> None:
    pytest.importorskip("gradio", reason="needs gradio, the extra app")
    from vae_model.pages.app_page import build

    of_page = [
        {part.elem_id: part for part in build(each, "Sounds", (60, 900)).blocks.values()} for each in (learned, studio)
    ]
    with_prior, without = of_page
    assert [value for _, value in with_prior["label-2"].choices] == ["", *"0123456789"]
    assert with_prior["seconds"].visible
    assert with_prior["guidance"].visible
    assert "vary" in with_prior
    assert not without["guidance"].visible
    assert "vary" not in without
    assert "label-1" not in without


def test_a_faint_sound_is_said_to_be_faint() -> None:
    faint = np.full((2000, 1), 1e-3, np.float32)
    assert Heard("a", faint, {}).facts(RATE) == "0.50 s, peak −60.0 dB of full scale"
    assert Heard("a", 0 * faint, {}).facts(RATE) == "0.50 s, silence"


def test_files_are_named_by_what_they_are_of(studio: Studio, sound: Path) -> None:
    assert studio.move([0.0, 0.0]).name == "moved to mean"
    assert studio.move([0.5, 0.0, -1.0]).name == "moved to 0.5 0 -1"
    assert studio.mix(str(sound), str(sound), 0.25).name == "mine to mine, 0.25"
    assert studio.generate(7).name == "new 7"


@pytest.mark.parametrize("name", ["mine.aiff", "mine.aif"])
def test_what_browsers_don_t_play_is_made_into_what_they_do(name: str, sound: Path, tmp_path: Path) -> None:
    samples, rate = soundfile.read(sound)
    soundfile.write(tmp_path / name, samples, rate, format="AIFF")
    made = playable(str(tmp_path / name), str(tmp_path))
    assert Path(made).name == "mine.wav"
    info = soundfile.info(made)
    assert (info.format, info.samplerate) == ("WAV", 44100)
    assert info.duration == pytest.approx(0.6, abs=1e-3)
    assert playable(str(sound), str(tmp_path)) == str(sound)


def test_what_is_no_sound_is_refused(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<b>")
    with pytest.raises(SettingError, match=r"a file \.html is none of"):
        studio.reconstruct(str(tmp_path / "page.html"))
    (tmp_path / "broken.wav").write_text("no sound")
    with pytest.raises(SourceError, match="Format not recognised"):
        studio.reconstruct(str(tmp_path / "broken.wav"))


def test_refusals(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingError, match=f"--host 127.0.0.1 --port {port} must be free"):
            app.main([model, "--port", str(port)])
    with pytest.raises(SettingError, match="--port=0 must be from 1 to 65535"):
        app.main([model, "--port", "0"])
    with pytest.raises(SettingError, match="must be the folder of a trained model"):
        app.main([str(tmp_path)])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"needs Gradio: pip install 'audio-vae\[app\]'"):
        app.main([model])


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app's folder of temporary files."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def left(temporary: Path) -> Path:
    """What an app that was killed left: the folder of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    folder = Path(tempfile.mkdtemp(prefix=f"audio-vae-app-{ended.pid}-", dir=temporary))
    (folder / "private.wav").write_text("sound")
    return folder


@pytest.fixture(scope="module")
def server(model: str, temporary: Path, left: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The URL of a running app, and its process."""
    pytest.importorskip("gradio", reason="needs gradio, the extra app")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vae_model.cli", "app", model, "--port", str(port)]
    environment = dict(os.environ, PYTHONPATH=str(ROOT), TMPDIR=str(temporary))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        line = next((line for line in process.stderr if line.startswith("http")), "")
        assert line, "the app ended before it was ready"
        yield line.split()[0], process
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert [path.name for path in temporary.glob("audio-vae-*")] == [], "uploads and sounds go with the app"


def answer_to(url: str, method: str, path: str, body: bytes = b"", **headers: str) -> int:
    """The status of a request, with headers as another site's page would send them."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body or None, sent)
    status = connection.getresponse().status
    connection.close()
    return status


UPLOAD = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\nsound\r\n--x--\r\n'
FORM = "multipart/form-data; boundary=x"
EVIL = "evil.example"


def test_only_its_own_names_are_answered(server: tuple[str, subprocess.Popen[str]]) -> None:
    url, port = server[0], server[0].rsplit(":", 1)[1]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}", "localhost:8888"):
        assert answer_to(url, "GET", "/config", Host=host) == 200, host
    for host in (EVIL, f"{EVIL}:{port}", f"192.0.2.7:{port}", f"127.0.0.1.{EVIL}:{port}", "", "[:"):
        assert answer_to(url, "GET", "/config", Host=host) in (400, 403), host
        assert answer_to(url, "GET", "/", Host=host) in (400, 403), host


def test_pages_of_other_sites_can_t_upload(server: tuple[str, subprocess.Popen[str]], temporary: Path) -> None:
    url, port = server[0], server[0].rsplit(":", 1)[1]

    def upload(**headers: str) -> int:
        return answer_to(url, "POST", "/gradio_api/upload", UPLOAD, Content_Type=FORM, **headers)

    (folder,) = temporary.glob("audio-vae-app-*")
    before = sorted(folder.rglob("*"))
    for origin in (f"http://{EVIL}", "null", "http://localhost:3000", f"http://localhost:{port}", "http://127.0.0.1"):
        assert upload(Origin=origin) == 403, origin
        assert answer_to(url, "POST", "/gradio_api/queue/join", b"{}", Origin=origin) == 403, origin
    assert sorted(folder.rglob("*")) == before
    assert upload(Origin=url) == 200
    assert upload() == 200, "a program that is no browser"
    assert any(path.name == "a.wav" for path in folder.rglob("*"))
    assert folder.stat().st_mode & 0o077 == 0


def test_what_a_killed_app_left_is_removed_by_the_next(server: tuple[str, subprocess.Popen[str]], left: Path) -> None:
    assert not left.exists()


@pytest.mark.parametrize(
    ("listening", "host", "allowed"),
    [
        ("0.0.0.0", "192.0.2.7:7860", True),
        ("0.0.0.0", "evil.example:7860", False),
        ("studio.example", "studio.example:7860", True),
        ("::1", "[::1]:7860", True),
        ("127.0.0.1", "192.0.2.7", False),
    ],
)
def test_other_addresses_are_those_that_are_listened_on(listening: str, host: str, allowed: bool) -> None:
    guard = Guard(None, listening)  # type: ignore[arg-type]
    assert guard._allows({"type": "http", "method": "GET", "headers": [(b"host", host.encode())]}) == allowed


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/etc/passwd", "setup.py", "../../../../etc/passwd", f"{ROOT}/setup.py"])
def test_no_file_of_the_machine_is_served(server: tuple[str, subprocess.Popen[str]], path: str) -> None:
    url, _ = server
    assert status(f"{url}/config") == 200
    assert status(f"{url}/gradio_api/file={path}") == 403


@pytest.mark.slow
def test_too_large_an_upload_is_refused(server: tuple[str, subprocess.Popen[str]]) -> None:
    content = b"0" * (MAX_UPLOAD_MB * 2**20 + 1)
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n' + content + b"\r\n--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    request = urllib.request.Request(f"{server[0]}/gradio_api/upload", part, headers)
    with pytest.raises(urllib.error.HTTPError, match="413"):
        urllib.request.urlopen(request, timeout=30)


@pytest.mark.slow
def test_an_upload_comes_back_as_sound(server: tuple[str, subprocess.Popen[str]], sound: Path, tmp_path: Path) -> None:
    url, _ = server
    aiff = tmp_path / "take one.aiff"
    soundfile.write(aiff, soundfile.read(sound)[0], 8000, format="AIFF")
    with visiting() as visit:
        visit.page.goto(url)
        visit.page.set_input_files("#given input[type=file]", str(aiff))
        link = visit.page.locator("#reconstruction a[download]")
        link.wait_for(timeout=30_000)
        visit.page.locator("#reconstruction-picture img").wait_for(timeout=30_000)
        visit.page.locator("#reconstruction-facts").get_by_text("0.60 s, peak").wait_for(timeout=30_000)
        visit.wait_until("document.querySelector('#given audio')?.duration >= 0.6")
        with visit.page.expect_download() as download:
            link.click()
        assert download.value.suggested_filename == "reconstruction of take one.wav"
        download.value.save_as(tmp_path / "back.wav")
        info = soundfile.info(tmp_path / "back.wav")
        assert (info.format, info.samplerate, info.frames) == ("WAV", RATE, 0.6 * RATE)
        assert (visit.errors, visit.elsewhere) == ([], [])


@pytest.mark.slow
def test_sliders_sound_by_keys_and_the_number_is_that_of_the_sound(server: tuple[str, subprocess.Popen[str]]) -> None:
    with visiting() as visit:
        visit.page.goto(server[0])
        visit.page.get_by_role("tab", name="Move").click()
        visit.page.locator("#direction-1 input[type=range]").focus()
        visit.page.keyboard.press("ArrowRight")
        visit.page.locator("#moved a[download='moved to 0.1 0 0.wav']").wait_for(timeout=30_000)
        slider = visit.page.locator("#direction-2 input[type=range]")
        box = slider.bounding_box()
        visit.page.mouse.click(box["x"] + 0.99 * box["width"], box["y"] + box["height"] / 2)
        visit.page.locator("#moved a[download^='moved to 0.1 2.']").or_(
            visit.page.locator("#moved a[download^='moved to 0.1 3 ']")
        ).first.wait_for(timeout=30_000)
        visit.page.get_by_role("tab", name="Generate").click()
        for number in (0, 1):
            visit.page.locator("#generate").click()
            visit.page.locator(f"#generated a[download='new {number}.wav']").wait_for(timeout=30_000)
            assert visit.page.locator("#seed input").input_value() == str(number)
        visit.page.locator("#seed input").fill("40")
        visit.page.locator("#generate").click()
        visit.page.locator("#generated a[download='new 40.wav']").wait_for(timeout=30_000)
        assert (visit.errors, visit.elsewhere) == ([], [])


@pytest.mark.slow
def test_a_file_that_is_no_sound_is_said_to_be_none(server: tuple[str, subprocess.Popen[str]], tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_text("no sound")
    with visiting() as visit:
        visit.page.goto(server[0])
        visit.page.set_input_files("#given input[type=file]", str(tmp_path / "broken.wav"))
        message = visit.page.get_by_text(re.compile("This could not be used"))
        message.first.wait_for(timeout=30_000)
        assert "/tmp" not in message.first.inner_text()
