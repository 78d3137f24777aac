"""Split conformal intervals: the coverage they promise, whose residuals they stand on, what they tell."""

import math

import numpy as np
import pytest
from streams import begun, rows_of, share_inside, some

from forecast.evaluate.intervals import SplitConformal

LEVELS = [0.9, 0.5]


def noise(shape, seed):
    return 0.02 * np.random.default_rng(seed).standard_t(4, size=shape)


def test_the_width_is_the_residual_of_the_finite_sample_rank():
    residuals = noise((2, 300, 2), 0)
    rows = rows_of(residuals)
    bounds = begun(SplitConformal(levels=LEVELS), rows).bounds(rows_of(residuals[:, :1]))
    for number, level in enumerate(LEVELS):
        for ticker in range(2):
            for step in range(2):
                width = 100 * np.sort(np.abs(residuals[ticker, :, step]))[math.ceil(301 * level) - 1]
                at = 2 * ticker + step
                assert bounds[number, :, at] == pytest.approx([100 - width, 100 + width], rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("steps", [1, 3])
def test_exchangeable_residuals_are_covered_as_promised(seed, steps):
    tickers, days = 40, 300
    residuals = noise((tickers, 2 * days, steps), seed)
    split = begun(SplitConformal(levels=LEVELS), rows_of(residuals[:, :days]))
    later = rows_of(residuals[:, days:], first_day=days + steps)
    share = share_inside(later, split.bounds(later))
    for level, held in zip(LEVELS, share, strict=True):
        # Chance in the test rows, and in the residuals that the width was read from.
        error = math.sqrt(level * (1 - level) / tickers / steps * (1 / days + 1 / (days + 2)))
        assert -4 * error < held - level < 1 / (days + 1) + 4 * error


def test_few_residuals_cover_no_less():
    # The tenth of ten residuals holds 10/11; the ninth, without the finite-sample rank, would hold 9/11.
    residuals = noise((4000, 15, 1), 7)
    split = begun(SplitConformal(levels=[0.9], min_residuals=10), rows_of(residuals[:, :10]))
    later = rows_of(residuals[:, 10:], first_day=20)
    assert 0.90 < share_inside(later, split.bounds(later))[0] < 0.918


def test_price_levels_do_not_matter():
    residuals = noise((3, 300, 1), 1)
    dear = begun(SplitConformal(levels=LEVELS, min_residuals=301), rows_of(residuals, close=[1.0, 50.0, 4e4]))
    plain = begun(SplitConformal(levels=LEVELS, min_residuals=301), rows_of(residuals))
    later = rows_of(residuals[:, :1])
    np.testing.assert_allclose(dear.widths(later), plain.widths(later), rtol=1e-9)


def test_a_ticker_with_few_residuals_takes_those_of_all_and_that_is_said():
    wild = noise((3, 300, 1), 2)
    wild[2] *= 10
    rows = rows_of(wild)
    rows = some(rows, (rows.series != 2) | (rows.days > 100))  # the third has 200
    split = begun(SplitConformal(levels=LEVELS), rows, names=["A", "B", "C"])
    widths = split.widths(rows_of(wild[:, :1]))
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
    split = begun(SplitConformal(levels=[0.9]), rows_of(noise((1, 100, 2), 3)))
    assert split.notes == [
        "calibrated on 100 validation residuals a step, fewer than 250: the coverage of a 90 % interval may be off by "
        "3.0 points (one standard error)"
    ]


def test_too_few_for_the_level_take_the_largest_and_say_so():
    residuals = noise((1, 5, 1), 4)
    split = begun(SplitConformal(levels=[0.9]), rows_of(residuals))
    assert split.widths(rows_of(residuals[:, :1]))[0, 0] == pytest.approx(np.abs(residuals).max())
    assert split.notes[-1] == "too few residuals for 90 %: the largest of them stands for it"


def test_enough_residuals_leave_nothing_to_say():
    assert begun(SplitConformal(levels=LEVELS), rows_of(noise((2, 250, 1), 5))).notes == []


def test_pieces_calibrate_as_the_whole_does():
    residuals = noise((4, 260, 2), 6)
    rows = rows_of(residuals)
    whole = begun(SplitConformal(levels=LEVELS), rows)
    pieces = SplitConformal(levels=LEVELS)
    pieces.begin(names=["T0", "T1", "T2", "T3"], horizon=2)
    for first in range(0, len(rows), 37):
        pieces.calibrate(some(rows, slice(first, first + 37)))
    np.testing.assert_array_equal(pieces.widths(rows), whole.widths(rows))


def test_begin_forgets():
    intervals = begun(SplitConformal(levels=LEVELS), rows_of(10 * noise((1, 300, 1), 8)))
    calm = rows_of(noise((1, 300, 1), 9))
    intervals.bounds(calm)
    fresh = begun(SplitConformal(levels=LEVELS), calm)
    np.testing.assert_array_equal(begun(intervals, calm).widths(calm), fresh.widths(calm))
