"""The browse command on a folder with a loud, a clipped, a silent, a short and a broken recording."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.errors import SettingError
from tests.helpers.console import audio_vae_json
from tests.helpers.pages import Elements, content_of
from tests.helpers.servers import WholeFiles, over_http
from tests.helpers.sounds import tone, write_tones
from vae_model.commands import browse
from vae_model.pages import dataset_page
from vae_model.sound.recordings import Recordings

RATE = 16000


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve quiet tones and five special files as a dataset of preset tiny."""
    folder = write_tones(tmp_path_factory.mktemp("browse") / "sounds")
    clipped = np.clip(tone(500, 1, RATE, level=3.0), -1, 1)
    soundfile.write(folder / "clipped.wav", clipped, RATE)
    soundfile.write(folder / "loud.wav", tone(700, 2, RATE, level=0.98), RATE)
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "short.wav", tone(600, 0.1, RATE), RATE)
    (folder / "broken <b>.wav").write_text("no audio")
    output = folder.parent / "dataset"
    audio_vae_json("preprocess", folder, "--output", output, "--preset", "tiny", "--split", "test=0.2")
    return output


def section(text: str, title: str) -> str:
    """The part of a page under a heading."""
    found = re.search(rf"<h2[^>]*>{title}</h2>.*?</section>", text, re.DOTALL)
    assert found, title
    return found[0]


def first_title(text: str) -> str:
    return re.findall(r"<h3>(.*?)</h3>", text)[0]


def test_each_kind_begins_with_what_it_is_for(dataset: Path, tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    values = audio_vae_json("browse", dataset, "--output", output, "--count", 3)
    assert values == {"page": str(output), "num_bytes": output.stat().st_size, "num_sounds": 3 * 4 + 1}
    text = output.read_text(encoding="utf-8")
    document = Elements(text)
    assert "What is in dataset" in document.text
    assert "17 segments of 1.02 s from 16 recordings" in document.text
    assert first_title(section(text, "Loudest recordings")) == "clipped.wav"
    assert first_title(section(text, "Quietest recordings")) == "silent.wav"
    assert first_title(section(text, "Shortest recordings")) == "short.wav"
    assert "0.10 s, loudest" in section(text, "Shortest recordings")
    clipped = section(text, "Clipped recordings")
    assert re.findall(r"<h3>(.*?)</h3>", clipped) == ["clipped.wav"]
    written = soundfile.read(dataset.parent / "sounds" / "clipped.wav")[0]
    assert f"{np.sum(np.abs(written) > 0.999):,} clipped samples" in clipped
    failures = section(text, "Failures")
    assert "1 file could not be used: 1 in open" in failures
    assert "broken &lt;b&gt;.wav" in failures
    assert "Format not recognised" in failures


def test_a_sound_is_that_of_its_record(dataset: Path, tmp_path: Path) -> None:
    page = dataset_page.dataset_page(open_dataset(str(dataset)), count=1, seed=0)
    by_title = {section.title: section.sounds[0] for section in page.sections if section.sounds}
    loud = by_title["Loudest recordings"]
    assert loud.caption.startswith("By inversion: representation 0.0 dB, phase ")
    spectrum = np.abs(np.fft.rfft(loud.waveform[:, 0]))
    assert np.argmax(spectrum) * RATE / len(loud.waveform) == pytest.approx(500, abs=2)
    assert np.abs(by_title["Quietest recordings"].waveform).max() < 1e-3
    assert np.abs(by_title["Shortest recordings"].waveform[RATE // 5 :]).max() < 0.01  # the floor, 80 dB down


@pytest.mark.slow
def test_the_same_seed_gives_the_same_page_and_another_one_others(dataset: Path, tmp_path: Path) -> None:
    texts = []
    for number, seed in enumerate((1, 1, 2)):
        output = tmp_path / f"{number}.html"
        assert browse.main([str(dataset), "--output", str(output), "--seed", str(seed), "--count", "2"]) == 0
        texts.append(output.read_text(encoding="utf-8"))
    assert texts[0] == texts[1] != texts[2]
    for player in Elements(texts[0]).all("audio"):
        assert soundfile.info(content_of(player["src"], "audio/wav")).frames == round(1.02 * RATE)


def test_it_needs_no_tensorflow(dataset: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from vae_model.commands import browse; "
        f"browse.main([{str(dataset)!r}, '--output', {str(tmp_path / 'a.html')!r}, '--count', '1']); "
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("words", "message"), [(["--count", "0"], "--count=0"), (["--output", "{}"], "is a folder")])
def test_refusals(dataset: Path, tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        browse.main([str(dataset), *(word.format(tmp_path) for word in words)])


def pointing_at(dataset: Path, *inputs: str) -> Dataset:
    """The dataset as a stranger may send it: made of anything."""
    opened = open_dataset(str(dataset))
    return dataclasses.replace(opened, runs=tuple(dataclasses.replace(run, inputs=inputs) for run in opened.runs))


def clipped_on(page: dataset_page.Page) -> bool:
    return any(section.title == "Clipped recordings" for section in page.sections)


def test_a_dataset_does_not_say_whom_to_ask(dataset: Path) -> None:
    asked: list[str] = []

    class Counting(WholeFiles):
        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def do_HEAD(self) -> None:
            asked.append(self.path)
            super().do_HEAD()

    with over_http(dataset.parent, Counting) as url:
        inputs = f"{url}/sounds"
        theirs = pointing_at(dataset, inputs, f"simplecache::{inputs}", f"{inputs}/clipped.wav")
        assert not clipped_on(dataset_page.dataset_page(theirs, 1, 0))
        record = next(theirs.records("train"))
        assert Recordings(theirs).segment(record) is None
        assert Recordings(theirs).clipped_samples(f"x::{inputs}/clipped.wav") == 0
        assert asked == []
        assert clipped_on(dataset_page.dataset_page(theirs, 1, 0, [inputs])), "the user has named it"
        assert Recordings(theirs, [inputs]).segment(record) is not None
        assert asked


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_no_recording(dataset: Path, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "clipped.wav"
    {
        "pipe": lambda: os.mkfifo(source),
        "device": lambda: source.symlink_to("/dev/zero"),
        "folder": source.mkdir,
    }[kind]()
    theirs = Recordings(pointing_at(dataset, str(tmp_path), str(source)))
    assert theirs.clipped_samples("clipped.wav") == 0
    record = next(record for record in open_dataset(str(dataset)).records("train"))
    assert theirs.segment(dataclasses.replace(record, source="clipped.wav")) is None
