"""A calendar is cut in order, and windows are the contiguous rows they claim to be, inside their split and series."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from forecast.data.layout import Layout
from forecast.data.panel import Series, build_panel
from forecast.data.split import split_by_ratio
from forecast.data.windows import WindowIndex
from forecast.errors import UserError

LAYOUT = Layout(names=["A", "B"], relations=["free", "free"], closes=[0, 0], target=0, bar_values=0)


def times(numbers):
    """Days since 1970-01-01 as a panel's times."""
    return np.asarray(numbers).astype("datetime64[D]").astype("datetime64[ns]")


def one_series(count, *, columns=1, first=0):
    days = np.arange(first, first + count)
    values = np.arange(count, dtype=np.float32)[:, None].repeat(columns, axis=1)
    return build_panel([Series(name="T", times=times(days), values=values)], num_columns=columns)


@st.composite
def panels(draw):
    """Series on their own subsets of a calendar, some rows NaN; a value names its series and day."""
    series = []
    for number in range(draw(st.integers(1, 4))):
        days = np.flatnonzero(draw(st.lists(st.booleans(), min_size=40, max_size=60)))
        values = np.stack([np.full(len(days), number), days], axis=1).astype(np.float32)
        gaps = draw(st.lists(st.integers(0, 59), max_size=3))
        values[np.isin(days, gaps), 0] = np.nan
        series.append(Series(name=f"T{number}", times=times(days), values=values))
    return series


def brute_force(series, *, lookback, horizon, lead, first, last):
    """Every window by definition: runs without a gap, all that follows inside the split."""
    found = []
    for number, item in enumerate(series):
        good = np.isfinite(item.values).all(axis=1)
        length = lookback + lead + horizon
        for start in range(len(item.times) - length + 1):
            rows = slice(start, start + length)
            ahead = item.times[start + lookback : start + length]
            if good[rows].all() and ahead[0] >= first and ahead[-1] <= last:
                found.append((number, item.values[rows], item.times[rows]))
    return found


@given(
    series=panels(),
    lookback=st.integers(1, 8),
    horizon=st.integers(1, 3),
    lead=st.integers(0, 2),
    first=st.integers(0, 40),
    length=st.integers(0, 60),
)
def test_windows_are_exactly_those_of_the_definition(series, lookback, horizon, lead, first, length):
    panel = build_panel(iter(series), num_columns=2)
    if not len(panel.calendar):
        return
    first = min(first, len(panel.calendar) - 1)
    last = min(first + length, len(panel.calendar) - 1)
    plan = {"lookback": lookback, "horizon": horizon, "lead": lead}
    windows = WindowIndex(panel=panel, layout=LAYOUT, first=first, last=last, **plan)
    expected = brute_force(series, first=panel.time_of(first), last=panel.time_of(last), **plan)
    assert len(windows) == len(expected)
    if not expected:
        return
    batch = windows.take(np.arange(len(windows)))
    np.testing.assert_array_equal(batch.series, [number for number, _, _ in expected])
    rows = np.stack([rows for _, rows, _ in expected])
    dates = np.stack([dates for _, _, dates in expected])
    np.testing.assert_array_equal(batch.windows, rows[:, :lookback])
    np.testing.assert_array_equal(batch.future, rows[:, lookback + lead :])
    np.testing.assert_array_equal(panel.values[batch.rows], rows[:, lookback - 1])
    np.testing.assert_array_equal(panel.time_of(batch.origin), dates[:, lookback - 1])
    np.testing.assert_array_equal(panel.time_of(batch.ahead), dates[:, lookback + lead :])
    np.testing.assert_array_equal(batch.history, rows[:, :lookback, 0])
    np.testing.assert_array_equal(batch.outcome, rows[:, lookback + lead :, 0])


@given(series=panels())
def test_a_panel_holds_every_good_row_at_its_own_time(series):
    panel = build_panel(iter(series), num_columns=2)
    good = [np.isfinite(item.values).all(axis=1) for item in series]
    kept = [item.times[rows] for item, rows in zip(series, good, strict=True)]
    np.testing.assert_array_equal(panel.calendar, np.unique(np.concatenate(kept)))
    np.testing.assert_array_equal(panel.time_of(panel.times), np.concatenate(kept))
    np.testing.assert_array_equal(panel.first_rows, np.cumsum([0, *map(len, kept)]))
    assert panel.times.dtype == np.int32
    if len(panel.calendar) > 3:
        for (first, stop), own in zip(panel.rows_between(1, 3), kept, strict=True):
            inside = (own >= panel.time_of(1)) & (own <= panel.time_of(3))
            np.testing.assert_array_equal(panel.time_of(panel.times[first:stop]), own[inside])


def test_windows_are_views_and_cost_no_memory():
    panel = one_series(100_000, columns=4)
    windows = WindowIndex(panel=panel, layout=LAYOUT, lookback=60, horizon=1, first=0, last=99_999)
    assert np.shares_memory(windows._view, panel.values)
    assert len(windows) == 100_000 - 60


def test_spread_covers_the_whole_split():
    windows = WindowIndex(panel=one_series(1000), layout=LAYOUT, lookback=10, horizon=1, first=0, last=999)
    numbers = windows.spread(100)
    assert len(numbers) <= 100
    assert numbers[0] == 0
    assert numbers[-1] >= len(windows) - 11
    np.testing.assert_array_equal(windows.spread(10_000), np.arange(len(windows)))


def test_panel_growth_keeps_rows_in_order():
    rng = np.random.default_rng(0)
    series = [
        Series(name=f"T{i}", times=times(np.arange(900)), values=rng.normal(size=(900, 4)).astype("f4"))
        for i in range(50)
    ]
    panel = build_panel(iter(series), num_columns=4)
    np.testing.assert_array_equal(panel.values, np.concatenate([item.values for item in series]))
    assert panel.names == [item.name for item in series]
    np.testing.assert_array_equal(panel.calendar, times(np.arange(900)))


def test_days_before_1970_are_days_like_any_other():
    panel = one_series(5000, first=-4000)
    np.testing.assert_array_equal(panel.calendar, times(np.arange(-4000, 1000)))
    windows = WindowIndex(panel=panel, layout=LAYOUT, lookback=5, horizon=1, first=1000, last=2000)
    assert len(windows) == 1001


@given(
    count=st.integers(30, 3000),
    train=st.floats(0.2, 0.7),
    val=st.floats(0.1, 0.25),
    embargo=st.integers(0, 2),
)
def test_ranges_are_ordered_disjoint_and_embargoed(count, train, val, embargo):
    ranges = split_by_ratio(count, train_ratio=train, val_ratio=val, embargo=embargo)
    first = {name: one for name, (one, _) in ranges.items()}
    last = {name: one for name, (_, one) in ranges.items()}
    assert first["train"] == 0
    assert last["test"] == count - 1
    assert first["val"] - last["train"] == embargo + 1
    assert first["test"] - last["val"] == embargo + 1


def test_ratios_are_exact_in_spite_of_floats():
    ranges = split_by_ratio(100, train_ratio=0.7, val_ratio=0.15, embargo=1)
    assert ranges == {"train": (0, 68), "val": (70, 83), "test": (85, 99)}


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_too_few_days_are_refused(count):
    with pytest.raises(UserError, match="days leave no"):
        split_by_ratio(count, train_ratio=0.7, val_ratio=0.15, embargo=2)
