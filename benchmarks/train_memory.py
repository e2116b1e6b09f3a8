"""Memory of `audio-vae train` on datasets of two sizes, the larger one ten times the memory that it is given.

The shards are FSDD's, copied until the dataset is as large as is asked for. Where a control group can be made, the
command gets that much memory and no more, page cache included; elsewhere it is only measured.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from common import Measured, Report, audio_vae, copy_recordings, measure, note, options, preprocess, table, workspace

from pipelines.dataset.folder import Dataset, Shard, open_dataset
from pipelines.dataset.names import ENTRY

MB = 2**20
MODEL = ["--preset", "tiny", "--conv-filters", "4", "--conv-kernels", "8", "--conv-strides", "8"]
MODEL += ["--latent-space-dim", "8", "--batch-size", "64", "--epochs", "1"]
GROUPS = (  # version 2 and 1 of control groups: the folder, the file with the limit
    (Path("/sys/fs/cgroup"), "memory.max"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
)


@contextlib.contextmanager
def limited(limit_mb: int) -> Iterator[Path | None]:
    """A control group with so much memory; None where none can be made."""
    for root, file in GROUPS:
        folder = root / f"audio-vae-benchmark-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            with (folder / file).open("r+") as limit:  # which is there if this is one
                limit.write(str(limit_mb * MB))
        except OSError:
            folder.rmdir()
            continue
        try:
            yield folder
        finally:
            folder.rmdir()
        return
    yield None


def multiply(dataset: Dataset, times: int) -> None:
    """Make a dataset so many times as large by copies of its shards."""
    split = dataset.split("train")
    shards = []
    for shard in split.shards:
        for number in range(times):
            copy = dataclasses.replace(shard, path=shard.path.replace(".tfrecord", f"-{number}.tfrecord"))
            shutil.copyfile(Path(dataset.uri, shard.path), Path(dataset.uri, copy.path))
            shards.append(copy)
        Path(dataset.uri, shard.path).unlink()
    larger = dataclasses.replace(split, num_examples=split.num_examples * times, shards=tuple[Shard, ...](shards))
    content = dataclasses.replace(dataset, splits={"train": larger}).to_json()
    Path(dataset.uri, ENTRY).write_bytes(content)


def train(dataset: Path, output: Path, group: Path | None) -> Measured:
    """One epoch, from disk."""
    command = [*audio_vae(), "train", str(dataset), "--output", str(output), *MODEL]
    if group is None:
        return measure([*command, "--cache-mb", "0"])
    return measure(["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh", *command])


def main() -> int:
    parser = options(__doc__, 3_000)
    parser.add_argument("--limit-mb", type=int, default=2048, help="memory that the command gets (default 2048)")
    parser.add_argument("--times", type=int, default=10, help="size of the larger dataset in limits (default 10)")
    chosen = parser.parse_args()
    report = Report("train-memory", "Training: memory", chosen.write)
    rows, found, sizes = [], [], []
    with workspace() as work, limited(chosen.limit_mb) as group:
        inputs = copy_recordings(chosen.recordings, work / "input", chosen.files)
        for times in (1, chosen.times):
            folder = work / f"dataset-{times}"
            preprocess(inputs, folder, "--preset", "course", "--split", "none")
            dataset = open_dataset(str(folder))
            num_bytes = sum(shard.num_bytes for shard in dataset.shards)
            multiply(dataset, max(1, round(times * chosen.limit_mb * MB / num_bytes)))
            sizes.append(sum(shard.num_bytes for shard in open_dataset(str(folder)).shards) / MB)
            note(f"training on {sizes[-1]:,.0f} MB")
            found.append(train(folder, work / f"model-{times}", group))
            line = next(line for line in found[-1].output.splitlines() if line.startswith("split train:"))
            count = open_dataset(str(folder)).num_examples
            rows.append(
                [f"{sizes[-1]:,.0f}", f"{count:,}", f"{found[-1].seconds:.0f}", f"{found[-1].rss_mb:,.0f}", line]
            )
            shutil.rmtree(folder)
    limit = f"within {chosen.limit_mb:,} MB that a control group allows it" if group else "without a limit"
    report.say(
        f"One epoch of a small model, {limit}; FSDD's records of preset `course`, their shards copied. What is said is",
        "what the command says itself. Resident memory is the highest seen.",
        "",
        *table(["MB of records", "records", "seconds", "resident MB", "said"], rows),
    )
    report.claim("memory for the larger dataset over the smaller", found[1].rss_mb / found[0].rss_mb, "at most", 1.2)
    report.claim("records over the memory allowed", sizes[1] / chosen.limit_mb, "at least", 9.9)
    return report.finish("tensorflow", "keras")


if __name__ == "__main__":
    sys.exit(main())
