"""Where the repository lies, and the recordings beside it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FSDD = ROOT.parent / "shared" / "data" / "fsdd" / "recordings"
"""The Free Spoken Digit Dataset; tests marked `fsdd` skip where it is not."""
