"""The engine: jobs on Beam, the runners that take them, and the same work without Beam for a few shards.

For pipelines of one's own: `from pipelines.beam import ReadAudio, CutSegments, ExtractFeatures, GlobalRange, Normalise,
WriteTFRecords, WriteDataset, PreprocessAudio`. Beam is imported when one of them is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.beam.preprocess_audio import PreprocessAudio
    from pipelines.beam.transforms import (
        CutSegments,
        ExtractFeatures,
        GlobalRange,
        Normalise,
        ReadAudio,
        WriteTFRecords,
    )
    from pipelines.beam.write_dataset import WriteDataset

__all__ = [
    "CutSegments",
    "ExtractFeatures",
    "GlobalRange",
    "Normalise",
    "PreprocessAudio",
    "ReadAudio",
    "WriteDataset",
    "WriteTFRecords",
]

_MODULES = {"PreprocessAudio": "preprocess_audio", "WriteDataset": "write_dataset"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _MODULES.get(name, "transforms")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
