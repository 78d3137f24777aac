"""Every kind of fault, under every policy; the record; the limits."""

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings, strategies as st

from forecast.data.bars import COLUMNS, bar_table
from forecast.data.health import Fault, HealthCheck
from forecast.data.sources import SampleSource, SyntheticSource
from forecast.data.timing import Bars
from forecast.errors import UserError

MARKET = SyntheticSource(num_bars=60, end="2024-12-31")
POLICIES = (
    *("duplicates", "order", "prices", "high_low", "splits", "jumps", "stale", "copied_opens", "shifted"),
    *("sessions", "ends_early"),
)


def bars() -> pd.DataFrame:
    return MARKET.bars("AAA").copy()


def day(row: int) -> str:
    return str(bars().index[row].date())


def all_kept(**policies) -> HealthCheck:
    return HealthCheck(**dict.fromkeys(POLICIES, "keep") | policies)


def put(row: int, **values: float):
    def broken() -> pd.DataFrame:
        table = bars()
        for column, value in values.items():
            table.iloc[row, table.columns.get_loc(column)] = value
        return table

    return broken


def scaled(rows: slice, factor: float):
    def broken() -> pd.DataFrame:
        table = bars()
        table.iloc[rows, :4] *= factor
        return table

    return broken


def repeated(row: int, times: int):
    """The bar of `row` again on the next days, as a halted share is reported."""

    def broken() -> pd.DataFrame:
        table = bars()
        table.iloc[row + 1 : row + times] = table.iloc[row].to_numpy()
        return table

    return broken


def halted() -> pd.DataFrame:
    table = repeated(10, 6)()
    table.iloc[11:16, 4] = 0
    return table


def rows(*order: int):
    return lambda: bars().iloc[list(order)]


def swapped() -> pd.DataFrame:
    order = list(range(60))
    order[20], order[21] = 21, 20
    return bars().iloc[order]


# kind, table, rows at fault, what is said of the first of them
KINDS = [
    pytest.param("prices", put(10, Close=np.nan), [10], "Close=nan is no positive number", id="NaN"),
    pytest.param("prices", put(10, Open=np.inf), [10], "Open=inf is no positive number", id="infinite"),
    pytest.param("prices", put(10, Low=0), [10], "Low=0 is no positive number", id="zero"),
    pytest.param(
        "prices", put(10, Low=99, High=101, Close=-100), [10], ", as CRSP marks the mean of", id="CRSP"
    ),
    pytest.param("prices", put(0, High=-3.5), [0], "High=-3.5 is no positive number", id="negative"),
    pytest.param(
        "prices", put(10, Volume=np.nan), [10], "Volume=nan is no number of 0 or more", id="no volume"
    ),
    pytest.param(
        "prices", put(59, Volume=-1), [59], "Volume=-1 is no number of 0 or more", id="minus volume"
    ),
    pytest.param("high_low", put(10, High=5, Low=6), [10], "High=5 is below Low=6", id="High below Low"),
    pytest.param("high_low", put(10, Open=1), [10], "Open=1 lies outside Low=", id="Open outside"),
    pytest.param("high_low", put(10, Close=1e4), [10], "Close=10000 lies outside Low=", id="Close outside"),
    pytest.param("jumps", scaled(slice(10, 11), 100), [10], "times the last good Close, ", id="up"),
    pytest.param("jumps", scaled(slice(59, 60), 0.01), [59], "times the last good Close, ", id="down"),
    pytest.param("jumps", scaled(slice(50, 60), 100), range(50, 60), "times the last good", id="new level"),
    pytest.param("jumps", put(10, High=1e5), [10], "High=100000 is ", id="High alone"),
    pytest.param("jumps", put(0, Low=0.01), [0], "times its own Close", id="first bar"),
    pytest.param(
        "stale", repeated(10, 7), [14, 15, 16], f"the fifth of 7 bars alike since {day(10)}", id="halt"
    ),
    pytest.param("stale", halted, [14, 15], "the fifth of 6 bars alike since ", id="untraded"),
    pytest.param("duplicates", rows(*range(60), 59), [60], "a second bar of this day", id="last twice"),
]


