"""Windows are the contiguous rows they claim to be, and never leave their split or their series."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forecast.data.panel import Series, build_panel
from forecast.data.windows import Windows


@st.composite
def panels(draw):
    """Series on their own subsets of a calendar, some rows NaN; a value names its series and day."""
    series = []
    for number in range(draw(st.integers(1, 4))):
        days = np.flatnonzero(draw(st.lists(st.booleans(), min_size=40, max_size=60))).astype(np.int32)
        values = np.stack([np.full(len(days), number), days], axis=1).astype(np.float32)
        gaps = draw(st.lists(st.integers(0, 59), max_size=3))
        values[np.isin(days, gaps), 0] = np.nan
        series.append(Series(name=f"T{number}", days=days, values=values))
    return series


def brute_force(series, *, lookback, horizon, first_day, last_day):
    """Every window by definition: runs without a gap, targets inside the split."""
    found = []
    for number, item in enumerate(series):
        good = np.isfinite(item.values).all(axis=1)
        for start in range(len(item.days) - lookback - horizon + 1):
            rows = slice(start, start + lookback + horizon)
            ahead = item.days[start + lookback : start + lookback + horizon]
            if good[rows].all() and ahead[0] >= first_day and ahead[-1] <= last_day:
                found.append((number, item.values[rows]))
    return found


@given(
    series=panels(),
    lookback=st.integers(1, 8),
    horizon=st.integers(1, 3),
    first_day=st.integers(0, 40),
    length=st.integers(0, 60),
)
def test_windows_are_exactly_those_of_the_definition(series, lookback, horizon, first_day, length):
    panel = build_panel(iter(series), num_columns=2)
    last_day = first_day + length
    plan = {"lookback": lookback, "horizon": horizon, "first_day": first_day, "last_day": last_day}
    windows = Windows(panel=panel, **plan)
    expected = brute_force(series, **plan)
    assert len(windows) == len(expected)
    if not expected:
        return
    batch = windows.take(np.arange(len(windows)))
    np.testing.assert_array_equal(batch.series, [number for number, _ in expected])
    rows = np.stack([rows for _, rows in expected])
    np.testing.assert_array_equal(batch.windows, rows[:, :lookback])
    np.testing.assert_array_equal(batch.future, rows[:, lookback:])
    np.testing.assert_array_equal(panel.values[batch.rows], rows[:, lookback - 1])


def test_windows_are_views_and_cost_no_memory():
    values = np.zeros((100_000, 4), np.float32)
    days = np.arange(100_000, dtype=np.int32)
    panel = build_panel([Series(name="T", days=days, values=values)], num_columns=4)
    windows = Windows(panel=panel, lookback=60, horizon=1, first_day=0, last_day=100_000)
    assert np.shares_memory(windows._view, panel.values)
    assert len(windows) == 100_000 - 60


def test_spread_covers_the_whole_split():
    panel = build_panel(
        [Series(name="T", days=np.arange(1000, dtype=np.int32), values=np.zeros((1000, 1), np.float32))],
        num_columns=1,
    )
    windows = Windows(panel=panel, lookback=10, horizon=1, first_day=0, last_day=999)
    numbers = windows.spread(100)
    assert len(numbers) <= 100
    assert numbers[0] == 0
    assert numbers[-1] >= len(windows) - 11
    np.testing.assert_array_equal(windows.spread(10_000), np.arange(len(windows)))


def test_panel_growth_keeps_rows_in_order():
    rng = np.random.default_rng(0)
    series = [
        Series(
            name=f"T{i}", days=np.arange(900, dtype=np.int32), values=rng.normal(size=(900, 4)).astype("f4")
        )
        for i in range(50)
    ]
    panel = build_panel(iter(series), num_columns=4)
    np.testing.assert_array_equal(panel.values, np.concatenate([item.values for item in series]))
    assert panel.names == [item.name for item in series]
    np.testing.assert_array_equal(panel.calendar, np.arange(900))


def test_days_before_1970_are_days_like_any_other():
    days = np.arange(-4000, 1000, dtype=np.int32)
    values = np.arange(5000, dtype=np.float32)[:, None]
    panel = build_panel([Series(name="OLD", days=days, values=values)], num_columns=1)
    np.testing.assert_array_equal(panel.calendar, days)
    windows = Windows(panel=panel, lookback=5, horizon=1, first_day=-3000, last_day=-2000)
    assert len(windows) == 1001
