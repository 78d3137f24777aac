"""Benchmarks: figures, never tests. `python -m benchmarks` lists them; each prints ratios measured in one run."""