@pytest.mark.parametrize(("kind", "broken", "at_fault", "says"), KINDS)
def test_error_refuses_with_day_key_and_way_out(kind, broken, at_fault, says):
    table = broken()
    with pytest.raises(UserError) as refusal:
        all_kept(calendar=None, **{kind: "error"}).check("AAA", table)
    message = str(refusal.value)
    assert message.startswith(f"AAA: {table.index[at_fault[0]].date()}: ")
    assert says in message
    assert message.endswith(f"mend the source, or set data.health.{kind}=drop")
    assert ("more)" in message) == (len(at_fault) > 1 and kind != "stale")
    assert "\n" not in message


@pytest.mark.parametrize(("kind", "broken", "at_fault", "says"), KINDS)
def test_drop_leaves_out_those_bars_and_no_other(kind, broken, at_fault, says):
    table = broken()
    left, faults = all_kept(calendar=None, **{kind: "drop"}).check("AAA", table)
    pd.testing.assert_frame_equal(left, table.iloc[np.delete(np.arange(len(table)), at_fault)])
    dropped = [fault for fault in faults if fault.action == "dropped"]
    assert (dropped[0].kind, dropped[0].date) == (kind, str(table.index[at_fault[0]].date()))
    assert says in dropped[0].detail


@pytest.mark.parametrize(("kind", "broken", "at_fault", "says"), KINDS)
def test_keep_changes_nothing_and_records(kind, broken, at_fault, says):
    table = broken()
    left, faults = all_kept(calendar=None).check("AAA", table)
    assert left is table
    first = next(fault for fault in faults if fault.kind == kind)
    assert (first.date, first.action) == (str(table.index[at_fault[0]].date()), "kept")
    assert says in first.detail


def test_clean_bars_come_back_themselves():
    table = bars()
    left, faults = HealthCheck().for_market(Bars(calendar="XNYS")).check("AAA", table)
    assert left is table
    assert faults == []


@pytest.mark.parametrize("ticker", SampleSource().tickers())
@pytest.mark.parametrize("adjust", [True, False])
def test_the_embedded_bars_are_healthy(ticker, adjust):
    _, faults = HealthCheck(sessions="error").check(ticker, SampleSource(adjust=adjust).bars(ticker))
    splits = {"AAPL": ["2000-06-21", "2000-09-29", "2005-02-28"], "MSFT": ["2003-02-18"]}  # one fell by half
    assert [fault.date for fault in faults] == ([] if adjust else splits.get(ticker, []))


def test_unsorted_days():
    message = rf"^AAA: {day(20)}: comes after {day(21)}; mend the source, or set data.health.order=drop$"
    with pytest.raises(UserError, match=message):
        HealthCheck().check("AAA", swapped())
    left, faults = HealthCheck(order="drop").check("AAA", swapped())
    pd.testing.assert_frame_equal(left, bars())
    assert faults == [Fault("AAA", day(20), "order", f"comes after {day(21)}", "sorted")]


def test_sorting_leaves_the_bars_of_a_day_in_their_order():
    table = pd.concat([bars(), bars().iloc[[30]] * 1.5])
    left, _ = HealthCheck(duplicates="keep", order="drop").check("AAA", table)
    pd.testing.assert_frame_equal(left, table.iloc[[*range(31), 60, *range(31, 60)]])


def test_the_first_bar_of_a_day_is_the_one_that_stays():
    table = pd.concat([bars(), bars().iloc[[30]] * 1.5]).sort_index(kind="stable")
    left, _ = HealthCheck(duplicates="drop").check("AAA", table)
    pd.testing.assert_frame_equal(left, bars())


