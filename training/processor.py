"""What processor this machine has."""

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")  # Linux's


def describe_processor() -> str:
    """Name the processor, as a table of results would."""
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
