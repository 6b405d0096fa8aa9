"""Facts about this machine: the processor, the cores that may be used, and thread settings.

Everything here only looks; nothing is changed, and what cannot be found out is left out.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

import llvmlite.binding as llvm

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def processor_name() -> str:
    """Return the name of the processor as its maker writes it, or LLVM's name for it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or llvm_processor()


def llvm_processor() -> str:
    """Return LLVM's name for the processor, ``skylake-avx512``."""
    return str(llvm.get_host_cpu_name())


def processor_features() -> tuple[str, ...]:
    """Return the instruction sets that LLVM may use here, sorted."""
    try:
        features: Mapping[str, bool] = llvm.get_host_cpu_features()
    except RuntimeError:  # LLVM does not know this processor
        return ()
    return tuple(sorted(name for name, there in features.items() if there))


def cores_allowed() -> int | None:
    """Return how many cores this process may be placed on, or None where that is not known."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else None


def cores_of_group(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Return the share of cores that the control group grants, or None without a limit.

    The smallest limit of the group and of those around it holds.
    """
    limits = [limit for folder in _group_folders(root) if (limit := _limit(folder)) is not None]
    return min(limits, default=None)


def _group_folders(root: Path) -> list[Path]:
    own = ""
    try:
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            if line.startswith("0::"):
                own = line[3:].strip("/")
    except OSError:
        own = ""
    folder = root / own
    return [each for each in (folder, *folder.parents) if each == root or root in each.parents]


def _limit(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()[:2]
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def thread_settings() -> dict[str, str]:
    """Return the environment variables that limit the threads of numerical libraries."""
    return {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
