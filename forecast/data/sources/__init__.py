"""Where bars come from: embedded, a folder of files, made up from a seed, Yahoo Finance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.lazy import lazy

if TYPE_CHECKING:
    from forecast.data.sources.files import FileSource as FileSource
    from forecast.data.sources.sample import SampleSource as SampleSource
    from forecast.data.sources.synthetic import SyntheticSource as SyntheticSource
    from forecast.data.sources.yfinance import YFinanceSource as YFinanceSource

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "files": ["FileSource"],
        "sample": ["SampleSource"],
        "synthetic": ["SyntheticSource"],
        "yfinance": ["YFinanceSource"],
    },
)
