"""Adaptive conformal intervals: against a plain loop, without the future, in any pieces, after a storm."""

import math

import numpy as np
import pytest
from tables import changed, residual_rows, share_inside, spoilt

from forecast.evaluate.intervals import Adaptive, SplitConformal
from forecast.evaluate.intervals.conformal import plan_of

LEVELS = [0.9, 0.5]


def fitted(intervals, rows, *, names=None):
    rows = rows if names is None else changed(rows, names=names)
    return intervals.fit(rows, plan_of(rows, intervals))


def bounds(fit, rows):
    """(levels, 2, rows)."""
    return fit.plan.bounds(fit.half_widths(rows), rows, slice(fit.plan.reported))


def noise(shape, seed):
    return 0.02 * np.random.default_rng(seed).standard_t(4, size=shape)


def by_hand(past, rows, *, level, gamma, window):
    """Widths of one stream as Gibbs and Candes write them, a day at a time, outcomes known when their day comes."""
    scores = np.abs(rows.actual / rows.naive - 1).astype(np.float32)
    held = [float(score) for score in np.abs(past).astype(np.float32)]
    alpha, waiting, widths = 1 - level, [], []
    for day, origin, score in zip(rows.time, rows.origin, scores, strict=True):
        while waiting and waiting[0][0] <= origin:
            _, known, missed = waiting.pop(0)
            alpha = min(max(alpha + gamma * (1 - level - missed), 0.0), 1.0)
            held.append(known)
        recent = sorted(held[-window:])
        rank = math.ceil((len(recent) + 1) * (1 - alpha) - 1e-9)
        width = recent[min(max(rank, 1), len(recent)) - 1]
        widths.append(width)
        waiting.append((day, float(score), score > width))
    return np.array(widths)


