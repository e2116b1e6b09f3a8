"""The engine: jobs on Beam, the runners that take them, and the same work without Beam for a few shards.

For pipelines of one's own: `from pipelines.beam import ReadAudio, CutSegments, ExtractFeatures, GlobalRange, Normalise,
WriteTFRecords, WriteDataset, PreprocessAudio`. Beam is imported when one of them is asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