def test_missing_and_surplus_days():
    table = bars().drop(index=bars().index[[20, 21]])
    sunday = bars().index[0] + pd.Timedelta(days=(6 - bars().index[0].weekday()))
    table = pd.concat([table, bars().iloc[[0]].set_axis([sunday])]).sort_index()
    left, faults = HealthCheck().for_market(Bars(calendar="XNYS")).check("AAA", table)
    assert left is table
    assert [(fault.date, fault.detail) for fault in faults] == [
        (str(sunday.date()), "a bar, though XNYS was closed"),
        (day(20), "no bar, though XNYS was open"),
        (day(21), "no bar, though XNYS was open"),
    ]
    with pytest.raises(UserError, match=r"\(2 more\); mend the source, or set data.health.sessions=keep$"):
        HealthCheck(calendar="XNYS", sessions="error").check("AAA", table)
    assert HealthCheck(sessions="error").check("AAA", table)[1] == []  # of no market that was found
    assert HealthCheck(calendar=None, sessions="error").check("AAA", table)[1] == []


def test_days_beyond_the_calendars_reach_are_not_judged():
    old = bars().set_axis(pd.date_range("1980-01-01", periods=60, name="Date"))
    assert HealthCheck(calendar="XTKS", sessions="error").check("AAA", old)[1] == []


def test_all_errors_come_in_one_line():
    table = put(5, Close=-1.0)()
    table.iloc[7, :4] = [5, 4, 6, 5]
    table = pd.concat([table, table.iloc[[9]]])
    with pytest.raises(UserError) as refusal:
        HealthCheck().check("AAA", table)
    for part in (
        f"{day(9)}: a second bar",
        f"{day(5)}: Close=-1",
        f"{day(7)}: High=4 is below Low=6",
        "data.health.duplicates=drop, data.health.prices=drop, data.health.high_low=drop",
    ):
        assert part in str(refusal.value)


def test_a_bar_at_fault_spoils_no_neighbour():
    """The bar after a jump is held against the last good one, so one wrong bar is one fault."""
    left, faults = HealthCheck(jumps="drop").check("AAA", scaled(slice(10, 12), 100)())
    assert len(left) == 58
    assert [fault.date for fault in faults] == [day(10), day(11)]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(put(10, Volume=0), id="zero volume"),
        pytest.param(repeated(10, 4), id="four alike"),
        pytest.param(scaled(slice(10, 11), 19), id="below the jump factor"),
        pytest.param(
            lambda: bars().assign(High=lambda table: table[["Open", "Close"]].max(axis=1) * (1 - 1e-7)),
            id="float32",
        ),
    ],
)
def test_what_is_no_fault(broken):
    assert HealthCheck(stale="error", calendar=None).check("AAA", broken())[1] == []


def test_the_jump_factor_is_the_users():
    HealthCheck(jump_factor=2.5).check("AAA", scaled(slice(10, 12), 2)())
    with pytest.raises(UserError, match=r"data\.health\.jumps=drop"):
        HealthCheck(jump_factor=1.5).check("AAA", scaled(slice(10, 12), 2)())


@pytest.mark.parametrize("ratio", [2, 3, 7, 10, 15, 20, 40, 50])
@pytest.mark.parametrize("reverse", [False, True])
def test_an_unadjusted_split_is_reported_with_its_ratio_and_day(ratio, reverse, caplog):
    table = scaled(slice(30, 60), float(ratio) if reverse else 1 / ratio)()
    kind = f"1:{ratio} reverse split" if reverse else f"{ratio}:1 split"
    with pytest.raises(UserError) as refusal:
        HealthCheck(calendar=None, splits="error").check("AAA", table)
    assert str(refusal.value).startswith(f"AAA: {day(30)}: looks like a {kind}: Open=")
    assert "Adj Close" in str(refusal.value)
    assert "data.health.splits=keep" in str(refusal.value)
    assert "jumps" not in str(refusal.value)  # to leave out all that follows would be wrong
    for policy in (None, "keep") if ratio < 20 else ("keep",):
        caplog.clear()
        left, faults = HealthCheck(calendar=None, splits=policy).check("AAA", table)
        assert left is table
        assert [(fault.kind, fault.date, fault.action) for fault in faults] == [("splits", day(30), "kept")]
        assert (f"AAA: {day(30)}: looks like a {kind}" in caplog.text) == (policy is None)
    if ratio >= 20:  # as large as a jump, and refused like one
        with pytest.raises(UserError, match=f"looks like a {kind}"):
            HealthCheck(calendar=None).check("AAA", table)