@pytest.mark.parametrize("gaps", [(), (5, 40, 41)], ids=["no gaps", "gaps"])
@pytest.mark.parametrize("gamma", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("past", [30, 80])
def test_it_is_what_the_paper_says(gaps, gamma, past):
    tickers, steps = 3, 4
    residuals = noise((tickers, past + 70, steps), 1)
    earlier = residual_rows(residuals[:, :past])
    later = residual_rows(residuals[:, past:], first=500, gaps=gaps)
    adaptive = fitted(Adaptive(levels=LEVELS, gamma=gamma, window=50, min_residuals=30), earlier)
    widths = adaptive.half_widths(later)
    for ticker in range(tickers):
        for step in range(1, steps + 1):
            one = (later.series == ticker) & (later.step == step)
            before = earlier.actual[(earlier.series == ticker) & (earlier.step == step)] / 100 - 1
            for number, level in enumerate(LEVELS):
                expected = by_hand(before, later.take(one), level=level, gamma=gamma, window=50)
                np.testing.assert_array_equal(widths[number, one], expected)


@pytest.mark.parametrize("past", [1, 12, 30])
def test_blocks_of_series_give_the_same_bounds(past):
    residuals = noise((4, 30 + 25, 3), past)
    earlier, later = residual_rows(residuals[:, :past]), residual_rows(residuals[:, 30:], first=90, gaps=(7,))
    plan = {"levels": LEVELS, "gamma": 0.1, "window": 20, "min_residuals": 10}
    whole, blocks = fitted(Adaptive(**plan), earlier), fitted(Adaptive(**plan), earlier)
    parts = [later.take(later.series < 1), later.take(later.series >= 1)]
    found = np.concatenate([bounds(blocks, part) for part in parts], axis=2)
    np.testing.assert_array_equal(found, bounds(whole, later))
    assert blocks.state().to_json() == whole.state().to_json()


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("kind", [Adaptive, SplitConformal])
def test_no_bound_knows_a_later_day(kind, steps):
    residuals = noise((3, 120, steps), 2)
    earlier, later = residual_rows(residuals[:, :60]), residual_rows(residuals[:, 60:], first=100)
    day = 130
    found = bounds(fitted(kind(levels=LEVELS), earlier), later)
    other = bounds(fitted(kind(levels=LEVELS), earlier), spoilt(later, after=day))
    known = later.origin <= day
    np.testing.assert_array_equal(found[..., known], other[..., known])
    if kind is Adaptive:
        assert (found[..., ~known] != other[..., ~known]).any()


def test_an_outcome_counts_from_the_first_origin_on_which_it_is_known():
    residuals = np.zeros((1, 10, 2))
    residuals[0, 2] = 5.0  # forecasts made on day 2, of days 3 and 4, are far off
    later = residual_rows(residuals, first=100)
    # The width is the largest of the latest three.
    adaptive = fitted(
        Adaptive(levels=[0.75], gamma=0.0, window=3, min_residuals=1), residual_rows(np.zeros((1, 3, 2)))
    )
    widths = adaptive.half_widths(later)[0].reshape(10, 2)
    assert np.flatnonzero(widths[:, 0]).tolist() == [3, 4, 5]
    assert np.flatnonzero(widths[:, 1]).tolist() == [4, 5, 6]


@pytest.mark.parametrize("seed", range(3))
def test_exchangeable_residuals_are_covered_as_promised(seed):
    tickers, days = 40, 400
    residuals = noise((tickers, 300 + days, 2), seed)
    adaptive = fitted(Adaptive(levels=LEVELS), residual_rows(residuals[:, :300]))
    later = residual_rows(residuals[:, 300:], first=400)
    share = share_inside(later, bounds(adaptive, later))
    for level, held in zip(LEVELS, share, strict=True):
        error = math.sqrt(level * (1 - level) / tickers / 2 * (1 / days + 1 / 252))
        assert -4 * error < held - level < 1 / 251 + 4 * error


def test_it_recovers_from_a_storm_and_split_conformal_does_not():
    residuals = noise((20, 900, 1), 3)
    residuals[:, 300:] *= 3
    earlier, later = residual_rows(residuals[:, :300]), residual_rows(residuals[:, 300:], first=400)
    late = later.take(later.origin >= 700)
    for kind, least, most in ((Adaptive, 0.885, 0.915), (SplitConformal, 0.3, 0.65)):
        found = bounds(fitted(kind(levels=[0.9]), earlier), later)
        assert least < share_inside(late, found[..., later.origin >= 700])[0] < most


def test_a_storm_never_makes_a_bound_infinite_and_is_forgotten_after_it():
    residuals = noise((5, 1000, 1), 4)
    residuals[:, 300:350] *= 40
    earlier, later = residual_rows(residuals[:, :300]), residual_rows(residuals[:, 300:], first=400)
    adaptive = fitted(Adaptive(levels=LEVELS, gamma=0.2), earlier)
    found = bounds(adaptive, later)
    assert np.isfinite(found).all()
    calm = later.origin >= 750
    width = (found[0, 1] - found[0, 0])[calm].mean()
    before = 2 * 100 * np.quantile(np.abs(residuals[:, :300]), 0.9)
    assert width < 1.5 * before


def test_a_short_past_is_filled_up_from_all_tickers_and_that_is_said():
    wild = noise((3, 300, 1), 5)
    rows = residual_rows(wild)
    rows = rows.take((rows.series != 2) | (rows.time > 290))  # the third has 10
    adaptive = fitted(Adaptive(levels=[0.9]), rows, names=["A", "B", "C"])
    assert adaptive.notes == [
        "1 of 3 tickers have fewer than 250 validation residuals a step (C): their intervals start from the residuals "
        "of all tickers"
    ]
    first = adaptive.half_widths(residual_rows(wild[:, :1], first=400))
    pooled = np.quantile(np.abs(rows.actual / 100 - 1), 0.9)
    assert first[0, 2] == pytest.approx(pooled, rel=0.15)
    alone = fitted(Adaptive(levels=[0.9]), residual_rows(wild[2:, 290:]))
    # The largest of its ten, which would be the second of twenty were each there twice.
    largest = np.abs(rows.actual[rows.series == 2] / 100 - 1).max()
    assert alone.half_widths(residual_rows(wild[2:, :1], first=400))[0, 0] == pytest.approx(largest)


def test_the_state_is_what_the_next_day_would_get():
    residuals = noise((3, 500, 3), 6)
    earlier, later = residual_rows(residuals[:, :300]), residual_rows(residuals[:, 300:], first=400)
    adaptive = fitted(Adaptive(levels=LEVELS, gamma=0.1), earlier)
    bounds(adaptive, later)
    state = adaptive.state()
    after = residual_rows(residuals[:, :1], first=10_000)
    expected = adaptive.half_widths(after).reshape(2, 3, 3)  # (levels, tickers, steps)
    for number, name in enumerate(("T0", "T1", "T2")):
        np.testing.assert_array_equal(state.own[name], expected[:, number])
    assert (state.pooled > 0).all()


def test_constant_prices_have_intervals_of_no_width():
    flat = residual_rows(np.zeros((2, 300, 2)))
    adaptive = fitted(Adaptive(levels=LEVELS), flat)
    later = residual_rows(np.zeros((2, 50, 2)), first=400)
    np.testing.assert_array_equal(bounds(adaptive, later), np.full((2, 2, 200), 100.0))


@pytest.mark.parametrize("kind", [Adaptive, SplitConformal])
def test_a_last_close_of_0_has_no_bounds_and_spoils_no_other(kind):
    residuals = noise((2, 400, 1), 8)
    earlier, later = residual_rows(residuals[:, :300]), residual_rows(residuals[:, 300:], first=400)
    plain = bounds(fitted(kind(levels=LEVELS), earlier), later)
    for rows in (earlier, later):
        rows.naive[5] = 0.0
    holed = bounds(fitted(kind(levels=LEVELS), earlier), later)
    assert np.isnan(holed[..., 5]).all()
    assert np.isfinite(np.delete(holed, 5, axis=2)).all()
    np.testing.assert_array_equal(holed[..., later.series == 1], plain[..., later.series == 1])
