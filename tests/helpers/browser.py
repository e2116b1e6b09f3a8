"""A headless Chromium for tests of pages, which notes what a page complains of and what it asks for elsewhere."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_LOCAL = ("file:", "data:", "blob:", "http://127.0.0.1:", "http://localhost:", "about:")


@dataclass
class Visit:
    """A page in the browser.

    page: Playwright's. errors: what its console said. elsewhere: what it asked other machines for.
    """

    page: Any
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def wait_until(self, expression: str, seconds: float = 20) -> None:
        """Wait until a JavaScript expression is true, without the `eval` that a page's security policy forbids."""
        deadline = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"not within {seconds} s: {expression}"
            time.sleep(0.02)


@contextmanager
def visiting(width: int = 1280, dark: bool = False, microphone: Path | None = None) -> Iterator[Visit]:
    """A visit; skips the test when there is no Chromium or no Playwright. Requests to other machines are cut off.

    microphone: a WAV file that is heard, again and again, by pages that record.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra dev")
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        # As root, as in a container, Chromium does not start with its sandbox. Sound goes nowhere.
        flags = ["--no-sandbox", "--disable-audio-output", "--autoplay-policy=no-user-gesture-required"]
        if microphone is not None:
            fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
            flags += [*fake, f"--use-file-for-fake-audio-capture={microphone}"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        scheme = "dark" if dark else "light"
        viewport = {"width": width, "height": 900}
        context = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
        visit = Visit(context.new_page())

        def decide(route: Any) -> None:
            url = route.request.url
            if url.startswith(_LOCAL):
                route.continue_()
            else:
                visit.elsewhere.append(url)
                route.abort()

        context.route("**/*", decide)
        visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
        visit.page.on("console", lambda message: visit.errors.append(message.text) if message.type == "error" else None)
        yield visit
        browser.close()
