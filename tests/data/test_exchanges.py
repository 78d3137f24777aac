"""Tickers side by side are joined as they were known when the target's session closed."""

import numpy as np
import pandas as pd
import pytest
from markets import Memory, random_bars

from forecast.data import MarketData
from forecast.data.features import NoProcessing
from forecast.data.layout import bars_before_join, closes_later

FIRST = "2020-06-01"


def source(*tickers):
    return {ticker: random_bars(200, seed=number, first=FIRST) for number, ticker in enumerate(tickers)}


def joined(tables):
    """Panel rows by date and column."""
    data = MarketData(
        source=Memory(tables), features=NoProcessing(), scope="multiple", tickers=list(tables), seq_len=5
    )
    data.prepare()
    index = pd.DatetimeIndex(data.panel_.time_of(data.panel_.times))
    return pd.DataFrame(data.panel_.values, index=index, columns=data.layout.names)


def same(found, expected):
    np.testing.assert_array_equal(found, expected.astype(np.float32))


def test_tokyo_does_not_see_new_yorks_later_close():
    tables = source("7203.T", "AAPL")
    rows = joined(tables)
    tokyo, new_york = (table["Close"] for table in tables.values())
    same(rows["7203.T.Close"], tokyo.loc[rows.index])
    # Where Tokyo is closed the calendar says nothing of its close, and the bar before stands as well.
    same(rows["AAPL.Close"], new_york.shift(1).loc[rows.index])

    day = rows.index[-30]
    tables["AAPL"].loc[day, ["Open", "High", "Low", "Close"]] *= 1.5
    again = joined(tables)
    pd.testing.assert_frame_equal(rows[:day], again[:day])
    assert again.loc[rows.index[-29], "AAPL.Close"] != rows.loc[rows.index[-29], "AAPL.Close"]


def test_new_york_sees_tokyo_of_the_same_date():
    tables = source("AAPL", "7203.T")
    rows = joined(tables)
    open_days = ~closes_later("7203.T", "AAPL", rows.index.to_numpy())
    assert open_days.mean() > 0.9
    same(rows["7203.T.Close"][open_days], tables["7203.T"]["Close"].loc[rows.index[open_days]])


@pytest.mark.parametrize(
    ("target", "other", "day", "later"),
    [
        ("BP.L", "MC.PA", "2020-12-22", False),  # both at 16:30 UTC
        ("BP.L", "MC.PA", "2020-12-24", True),  # half days: London at 12:30, Paris at 13:05
        ("MC.PA", "BP.L", "2020-12-24", False),
        ("AAPL", "BTC-USD", "2020-12-22", True),  # its day ends at midnight UTC
        ("BTC-USD", "AAPL", "2020-12-22", False),
        ("AAPL", "^VIX", "2020-12-22", False),
        ("AAPL", "X.NOWHERE", "2020-12-22", True),  # unknown: not known to have closed
        ("X.NOWHERE", "AAPL", "2020-12-22", True),
        ("X.NOWHERE", "Y.NOWHERE", "2020-12-22", False),
        ("7203.T", "6758.T", "2020-12-22", False),
        ("AAPL", "MSFT", "2020-12-25", False),  # the same exchange, whatever its calendar says
    ],
)
def test_which_bar_is_known_when_the_target_closes(target, other, day, later):
    assert closes_later(other, target, np.array([day], "datetime64[ns]")).tolist() == [later]


def test_tickers_of_one_exchange_are_joined_by_date():
    tables = source("AAPL", "MSFT")
    rows = joined(tables)
    same(rows["MSFT.Close"], tables["MSFT"]["Close"].loc[rows.index])
    assert len(rows) == 200
    assert bars_before_join(["AAPL", "MSFT"]) == 0
    assert bars_before_join(["7203.T", "AAPL"]) == 1
