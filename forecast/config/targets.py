"""Moved: import from forecast.config."""

from forecast.config.building import locate, signature  # noqa: F401
