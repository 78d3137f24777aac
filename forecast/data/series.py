"""Deprecated: see forecast.data.layout."""

from forecast.data.layout import Layout, Scope, layout, rows, side_by_side

__all__ = ["Layout", "Scope", "layout", "rows", "side_by_side"]