def test_prices_whose_adj_close_says_otherwise_have_no_split():
    table = scaled(slice(30, 60), 0.5)()
    table.attrs["adjusted"] = False  # read without their Adj Close, as asked
    assert [fault.action for fault in HealthCheck(calendar=None).check("AAA", table)[1]] == ["kept"]
    table.attrs["adjusted"] = True
    assert HealthCheck(calendar=None).check("AAA", table)[1] == []


def test_a_lasting_change_of_level_is_not_to_be_dropped():
    with pytest.raises(UserError, match=r"and on each of the 29 bars after it.*data\.start") as refusal:
        HealthCheck(calendar=None).check("AAA", scaled(slice(30, 60), 1000)())
    assert "jumps=drop" not in str(refusal.value)


def test_a_price_of_few_digits_that_doubles_often_is_no_split():
    table = bars()
    table.iloc[:, :4] = np.where(np.arange(60) % 5 < 2, 0.02, 0.01)[:, None]
    assert HealthCheck(calendar=None, stale="error").check("AAA", table)[1] == []


def test_opens_that_are_the_close_before_are_reported(caplog):
    table = bars()
    table["Open"] = table["Close"].shift(1, fill_value=table["Close"].iloc[0])
    table["High"] = table[["High", "Open"]].max(axis=1)
    table["Low"] = table[["Low", "Open"]].min(axis=1)
    left, (fault,) = HealthCheck(calendar=None).check("AAA", table)
    assert left is table
    assert (fault.kind, fault.action) == ("copied_opens", "kept")
    assert "Open is the Close before on 100 % of all bars" in fault.detail
    assert fault.detail in caplog.text
    assert HealthCheck(calendar=None).check("BTC-USD", table)[1] == []  # never closes
    with pytest.raises(UserError, match=r"data\.health\.copied_opens=keep"):
        HealthCheck(calendar=None, copied_opens="error").check("AAA", table)


@pytest.mark.parametrize(("step", "word"), [(-1, "before"), (1, "after")])
def test_days_of_another_time_zone_are_reported(step, word):
    table = SyntheticSource(num_bars=300, calendar="XPAR").bars("AI.PA")
    HealthCheck().check("AI.PA", table)
    moved = table.set_axis((table.index + pd.Timedelta(days=step)).rename("Date"))
    with pytest.raises(UserError, match=rf"one day {word} a session of XPAR.*data\.health\.shifted=keep"):
        HealthCheck().check("AI.PA", moved)
    york = SyntheticSource(num_bars=300).bars(
        "AAA"
    )  # whose closed weekdays alone tell a name without an ending
    with pytest.raises(UserError, match=rf"one day {word} a session of XNYS"):
        HealthCheck().check("AAA", york.set_axis((york.index + pd.Timedelta(days=step)).rename("Date")))
    riyadh = SyntheticSource(num_bars=300, calendar="XSAU").bars("2222")
    assert "shifted" not in {fault.kind for fault in HealthCheck().check("2222", riyadh)[1]}


