"""Runs recorded in MLflow, besides their directory; `python -m forecast.track sync` sends what is missing."""

from forecast.track.tracker import MLflowTracker

__all__ = ["MLflowTracker"]
