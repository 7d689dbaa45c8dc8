"""External programs for tests, and a mark that skips a test if one is missing."""

import platform
import shutil

import pytest
from playwright._impl._driver import compute_driver_executable

# Program -> Debian package.
PACKAGES = {"chromium": "chromium", "h2load": "nghttp2-client", "qemu-x86_64": "qemu-user", "wrk": "wrk"}


def needs(*programs: str) -> pytest.MarkDecorator:
    """Return a mark that skips a test unless all programs are installed."""
    missing = [program for program in programs if shutil.which(program) is None]
    if "qemu-x86_64" in programs and platform.machine() not in {"x86_64", "AMD64"}:
        return pytest.mark.skip(reason="this Python cannot run under qemu-x86_64")
    packages = " ".join(PACKAGES[program] for program in missing)
    reason = f"{', '.join(missing)} not installed; on Debian: apt-get install {packages}"
    return pytest.mark.skipif(bool(missing), reason=reason)


def playwright_node() -> str:
    """Return the path of the Node.js that Playwright carries."""
    return str(compute_driver_executable()[0])
