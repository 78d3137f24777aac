"""Moved: import from forecast.config."""

from forecast.config.composing import hydra_node, origin, remember, run_directory  # noqa: F401
