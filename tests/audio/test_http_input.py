"""Audio on a web server: pages of links, single files, servers that can send parts of files and some that can't."""

from __future__ import annotations

import re
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.audio.loading import loader_of
from pipelines.audio.sources import list_sources
from pipelines.config import AudioConfig
from pipelines.errors import SettingError
from tests.helpers.dataset_state import SMALL, write_small
from tests.helpers.object_stores import comparable
from tests.helpers.servers import WholeFiles, over_http
from vae_model import cli


class Parts(WholeFiles):
    """The same with ranges, and a count of the bytes that went out."""

    sent = 0

    def do_GET(self) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if wanted is None or not path.is_file():
            super().do_GET()
            return
        content = path.read_bytes()
        part = content[int(wanted[1]) : int(wanted[2]) + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {wanted[1]}-{int(wanted[1]) + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)
        type(self).sent += len(part)


@pytest.mark.parametrize("kind", [WholeFiles, Parts])
def test_a_dataset_of_a_web_folder_is_that_of_a_local_one(
    kind: type[SimpleHTTPRequestHandler], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "served" / "sounds"
    for i in range(4):
        write_small(folder / f"speaker {i % 2}" / f"tone_{i}.wav", 300 + 100 * i)
    (folder / "notes.txt").write_text("no sound")
    with over_http(tmp_path / "served", kind) as url:
        assert cli.main(["preprocess", f"{url}/sounds/", "--output", str(tmp_path / "remote"), *SMALL]) == 0
        assert cli.main(["preprocess", str(folder), "--output", str(tmp_path / "local"), *SMALL]) == 0
        assert comparable(tmp_path / "remote") == comparable(tmp_path / "local")
        capsys.readouterr()
        assert cli.main(["preprocess", f"{url}/sounds", "--output", str(tmp_path / "remote")]) == 0
        assert "nothing new" in capsys.readouterr().err
        table = list_sources([f"{url}/sounds/speaker 0/tone_2.wav"]).table
        assert table["source"].to_pylist() == ["tone_2.wav"]
        with pytest.raises(SettingError, match="must exist"):
            list_sources([f"{url}/nothing/"])


def test_only_the_beginning_of_a_long_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 2_500_000).astype(np.float32), 16000)
    first = AudioConfig(sample_rate=16000, segments="first", segment_seconds=0.74)
    with over_http(tmp_path, Parts) as url:
        Parts.sent = 0
        np.testing.assert_array_equal(loader_of(first).load(f"{url}/long.wav"), loader_of(first).load(str(path)))
        assert Parts.sent <= 300_000
    whole = AudioConfig(sample_rate=16000, segments="all", segment_seconds=0.74)
    with over_http(tmp_path, WholeFiles) as url:
        np.testing.assert_array_equal(loader_of(whole).load(f"{url}/long.wav"), loader_of(whole).load(str(path)))
