"""The package's door: four names, nothing heavy behind it until one is used."""

import subprocess
import sys

import pytest

import forecast.data.sources as sources


def test_the_sources_are_found_by_name():
    for name in sources.__all__:
        assert getattr(sources, name).__name__ == name
    assert dir(sources) == ["FileSource", "SampleSource", "SyntheticSource", "YFinanceSource"]


def test_another_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'Quandl'"):
        sources.Quandl  # noqa: B018


def test_naming_and_building_a_source_imports_no_pandas():
    code = (
        "import sys\n"
        "from forecast.data.sources import FileSource, SampleSource, SyntheticSource\n"
        "SampleSource(), FileSource(path='nowhere'), SyntheticSource()\n"
        "assert not {'pandas', 'numpy', 'pyarrow', 'yfinance', 'exchange_calendars'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
