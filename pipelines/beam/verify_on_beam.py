"""The Beam job of `verify`: every shard of a dataset read back and checked, a shard an element."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from typing import Any

from pipelines import store
from pipelines.console.terminal import held_stderr
from pipelines.dataset.checking import check_dataset, check_shard, import_decoder
from pipelines.dataset.folder import Dataset, open_dataset
from pipelines.errors import require_package
from pipelines.store.paths import Place


@dataclass(frozen=True)
class Verification:
    """What came of reading a dataset back. problems: a line each; none when all is as it should be."""

    dataset: Dataset
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        found = self.dataset
        values: dict[str, Any] = {"dataset": store.shown(found.uri), "ok": self.ok, "num_examples": found.num_examples}
        counts = {"num_shards": len(found.shards), "sources": found.to_dict()["sources"]}
        return values | counts | {"problems": list(self.problems)}


def verify_dataset(dataset: Dataset | Place) -> Verification:
    """Read every record of a dataset back, and compare it with what the manifests say of it: `audio-vae verify`.

    dataset: an open one, or the path or URI of one. Its shards are shared out among all cores.

    >>> verify_dataset(dataset).problems
    ()
    """
    for package in ("apache_beam", "tfx_bsl"):
        require_package(package, "pipeline", "reading every record back")
    found = open_dataset(dataset)
    return Verification(found, (*check_dataset(found), *_check_shards(found)))


def _check_shards(dataset: Dataset) -> list[str]:
    """Check all shards in a Beam pipeline; its result comes back in a file, which every local mode can write."""
    import apache_beam as beam

    from pipelines.beam.launch import LOCAL_RUNNER

    with tempfile.TemporaryDirectory(prefix="audio-vae-") as folder, held_stderr():
        import_decoder()
        result = os.path.join(folder, "problems.json")
        with beam.Pipeline(runner=LOCAL_RUNNER, argv=_local_flags()) as pipeline:
            _ = (
                pipeline
                | beam.Create([shard.path for shard in dataset.shards])
                | beam.Reshuffle()
                | "CheckShard" >> beam.FlatMap(check_shard, dataset.uri)
                | beam.combiners.ToList()
                | "Write" >> beam.Map(lambda problems: store.write_bytes(result, json.dumps(problems).encode()))
            )
        return sorted(json.loads(store.read_bytes(result)))


def _local_flags() -> list[str]:
    workers = os.cpu_count() or 1
    mode = "multi_threading" if workers > 1 else "in_memory"
    return [f"--direct_num_workers={workers}", f"--direct_running_mode={mode}"]