def test_high_and_low_that_changed_places_are_named():
    with pytest.raises(UserError, match=r"source\.columns=\{High: NAME, Low: NAME\}") as refusal:
        HealthCheck().check(
            "AAA", bars().rename(columns={"High": "Low", "Low": "High"})[list(bars().columns)]
        )
    assert "high_low=drop" not in str(refusal.value)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        pytest.param(
            lambda: pd.concat([bars(), bars() * 3, bars() * 7]),
            "begin anew 2 times, as where 3 tickers stand in one file .*Ticker",
            id="tickers one below the other",
        ),
        pytest.param(
            lambda: pd.concat([bars(), bars() * 1.01]).sort_index(kind="stable"),
            "2 different bars a day, as of intraday bars whose times are lost.*Time",
            id="bars of hours without the hour",
        ),
    ],
)
def test_days_that_come_twice_are_reported_with_their_cause(broken, says):
    with pytest.raises(UserError, match=says) as refusal:
        HealthCheck(calendar=None).check("AAA", broken())
    assert "duplicates=drop" not in str(refusal.value)
    with pytest.raises(UserError, match=r"data\.health\.duplicates=drop"):  # the same bars again may go
        HealthCheck(calendar=None).check("AAA", pd.concat([bars(), bars()]).sort_index(kind="stable"))


@pytest.mark.parametrize("value", [0, -1.5])
def test_an_adj_close_that_is_no_price_is_named(value):
    table = bars().assign(**{"Adj Close": lambda table: table["Close"] / 2})
    table.iloc[10, table.columns.get_loc("Adj Close")] = value
    adjusted = bar_table(table.reset_index(), adjust=True, origin="x")
    with pytest.raises(UserError, match=rf"{day(10)}: Adj Close={value} is no positive number"):
        HealthCheck(calendar=None).check("AAA", adjusted)
    assert len(HealthCheck(calendar=None, prices="drop").check("AAA", adjusted)[0]) == 59


def test_nothing_left_is_the_users_to_know():
    with pytest.raises(
        UserError, match=r"^AAA: data\.health drops each of its 60 bars \(prices: Close=nan .*55 more"
    ):
        HealthCheck(prices="drop").check("AAA", bars().assign(Close=np.nan))
    with pytest.raises(UserError, match=r"^AAA: holds no bars$"):
        HealthCheck().check("AAA", bars().iloc[:0])


def test_a_missing_price_hides_no_other_fault():
    _, faults = all_kept().check("AAA", put(10, Open=np.nan, High=5, Low=6)())
    assert [fault.kind for fault in faults] == ["prices", "high_low"]


def test_a_source_that_breaks_the_table_is_named():
    with pytest.raises(UserError, match=r"AAA: its source delivers \['Close'\]"):
        HealthCheck().check("AAA", bars()[["Close"]])


def test_a_bad_ticker_leaves_a_short_record():
    _, faults = HealthCheck(prices="drop").check("AAA", put(slice(0, 50), Close=np.nan)())
    assert len(faults) == 6
    assert faults[-1] == Fault("AAA", None, "prices", f"45 more, the last on {day(49)}", "dropped")


@pytest.mark.parametrize("wrong", [{"prices": "mend"}, {"sessions": "drop"}, {"calendar": "XNSY"}], ids=str)
def test_the_constructor_refuses(wrong):
    ((key, value),) = wrong.items()
    with pytest.raises(UserError, match=rf"^data\.health\.{key}={value}: "):
        HealthCheck(**wrong)


def test_the_yaml_says_what_the_constructor_does_by_default(pytestconfig):
    with (pytestconfig.rootpath / "conf/data/default.yaml").open() as file:
        node = yaml.safe_load(file)["health"]
    assert node.pop("_target_") == "forecast.data.HealthCheck"
    assert node == HealthCheck.__init__.__kwdefaults__


LAST = {"AAA": "2024-12-31", "BBB": "2024-12-01", "CCC": "2024-11-30", "DDD": "2020-01-03"}


def last_dates() -> dict[str, pd.Timestamp]:
    return {ticker: pd.Timestamp(date) for ticker, date in LAST.items()}


