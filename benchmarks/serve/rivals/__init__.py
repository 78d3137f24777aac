"""Other ways to serve a run directory, each a process of its own: python -m benchmarks.serve.rivals.NAME DIR PORT"""
