"""Whatever comes after a bar changes neither whether the bar is kept nor what it says."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.data.bars import COLUMNS
from forecast.data.health import HealthCheck
from forecast.errors import UserError

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
KINDS = ("prices", "high_low", "duplicates", "jumps", "stale")
POLICIES = st.fixed_dictionaries({kind: st.sampled_from(["drop", "drop", "keep"]) for kind in KINDS})


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
@given(past=TABLE, future=FUTURE, policies=POLICIES)
def test_the_future_is_not_looked_at(past, future, policies):
    check = HealthCheck(calendar=None, **policies)
    alone = kept(check, table(past), len(past))
    pd.testing.assert_frame_equal(kept(check, continued(past, future), len(past)), alone)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(rows=TABLE)
def test_what_drop_leaves_is_clean(rows):
    kinds = dict.fromkeys([*KINDS, "order"], "drop") | {"stale": "keep"}
    drop = HealthCheck(calendar=None, **kinds)
    try:
        left, _ = drop.check("AAA", table(rows))
    except UserError:  # none is left
        return
    again, faults = drop.check("AAA", left)
    assert again is left
    assert {fault.kind for fault in faults} <= {"stale"}
