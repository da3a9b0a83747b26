"""Benchmarks: ratios against a peer or the bare library, measured in the same run. `./dev bench [NAME ...]`."""
