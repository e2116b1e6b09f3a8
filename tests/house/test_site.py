"""The documentation as pages: `make docs` has every text and public name, and a link to nothing fails."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pipelines
import pipelines.beam
import vae_model
from tests.helpers.places import ROOT

pytest.importorskip("material", reason="mkdocs-material is not installed: pip install -e '.[docs]'")
pytestmark = pytest.mark.slow

COPIED = ("docs", "examples", "deploy", "benchmarks", "pipelines", "vae_model", "mkdocs.yml", "LICENSE")


def build(repository: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """What `make docs` runs."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    environment = dict(os.environ, NO_MKDOCS_2_WARNING="1")
    return subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository's. Read only."""
    folder = tmp_path_factory.mktemp("site") / "site"
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_text_is_a_page(site: Path) -> None:
    texts = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert {path.stem for path in site.glob("*.html")} == {
        *texts,
        *("index", "404", "contributing", "security", "changelog"),
    }


def test_every_public_name_is_in_the_reference_with_its_example(site: Path) -> None:
    for face in (pipelines, pipelines.beam, vae_model):
        page = (site / "reference" / f"{face.__name__}.html").read_text(encoding="utf-8")
        shown = re.findall(r'<h2 id="([\w.]+)" class="doc doc-heading"', page)
        assert sorted(name.rsplit(".", 1)[1] for name in shown) == sorted(face.__all__)
        assert page.count("&gt;&gt;&gt;") >= len(face.__all__)


def test_files_that_a_text_names_can_be_read(site: Path) -> None:
    source = site / "source"
    assert "WriteDataset" in (source / "examples" / "beam_pipeline.py.html").read_text(encoding="utf-8")
    folder = (source / "deploy" / "cron.html").read_text(encoding="utf-8")
    assert 'href="cron/crontab.html"' in folder


def test_nothing_is_fetched_from_other_machines(site: Path) -> None:
    loaded = re.compile(r'<(?:script|img|iframe)[^>]* src="([^"]*)"|<link[^>]* href="([^"]*)"')
    for path in site.rglob("*.html"):
        for found in loaded.findall(path.read_text(encoding="utf-8")):
            assert "//" not in "".join(found), (path, found)


def test_a_link_to_nothing_fails_and_is_named(tmp_path: Path) -> None:
    for name in (*COPIED, *(path.name for path in ROOT.glob("*.md"))):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    for text, link in (
        ("README.md", "[a](docs/nothing.md)"),
        ("docs/sound.md", "[b](sound.md#nowhere)"),
        ("docs/flink.md", "[c](../examples/none.py)"),
    ):
        with (tmp_path / text).open("a", encoding="utf-8") as file:
            file.write(f"\n{link}\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode == 1
    for target in ("nothing.md", "nowhere", "none.py"):
        assert target in done.stderr
    assert done.stderr.count("WARNING") == 3
