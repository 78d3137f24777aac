"""Deprecated: see forecast.data.layout."""

from forecast.data.layout import Layout, Scope, rows, side_by_side

__all__ = ["Layout", "Scope", "rows", "side_by_side"]
