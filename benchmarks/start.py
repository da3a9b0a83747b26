"""What it costs to start: the import and the help, beside a bare interpreter."""

from __future__ import annotations

import sys

from benchmarks.timing import compare


def main() -> None:
    bare = [sys.executable, "-c", "pass"]
    compare("import keepfit", [sys.executable, "-c", "import keepfit"], bare)
    compare("keepfit --help", [sys.executable, "-m", "keepfit", "--help"], bare)
    compare("keepfit train --help", [sys.executable, "-m", "keepfit", "train", "--help"], bare)
