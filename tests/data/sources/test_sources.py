"""The package's door: four names, nothing heavy behind it until one is used."""

import subprocess
import sys

import pytest

import forecast.data.sources as sources
from forecast.data.bars import CachingSource
from forecast.errors import SourceError


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


def test_only_a_source_that_asks_a_server_has_a_cache_to_speak_of(tmp_path):
    asking = sources.YFinanceSource(cache_dir=str(tmp_path))
    assert isinstance(asking, CachingSource)
    assert asking.symbol("brk-b") == "BRK-B"
    for other in (sources.SampleSource(), sources.FileSource(path="x"), sources.SyntheticSource()):
        assert not isinstance(other, CachingSource)


@pytest.mark.parametrize("name", ["sample", "files"])
def test_an_unknown_ticker_is_told_apart_from_other_failures(tmp_path, name):
    (tmp_path / "AAPL.csv").write_text("Date,Open,High,Low,Close,Volume\n")
    source = sources.SampleSource() if name == "sample" else sources.FileSource(path=str(tmp_path))
    with pytest.raises(SourceError) as caught:
        source.bars("APPL")
    assert (caught.value.unknown, caught.value.may_pass) == (True, False)
