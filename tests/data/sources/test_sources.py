"""The package's door: four names, nothing heavy behind it until one is used."""

import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml

import forecast.data.sources as sources
from forecast.data.bars import COLUMNS, CachingSource
from forecast.data.calendars import sessions
from forecast.data.health import HealthCheck
from forecast.data.sources import SampleSource, SyntheticSource, sample
from forecast.errors import SourceError, UserError


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
def test_an_unknown_ticker_is_reported_apart_from_other_failures(tmp_path, name):
    (tmp_path / "AAPL.csv").write_text("Date,Open,High,Low,Close,Volume\n")
    source = sources.SampleSource() if name == "sample" else sources.FileSource(path=str(tmp_path))
    with pytest.raises(SourceError) as caught:
        source.bars("APPL")
    assert (caught.value.unknown, caught.value.may_pass) == (True, False)


COVERAGE = {
    "AAPL": ("2000-03-01", 3270),
    "IBM": ("2000-03-01", 3270),
    "MSFT": ("2000-03-01", 3270),
    "GOOG": ("2004-08-19", 2148),
    "FB": ("2012-05-18", 196),
}


def test_the_tickers():
    assert SampleSource().tickers() == list(COVERAGE)


@pytest.mark.parametrize("ticker", COVERAGE)
def test_each_session_has_one_bar(ticker):
    first, count = COVERAGE[ticker]
    bars = SampleSource().bars(ticker)
    assert list(bars.index) == list(sessions("XNYS", first, "2013-03-01"))
    assert len(bars) == count
    assert tuple(bars.columns) == COLUMNS
    assert set(bars.dtypes.astype(str)) == {"float64"}
    assert bars.index.dtype == "datetime64[ns]"
    assert bars.index.name == "Date"


def test_prices_are_adjusted_unless_told_otherwise():
    raw, adjusted = SampleSource(adjust=False).bars("AAPL"), SampleSource().bars("AAPL")
    assert raw.loc["2005-02-25":"2005-02-28", "Close"].tolist() == [88.99, 44.86]  # 2 for 1
    assert adjusted.loc["2005-02-28", "Close"] == pytest.approx(5.7651352430039)
    assert adjusted["Close"].pct_change().loc["2005-02-28"] == pytest.approx(0.0082, abs=1e-4)
    pd.testing.assert_series_equal(raw["High"] / raw["Close"], adjusted["High"] / adjusted["Close"])
    pd.testing.assert_series_equal(raw["Volume"], adjusted["Volume"])


def test_volume_is_counted_in_todays_shares_only_where_the_price_split():
    for ticker, splits in {
        "AAPL": {"2000-06-21": 2, "2005-02-28": 2},
        "MSFT": {"2003-02-18": 2},  # not on 2004-11-15, when a dividend of a tenth of the price was paid
        "IBM": {},
    }.items():
        raw, adjusted = SampleSource().bars(ticker), SampleSource(adjust_volume=True).bars(ticker)
        shares = pd.Series(1.0, raw.index)
        for day, ratio in splits.items():
            shares[raw.index < day] *= ratio
        pd.testing.assert_series_equal(adjusted["Volume"], raw["Volume"] * shares, check_names=False)
        pd.testing.assert_frame_equal(adjusted[["Open", "High", "Low", "Close"]], raw.iloc[:, :4])


def test_a_table_is_the_callers_own():
    mine = SampleSource(adjust=False).bars("IBM")
    mine.iloc[:] = 0
    assert SampleSource(adjust=False).bars("IBM")["Close"].iloc[0] == 100.25


@pytest.mark.parametrize(
    ("ticker", "hint"), [("APPL", "did you mean AAPL?"), ("msft", "did you mean MSFT?"), ("TSLA", "'TSLA'; ")]
)
def test_an_unknown_ticker_is_reported_the_others(ticker, hint):
    with pytest.raises(UserError) as refusal:
        SampleSource().bars(ticker)
    assert hint in str(refusal.value)
    assert str(refusal.value).startswith("source=sample: has no ticker")
    assert str(refusal.value).endswith("it has AAPL, IBM, MSFT, GOOG, FB")


def test_a_changed_file_is_refused_by_name(tmp_path, monkeypatch):
    copy = tmp_path / "stocks.csv.gz"
    shutil.copy(sample.FILE, copy)
    content = bytearray(copy.read_bytes())
    content[1000] ^= 1
    copy.write_bytes(content)
    monkeypatch.setattr(sample, "FILE", copy)
    with pytest.raises(UserError, match=r"stocks\.csv\.gz: is not the file this package ships \(sha256 "):
        SampleSource().bars("AAPL")
    copy.unlink()
    with pytest.raises(UserError, match=r"stocks\.csv\.gz: cannot be read \(No such file"):
        SampleSource().bars("AAPL")


