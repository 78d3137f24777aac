"""Deprecated: see forecast.data.bars."""

from forecast.data.bars import DateRange

__all__ = ["DateRange"]
