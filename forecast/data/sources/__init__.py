"""Where bars come from: embedded, a folder of files, made up from a seed, Yahoo Finance."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forecast.data.sources.files import FileSource
    from forecast.data.sources.sample import SampleSource
    from forecast.data.sources.synthetic import SyntheticSource
    from forecast.data.sources.yfinance import YFinanceSource

__all__ = ["FileSource", "SampleSource", "SyntheticSource", "YFinanceSource"]

_HOMES = {
    "FileSource": "files",
    "SampleSource": "sample",
    "SyntheticSource": "synthetic",
    "YFinanceSource": "yfinance",
}


def __getattr__(name: str) -> object:
    """Import a source when it is asked for, so that naming one does not import the others."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
