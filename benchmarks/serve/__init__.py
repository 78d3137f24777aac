"""The server under load, beside other ways to serve the same run directory: python -m benchmarks.serve --help"""
