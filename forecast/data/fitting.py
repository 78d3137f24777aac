"""Deprecated: see forecast.data.normaliser."""

from forecast.data.normaliser import fit_normaliser

__all__ = ["fit_normaliser"]
