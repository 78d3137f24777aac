"""Coverage, width and Winkler score: against plain arithmetic, by ticker, step and level."""

import json

import numpy as np
import pytest
from streams import rows_of, some

from forecast.evaluate.intervals import IntervalTally

LEVELS = (0.9, 0.5)


def tally(**keys):
    return IntervalTally(**({"names": ["A", "B"], "horizon": 2, "levels": LEVELS} | keys))


def around(rows, *widths):
    """Bounds a share of the last Close to both sides."""
    return np.stack([[rows.forecast - width * 100, rows.forecast + width * 100] for width in widths])


def winkler(actual, lower, upper, level):
    """Winkler (1972), as Gneiting and Raftery (2007) write it."""
    penalty = 2 / (1 - level)
    return (
        (upper - lower)
        + penalty * (lower - actual) * (actual < lower)
        + penalty * (actual - upper) * (actual > upper)
    )


@pytest.fixture
def rows():
    return rows_of(0.02 * np.random.default_rng(0).standard_normal((2, 50, 2)))


def test_three_outcomes_by_hand():
    rows = rows_of(np.array([[[0.0], [0.03], [-0.02]]]))
    counted = tally(names=["A"], horizon=1, levels=(0.9,))
    counted.add(rows, around(rows, 0.01), around(rows, 0.05))
    # Inside; 2 above; 1 below: (2 + 2 + 20 * 2 + 2 + 20 * 1) / 3.
    assert counted.metrics("test") == pytest.approx(
        {
            "test_coverage": 1 / 3,
            "test_width": 2.0,
            "test_winkler": 66 / 3,
            "test_naive_coverage": 1.0,
            "test_naive_width": 10.0,
            "test_naive_winkler": 10.0,
            "test_ticker_coverage": 1 / 3,
        }
    )


def test_a_bound_belongs_to_its_interval():
    rows = rows_of(np.array([[[0.5], [-0.5]]]))
    counted = tally(names=["A"], horizon=1, levels=(0.9,))
    counted.add(rows, around(rows, 0.5), around(rows, 0.5))
    assert counted.metrics("test")["test_coverage"] == 1.0


def test_every_figure_agrees_with_plain_arithmetic(rows):
    counted = tally()
    bounds, naive = around(rows, 0.03, 0.01), around(rows, 0.02, 0.015)
    for first in range(0, len(rows), 23):
        part = slice(first, first + 23)
        counted.add(some(rows, part), bounds[..., part], naive[..., part])
    record = counted.record()

    def check(entry, where, number, level):
        for prefix, found in (("", bounds), ("naive_", naive)):
            lower, upper = found[number][:, where]
            actual = rows.actual[where]
            assert entry[f"{prefix}coverage"] == pytest.approx(((lower <= actual) & (actual <= upper)).mean())
            assert entry[f"{prefix}width"] == pytest.approx((upper - lower).mean())
            assert entry[f"{prefix}width_percent"] == pytest.approx((upper - lower).mean())  # Close 100
            assert entry[f"{prefix}winkler"] == pytest.approx(winkler(actual, lower, upper, level).mean())
        assert entry["rows"] == where.sum()

    for number, (key, level) in enumerate(zip(("90", "50"), LEVELS, strict=True)):
        check(record["pooled"][key], np.ones(len(rows), bool), number, level)
        for step in (1, 2):
            check(record["steps"][key][step - 1], rows.step == step, number, level)
        for series, name in enumerate("AB"):
            own = record["tickers"][name][key]
            check(own, rows.series == series, number, level)
            by_step = [record["tickers"][name][key]["coverage_by_step"][step - 1] for step in (1, 2)]
            for step, share in zip((1, 2), by_step, strict=True):
                here = (rows.series == series) & (rows.step == step)
                lower, upper = bounds[number][:, here]
                assert share == pytest.approx(
                    ((lower <= rows.actual[here]) & (rows.actual[here] <= upper)).mean()
                )
    assert record["levels"] == [0.9, 0.5]
    assert set(counted.metrics("test")) == {
        f"test_{name}{ending}"
        for name in (
            "coverage",
            "width",
            "winkler",
            "naive_coverage",
            "naive_width",
            "naive_winkler",
            "ticker_coverage",
        )
        for ending in ("", "_50")
    }


def test_tickers_count_alike_in_the_mean_of_their_coverages(rows):
    rows = some(rows, (rows.series == 0) | (rows.origin < 10))
    counted = tally()
    bounds = around(rows, 0.02, 0.01)
    counted.add(rows, bounds, bounds)
    own = [entry["90"]["coverage"] for entry in counted.record()["tickers"].values()]
    assert counted.metrics("test")["test_ticker_coverage"] == pytest.approx(np.mean(own))
    assert counted.metrics("test")["test_coverage"] != pytest.approx(np.mean(own))


def test_rows_without_bounds_are_left_out_of_model_and_naive_and_told(rows):
    bounds, naive = around(rows, 0.03, 0.01), around(rows, 0.02, 0.01)
    bounds[..., 3] = np.nan
    naive[..., 8] = np.nan
    counted = tally()
    counted.add(rows, bounds, naive)
    record = counted.record()
    assert (record["rows"], record["rows_without"]) == (len(rows) - 2, 2)
    without = tally()
    keep = ~np.isin(np.arange(len(rows)), (3, 8))
    without.add(some(rows, keep), bounds[..., keep], naive[..., keep])
    assert without.metrics("test") == counted.metrics("test")


def test_two_add_up_to_one(rows):
    bounds = around(rows, 0.03, 0.01)
    whole, first, second = tally(), tally(), tally()
    whole.add(rows, bounds, bounds)
    for counted, part in ((first, slice(0, 70)), (second, slice(70, None))):
        counted.add(some(rows, part), bounds[..., part], bounds[..., part])
    assert (first + second).metrics("test") == pytest.approx(whole.metrics("test"))


def test_no_rows_give_null_in_strict_json():
    record = json.dumps(tally(reliability=(0.9,)).record(), allow_nan=False)
    assert json.loads(record)["pooled"]["90"]["coverage"] is None
    assert set(tally().metrics("test").values()) == {None}
