"""Processor name, instruction sets and available cores (standard library only)."""

import os
import platform
from pathlib import Path

CGROUP_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")  # cgroup v2: "<quota> <period>" in microseconds, or "max <period>"
_CPUINFO = Path("/proc/cpuinfo")  # Linux only


def available_cores(cgroup_cpu_max: Path = CGROUP_CPU_MAX) -> int:
    """Return the number of CPU cores that affinity and cgroup quota allow."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cgroup_cpu_max.is_file():
        quota, period = cgroup_cpu_max.read_text().split()
        if quota != "max":
            cores = min(cores, -(-int(quota) // int(period)))
    return max(cores, 1)


def describe_processor() -> str:
    """Return the name of the processor."""
    return _read_entry("model name") or platform.machine()


def read_processor_flags() -> set[str]:
    """Return Linux's instruction set names of an x86-64 processor, else nothing."""
    return set(_read_entry("flags").split())


def _read_entry(name: str) -> str:
    """Return the first value of an entry of /proc/cpuinfo, or an empty string."""
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