def test_tickers_that_end_early():
    with pytest.raises(UserError) as refusal:
        HealthCheck().check_ends(last_dates())
    assert str(refusal.value) == (
        "CCC: 2024-11-30: last bar 31 days before AAA's of 2024-12-31 (likewise DDD); mend the source "
        "where bars are missing, set an earlier data.end, or data.health.ends_early=keep, so that delisted tickers "
        "stay in the past they were part of"
    )
    leave_out, faults = HealthCheck(ends_early="drop").check_ends(last_dates())
    assert leave_out == {"CCC", "DDD"}
    assert [(fault.ticker, fault.date, fault.action) for fault in faults] == [
        ("CCC", "2024-11-30", "dropped"),
        ("DDD", "2020-01-03", "dropped"),
    ]
    assert HealthCheck().check_ends(last_dates(), panel=True) == HealthCheck(ends_early="keep").check_ends(
        last_dates()
    )
    leave_out, faults = HealthCheck(ends_early="keep").check_ends(last_dates())
    assert leave_out == set()
    assert {fault.action for fault in faults} == {"kept"}
    assert HealthCheck(ends_early_days=2000).check_ends(last_dates()) == (set(), [])


def test_a_ticker_alone_ends_when_it_ends():
    assert HealthCheck().check_ends({"AAA": pd.Timestamp("1999-01-04")}) == (set(), [])
    assert HealthCheck().check_ends({}) == (set(), [])


# A few levels, some of them a jump apart, and now and then a value that cannot be.
LEVEL = st.sampled_from([1.0, 1.0, 1.0, 10.0, 100.0, 0.01])
WRONG = st.sampled_from([500.0, 0.1, 0.0, -1.0, np.nan, np.inf])


@st.composite
def one_bar(draw: st.DrawFn) -> list[float]:
    level = draw(LEVEL)
    close = draw(st.sampled_from([10.0, 10.0, 10.5]))
    bar = [10 * level, 11 * level, 9 * level, close * level, draw(st.sampled_from([0.0, 100.0]))]
    if draw(st.integers(0, 4)) == 0:
        bar[draw(st.integers(0, 4))] = draw(WRONG)
    return bar


# Days ahead of the bar before; 0 is a second bar of the day.
STEP = st.sampled_from([1, 1, 1, 0, 3])
TABLE = st.lists(st.tuples(one_bar(), STEP), min_size=1, max_size=25)
# How often the last known bar comes again, often enough to be stale, and what follows.
FUTURE = st.tuples(st.integers(0, 5), TABLE)
CAUSAL_KINDS = ("prices", "high_low", "duplicates", "jumps", "stale")
CAUSAL_POLICIES = st.fixed_dictionaries(
    {kind: st.sampled_from(["drop", "drop", "keep"]) for kind in CAUSAL_KINDS}
)


def table(rows) -> pd.DataFrame:
    dates = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.cumsum([step for _, step in rows]), unit="D")
    return pd.DataFrame(
        [bar for bar, _ in rows], index=dates.as_unit("ns").rename("Date"), columns=list(COLUMNS)
    )


def continued(past, future) -> pd.DataFrame:
    again, rest = future
    return table([*past, *[(past[-1][0], 1)] * again, *[(bar, max(step, 1)) for bar, step in rest]])


def kept(check: HealthCheck, bars: pd.DataFrame, first: int) -> pd.DataFrame:
    """Of the first bars, those that stay."""
    try:
        left, _ = check.check("AAA", bars)
    except UserError:  # none is left
        left = bars.iloc[:0]
    return left[left.index <= bars.index[first - 1]]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(past=TABLE, future=FUTURE, policies=CAUSAL_POLICIES)
def test_the_future_is_not_looked_at(past, future, policies):
    check = HealthCheck(calendar=None, **policies)
    alone = kept(check, table(past), len(past))
    pd.testing.assert_frame_equal(kept(check, continued(past, future), len(past)), alone)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(rows=TABLE)
def test_what_drop_leaves_is_clean(rows):
    drop = HealthCheck(calendar=None, **(dict.fromkeys([*CAUSAL_KINDS, "order"], "drop") | {"stale": "keep"}))
    try:
        left, _ = drop.check("AAA", table(rows))
    except UserError:  # none is left
        return
    again, faults = drop.check("AAA", left)
    assert again is left
    assert {fault.kind for fault in faults} <= {"stale"}
