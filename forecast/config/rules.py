"""Moved: import from forecast.config."""

from forecast.config.checking import violations as broken  # noqa: F401
