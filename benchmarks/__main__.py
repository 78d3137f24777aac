"""python -m benchmarks: run every benchmark, one after the other; python -m benchmarks.NAME runs one."""

import pkgutil
import runpy
import sys

import benchmarks

for module in sorted(found.name for found in pkgutil.iter_modules(benchmarks.__path__)):
    if not module.startswith("_"):
        print(f"\n=== python -m benchmarks.{module}", flush=True)
        sys.argv = [module]
        runpy.run_module(f"benchmarks.{module}", run_name="__main__")
