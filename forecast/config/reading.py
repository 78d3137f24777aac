"""Moved: import from forecast.config."""

from forecast.config.composing import ASIDE, plain, resolved  # noqa: F401