def test_the_note_beside_the_file_tells_its_checksum():
    assert sample.SHA256 in sample.FILE.with_name("stocks.md").read_text()


def test_the_same_ticker_is_the_same_in_any_company():
    one, other = SyntheticSource(num_tickers=2, num_bars=200), SyntheticSource(num_tickers=300, num_bars=200)
    first = {ticker: one.bars(ticker) for ticker in one.tickers()}
    for ticker in reversed(other.tickers()):
        bars = other.bars(ticker)
        if ticker in first:
            pd.testing.assert_frame_equal(bars, first[ticker])
    assert not first["S00000"].equals(first["S00001"])


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"num_bars": 201}, {"end": "2024-12-30"}, {"calendar": "XLON"}],
    ids=lambda change: next(iter(change)),
)
def test_any_other_argument_is_another_market(change):
    usual = {"seed": 0, "num_bars": 200, "end": "2024-12-31", "calendar": "XNYS"}
    close = [
        SyntheticSource(**arguments).bars("AAA")["Close"].iloc[-1] for arguments in (usual, usual | change)
    ]
    assert close[0] != close[1]


GOLDEN = [  # of 2024-12-27 and 2024-12-31
    [10.634565099322332, 11.226573733993831, 10.586166794503827, 11.08289980281007, 178897],
    [11.527714862749468, 12.193335854382763, 11.264823981708034, 11.979159643833833, 308743],
]


def test_the_bars_are_those_of_every_release():
    """Saved runs name their data by its fingerprint, so the generator must not change unnoticed."""
    bars = SyntheticSource(num_bars=3).bars("AAA")
    assert [str(date.date()) for date in bars.index] == ["2024-12-27", "2024-12-30", "2024-12-31"]
    np.testing.assert_allclose(bars.to_numpy()[[0, 2]], GOLDEN, rtol=1e-9)


def test_the_table_is_what_a_source_delivers():
    source = SyntheticSource(num_tickers=3, num_bars=50, end="2024-12-28")
    assert source.tickers() == ["S00000", "S00001", "S00002"]
    bars = source.bars("BRK-B")
    assert tuple(bars.columns) == COLUMNS
    assert set(bars.dtypes.astype(str)) == {"float64"}
    assert bars.index.dtype == "datetime64[ns]"
    assert bars.index.name == "Date"
    assert (len(bars), bars.index[-1]) == (50, pd.Timestamp("2024-12-27"))


def test_every_ticker_is_healthy():
    strict = HealthCheck(stale="error", sessions="error", jump_factor=3)
    source = SyntheticSource(num_tickers=500)
    for ticker in source.tickers():
        assert strict.check(ticker, source.bars(ticker))[1] == []


def test_volatility_comes_in_clusters_and_returns_do_not():
    source = SyntheticSource(num_tickers=40)
    returns = [np.log(source.bars(ticker)["Close"]).diff().dropna() for ticker in source.tickers()]
    assert 0.1 < np.mean([series.abs().autocorr(1) for series in returns]) < 0.4
    assert abs(np.mean([series.autocorr(1) for series in returns])) < 0.02
    assert 1 < np.median([series.kurt() for series in returns]) < 10
    assert 0.1 < np.median([series.std() for series in returns]) * 252**0.5 < 0.5


@pytest.mark.parametrize("ticker", ["", "../AAA", "A/B", "A B", "-A", "A" * 33, "A\n"])
def test_what_could_be_no_ticker_is_refused(ticker):
    with pytest.raises(UserError, match=r"^source=synthetic: .* could be no ticker"):
        SyntheticSource().bars(ticker)


def test_arguments_are_refused_by_key():
    with pytest.raises(UserError, match=r"^source\.end=soon: is no date"):
        SyntheticSource(end="soon")
    with pytest.raises(UserError, match=r"^source\.calendar=XNSY: .*nearest: "):
        SyntheticSource(calendar="XNSY").bars("AAA")
    with pytest.raises(UserError, match=r"^source\.num_bars=100000: calendar XNYS knows "):
        SyntheticSource(num_bars=100_000).bars("AAA")


def test_the_yaml_says_what_the_constructor_does_by_default(pytestconfig):
    with (pytestconfig.rootpath / "conf/source/synthetic.yaml").open() as file:
        node = yaml.safe_load(file)
    assert node.pop("_target_") == "forecast.data.sources.SyntheticSource"
    node["end"] = str(node["end"])
    assert node.pop("interval") == "${data.interval}"
    assert node | {"interval": "1d"} == SyntheticSource.__init__.__kwdefaults__
