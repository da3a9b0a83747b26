"""Runs the benchmarks named on the command line, or all."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys

import benchmarks


def main() -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    known = [
        m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.name.startswith("_") and m.name != "timing"
    ]
    for name in [w for w in sys.argv[1:] if not w.startswith("--")] or known:
        if name not in known:
            sys.exit(f"benchmarks: `{name}` is not one of {', '.join(known)}")
        print(f"== {name}")
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
