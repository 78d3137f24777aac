"""Benchmarks: figures, never tests; each prints ratios measured in one run."""
