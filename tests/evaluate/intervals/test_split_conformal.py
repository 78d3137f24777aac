"""Split conformal intervals: the coverage they promise, whose residuals they stand on, what they tell."""

import math

import numpy as np
import pytest
from tables import changed, residual_rows, share_inside

from forecast.evaluate.intervals import SplitConformal
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


def test_the_width_is_the_residual_of_the_finite_sample_rank():
    residuals = noise((2, 300, 2), 0)
    rows = residual_rows(residuals)
    found = bounds(fitted(SplitConformal(levels=LEVELS), rows), residual_rows(residuals[:, :1]))
    for number, level in enumerate(LEVELS):
        for ticker in range(2):
            for step in range(2):
                width = 100 * np.sort(np.abs(residuals[ticker, :, step]))[math.ceil(301 * level) - 1]
                at = 2 * ticker + step
                assert found[number, :, at] == pytest.approx([100 - width, 100 + width], rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("steps", [1, 3])
def test_exchangeable_residuals_are_covered_as_promised(seed, steps):
    tickers, days = 40, 300
    residuals = noise((tickers, 2 * days, steps), seed)
    split = fitted(SplitConformal(levels=LEVELS), residual_rows(residuals[:, :days]))
    later = residual_rows(residuals[:, days:], first=days + steps)
    share = share_inside(later, bounds(split, later))
    for level, held in zip(LEVELS, share, strict=True):
        # Chance in the test rows, and in the residuals that the width was read from.
        error = math.sqrt(level * (1 - level) / tickers / steps * (1 / days + 1 / (days + 2)))
        assert -4 * error < held - level < 1 / (days + 1) + 4 * error


def test_few_residuals_cover_no_less():
    # The tenth of ten residuals holds 10/11; the ninth, without the finite-sample rank, would hold 9/11.
    residuals = noise((4000, 15, 1), 7)
    split = fitted(SplitConformal(levels=[0.9], min_residuals=10), residual_rows(residuals[:, :10]))
    later = residual_rows(residuals[:, 10:], first=20)
    assert 0.90 < share_inside(later, bounds(split, later))[0] < 0.918


def test_price_levels_do_not_matter():
    residuals = noise((3, 300, 1), 1)
    dear = fitted(
        SplitConformal(levels=LEVELS, min_residuals=301), residual_rows(residuals, close=[1.0, 50.0, 4e4])
    )
    plain = fitted(SplitConformal(levels=LEVELS, min_residuals=301), residual_rows(residuals))
    later = residual_rows(residuals[:, :1])
    np.testing.assert_allclose(dear.half_widths(later), plain.half_widths(later), rtol=1e-9)


def test_a_ticker_with_few_residuals_takes_those_of_all_and_that_is_said():
    wild = noise((3, 300, 1), 2)
    wild[2] *= 10
    rows = residual_rows(wild)
    rows = rows.take((rows.series != 2) | (rows.time > 100))  # the third has 200
    split = fitted(SplitConformal(levels=LEVELS), rows, names=["A", "B", "C"])
    widths = split.half_widths(residual_rows(wild[:, :1]))
    pooled = np.sort(np.abs(rows.actual / 100 - 1))[math.ceil(801 * 0.9) - 1]
    assert widths[0, 2] == pytest.approx(pooled, rel=1e-9)
    assert widths[0, 0] < pooled
    assert split.notes == [
        "1 of 3 tickers have fewer than 250 validation residuals a step (C): the residuals of all tickers stand "
        "for theirs"
    ]
    state = split.state()
    assert set(state.own) == {"A", "B"}
    np.testing.assert_array_equal(state.pooled[:, 0], widths[:, 2])


def test_fewer_than_250_in_all_is_said():
    split = fitted(SplitConformal(levels=[0.9]), residual_rows(noise((1, 100, 2), 3)))
    assert split.notes == [
        "calibrated on 100 validation residuals a step, fewer than 250: the coverage of a 90 % interval may be off by "
        "3.0 points (one standard error)"
    ]


def test_too_few_for_the_level_take_the_largest_and_say_so():
    residuals = noise((1, 5, 1), 4)
    split = fitted(SplitConformal(levels=[0.9]), residual_rows(residuals))
    assert split.half_widths(residual_rows(residuals[:, :1]))[0, 0] == pytest.approx(np.abs(residuals).max())
    assert split.notes[-1] == "too few residuals for 90 %: the largest of them stands for it"


def test_enough_residuals_leave_nothing_to_say():
    assert fitted(SplitConformal(levels=LEVELS), residual_rows(noise((2, 250, 1), 5))).notes == []


def test_blocks_of_streams_give_the_same(monkeypatch):
    rows = residual_rows(noise((4, 260, 2), 6))
    whole = fitted(SplitConformal(levels=LEVELS), rows).half_widths(rows)
    monkeypatch.setattr("forecast.evaluate.intervals.conformal.BLOCK_ROWS", 300)
    np.testing.assert_array_equal(fitted(SplitConformal(levels=LEVELS), rows).half_widths(rows), whole)
