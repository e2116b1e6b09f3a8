"""docs/from-the-course.md: its Python runs as it stands."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import soundfile

from tests.helpers.places import ROOT
from tests.helpers.snippets import WAYS, Run

PAGE = (ROOT / "docs" / "from-the-course.md").read_text(encoding="utf-8")


def snippet(name: str) -> str:
    (code,) = re.findall(rf"<!-- snippet: {name} -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    return str(code)


@WAYS
def test_the_script_of_a_reader_runs(run: Run, tone_folder: Path, tmp_path: Path) -> None:
    code = snippet("script")
    assert len(code.splitlines()) <= 25
    (tmp_path / "recordings").mkdir()
    for path in sorted(tone_folder.glob("*.wav"))[:3]:
        shutil.copy(path, tmp_path / "recordings")
    run(code, tmp_path)
    sound = soundfile.info(tmp_path / "new.wav")
    assert (sound.samplerate, sound.channels, sound.frames) == (22050, 1, 16317)
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"model.keras", "bundle.json"}


@WAYS
def test_the_bottleneck_of_one_s_own_makes_a_model(run: Run, tmp_path: Path) -> None:
    made = 'vae = NarrowVAE((16, 8, 1), (4,), (3,), (2,), 3)\nassert vae.encoder.get_layer("narrow").units == 16\n'
    run(snippet("bottleneck") + made, tmp_path)
