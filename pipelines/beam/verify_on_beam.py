"""The Beam job of `verify`: every shard of a dataset read back and checked, a shard an element."""

from __future__ import annotations

import json
import os
import tempfile

from pipelines import store
from pipelines.console.terminal import held_stderr
from pipelines.dataset.checking import check_shard
from pipelines.dataset.folder import Dataset


def _run_checks(dataset: Dataset) -> list[str]:
    """Check all shards in a Beam pipeline; its result comes back in a file, which every local mode can write."""
    import apache_beam as beam

    from pipelines.beam.launch import LOCAL_RUNNER

    with tempfile.TemporaryDirectory(prefix="audio-vae-") as folder, held_stderr():
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
