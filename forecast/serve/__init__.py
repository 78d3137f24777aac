"""The champion over HTTP: python serve.py."""
