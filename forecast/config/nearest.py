"""Moved: import from forecast.config."""

from forecast.config.messages import did_you_mean, nearest  # noqa: F401
