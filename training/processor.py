"""The processor of this machine."""

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")  # Linux only


def describe_processor() -> str:
    """Return the name of the processor."""
    return _read_entry("model name") or platform.machine()


def read_processor_flags() -> set[str]:
    """Return the instruction sets of an x86-64 processor, by Linux's names; empty on other systems."""
    return set(_read_entry("flags").split())


def _read_entry(name: str) -> str:
    """Return the first value of an entry of /proc/cpuinfo; empty if there is none."""
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
