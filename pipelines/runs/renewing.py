"""Renews stamps in the manifests of a dataset, where files have others now and the same content, and adds digests."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import store
from pipelines.dataset.folder import MANIFEST, Dataset
from pipelines.dataset.names import MANIFEST_FILE


def renew_stamps(dataset: Dataset, renewed: pa.Table) -> None:
    """Replace manifests by themselves with other stamps and digests; nothing else in them changes, nor `dataset.json`.

    renewed: run, source, stamp, digest. Where another run has changed a manifest meanwhile, or removed it, it stays as
    it is: the next run compares again.
    """
    for run in pc.unique(renewed["run"]).to_pylist():
        uri = store.join(dataset.run_uri(run), MANIFEST_FILE)
        version = store.version(uri)
        rows = dataset.run_manifest(run)
        mine = renewed.filter(pc.equal(renewed["run"], run))
        at = pc.index_in(rows["source"], value_set=mine["source"].combine_chunks()).combine_chunks()
        for name in ("stamp", "digest"):
            column = pc.coalesce(mine[name].combine_chunks().take(at), rows[name].combine_chunks())
            rows = rows.set_column(MANIFEST.get_field_index(name), name, column)
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink, compression="zstd")
        try:
            store.replace_if_unchanged(uri, sink.getvalue().to_pybytes(), version)
        except store.Conflict:
            continue
