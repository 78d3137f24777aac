"""Made-up bars: the same for ever, healthy, and shaped like a market's."""

import numpy as np
import pandas as pd
import pytest
import yaml

from forecast.data.bars import COLUMNS
from forecast.data.health import HealthCheck
from forecast.data.sources import SyntheticSource
from forecast.errors import UserError


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
    assert node == SyntheticSource.__init__.__kwdefaults__
