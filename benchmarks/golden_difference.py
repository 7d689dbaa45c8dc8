"""Golden differences of model files on this processor, as JSON by path.

The output is {path: largest difference of a probability}. The imports are few, because the script also runs under
emulation (benchmarks/processors.py and scripts/emulate-arm).
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from service.runtime.golden_check import golden_difference
from service.runtime.session import OnnxClassifier


def main(arguments: Sequence[str] | None = None) -> None:
    """Load each file as the service does and print the golden differences."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.golden_difference", description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--images", type=int, help="golden images per file (default: all)")
    options = parser.parse_args(arguments)
    found = {}
    for path in options.files:
        classifier = OnnxClassifier(path, device="cpu", threads=1)
        found[str(path)] = golden_difference(classifier, limit=options.images)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
