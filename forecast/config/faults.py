"""Moved: import from forecast.config."""

from forecast.config.messages import ConfigFault as Fault  # noqa: F401
