"""What a model is computed on and in: devices and machines of `tf.distribute`, mixed precision."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import keras
import tensorflow as tf

from pipelines.errors import SettingError

_FAST_BFLOAT16 = {"avx512_bf16", "amx_bf16"}
"""Flags of CPUs that compute in bfloat16; others only imitate it, slower than float32."""


def make_strategy(name: str) -> tf.distribute.Strategy:
    """The strategy of a setting `none`, `mirrored`, `multi-worker` or `auto`.

    auto: multi-worker where TF_CONFIG names a cluster, mirrored where there is more than one GPU, else none. mirrored:
    all GPUs, or without one all logical CPU devices. SettingError when multi-worker lacks its TF_CONFIG.
    """
    if name == "auto":
        several = len(tf.config.list_physical_devices("GPU")) > 1
        name = "multi-worker" if in_cluster() else "mirrored" if several else "none"
    if name == "none":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if not in_cluster():
        raise SettingError("strategy=multi-worker must come with TF_CONFIG in the environment, which names the workers")
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (RuntimeError, ValueError) as error:
        raise SettingError(f"strategy=multi-worker cannot begin: {str(error).splitlines()[0]}") from error


def in_cluster() -> bool:
    """Whether TF_CONFIG names workers."""
    try:
        return bool(json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {}).get("worker"))
    except (ValueError, AttributeError) as error:
        raise SettingError(f"TF_CONFIG must be JSON as TensorFlow describes it: {error}") from error


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Whether other machines have a part in it."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes files: the chief, or worker 0 where none is named chief."""
    if not is_multi_worker(strategy):
        return True
    resolver = strategy.cluster_resolver
    has_chief = "chief" in resolver.cluster_spec().jobs
    return bool(resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0))


def has_fast_bfloat16() -> bool:
    """Whether bfloat16 is computed faster than float32 here: a GPU from compute capability 8.0, or such a CPU."""
    for gpu in tf.config.list_physical_devices("GPU"):
        capability = tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
        return bool(capability >= (8, 0))
    with contextlib.suppress(OSError):  # no Linux: not known
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("flags", 1)[-1].split("\n", 1)[0]
        return bool(_FAST_BFLOAT16 & set(flags.split()))
    return False


@contextlib.contextmanager
def precision(mixed: str) -> Iterator[None]:
    """Models that are made or loaded inside compute in the policy of a setting `off`, `on` or `auto`.

    Under `mixed_bfloat16` convolutions and dense layers compute in bfloat16 from float32 weights; mu, log_variance, the
    sampling, the sigmoid and the losses stay in float32. A saved model doesn't keep the policy: loaded, it computes in
    float32 anywhere.
    """
    use = mixed == "on" or (mixed == "auto" and has_fast_bfloat16())
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if use else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


_CGROUP_FILES = {"": ("memory.max", "memory.current"), "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes")}
"""The files of a memory limit and use, in version 2 of control groups and in version 1."""


def available_bytes() -> int:
    """Memory that this process may still take: what is available, or what its cgroup leaves if that is less."""
    available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError, StopIteration):  # no Linux: what is installed
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024
    for limit, usage in _cgroup_files():
        with contextlib.suppress(OSError, ValueError):  # no such group, or "max": no limit
            left = int(limit.read_text(encoding="ascii")) - int(usage.read_text(encoding="ascii"))
            available = min(available, max(left, 0))
    return available


def _cgroup_files() -> Iterator[tuple[Path, Path]]:
    """Limit and use of this process's group and of the one that a container sees as its root."""
    with contextlib.suppress(OSError):  # no Linux
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            controller, path = line.split(":", 2)[1:]
            if controller in _CGROUP_FILES:
                limit, usage = _CGROUP_FILES[controller]
                root = Path("/sys/fs/cgroup", controller)
                for folder in (root, root / path.lstrip("/")):
                    yield folder / limit, folder / usage


def default_cache_mb() -> int:
    """A quarter of the available memory in MB."""
    return available_bytes() // 4 // 2**20
