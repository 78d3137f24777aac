"""Coverage, width and Winkler score: against plain arithmetic, by ticker, step and level."""

import json

import numpy as np
import pytest
from tables import changed, residual_rows

from forecast.evaluate.intervals.coverage import Bounded, coverage

LEVELS = (0.9, 0.5)


def counted(rows, bounds, naive, *, levels=LEVELS):
    names = ["A", "B"][: int(rows.series.max(initial=0)) + 1] if len(rows) else ["A", "B"]
    count = len(rows)
    sides = tuple(
        Bounded(
            bounds=side,
            inside=np.zeros((1, count), bool),
            crps=np.ones(count),
            below=np.arange(count) % 20,
        )
        for side in (bounds, naive)
    )
    return coverage(changed(rows, names=names), sides, levels=levels, reliability=(0.9,))


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
    return residual_rows(0.02 * np.random.default_rng(0).standard_normal((2, 50, 2)))


def test_three_outcomes_by_hand():
    rows = residual_rows(np.array([[[0.0], [0.03], [-0.02]]]))
    found = counted(rows, around(rows, 0.01), around(rows, 0.05), levels=(0.9,))
    # Inside; 2 above; 1 below: (2 + 2 + 20 * 2 + 2 + 20 * 1) / 3.
    shown = found.metrics("test")
    assert shown.pop("test_coverage_p") is None  # three outcomes tell nothing
    assert {name: shown.pop(name) for name in ("test_crps", "test_naive_crps")} == {
        "test_crps": 1.0,
        "test_naive_crps": 1.0,
    }
    assert shown.pop("test_pit") == pytest.approx(0.85)  # bins 0, 1 and 2 of 20
    assert shown == pytest.approx(
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
    rows = residual_rows(np.array([[[0.5], [-0.5]]]))
    found = counted(rows, around(rows, 0.5), around(rows, 0.5), levels=(0.9,))
    assert found.metrics("test")["test_coverage"] == 1.0


def test_every_figure_agrees_with_plain_arithmetic(rows):
    bounds, naive = around(rows, 0.03, 0.01), around(rows, 0.02, 0.015)
    counts = counted(rows, bounds, naive)
    record = counts.record()

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
    assert set(counts.metrics("test")) == {
        f"test_{name}{ending}"
        for name in (
            "coverage",
            "width",
            "winkler",
            "naive_coverage",
            "naive_width",
            "naive_winkler",
            "ticker_coverage",
            "coverage_p",
        )
        for ending in ("", "_50")
    } | {"test_crps", "test_naive_crps", "test_pit"}


def test_tickers_count_alike_in_the_mean_of_their_coverages(rows):
    rows = rows.take((rows.series == 0) | (rows.origin < 10))
    bounds = around(rows, 0.02, 0.01)
    counts = counted(rows, bounds, bounds)
    own = [entry["90"]["coverage"] for entry in counts.record()["tickers"].values()]
    assert counts.metrics("test")["test_ticker_coverage"] == pytest.approx(np.mean(own))
    assert counts.metrics("test")["test_coverage"] != pytest.approx(np.mean(own))


def test_rows_without_bounds_are_left_out_of_model_and_naive_and_told(rows):
    bounds, naive = around(rows, 0.03, 0.01), around(rows, 0.02, 0.01)
    bounds[..., 3] = np.nan
    naive[..., 8] = np.nan
    counts = counted(rows, bounds, naive)
    record = counts.record()
    assert (record["rows"], record["rows_without"]) == (len(rows) - 2, 2)
    keep = ~np.isin(np.arange(len(rows)), (3, 8))
    without = counted(rows.take(keep), bounds[..., keep], naive[..., keep])
    figures = [counted.metrics("test") for counted in (without, counts)]
    for one in figures:
        one.pop("test_pit")  # the made-up places differ
    assert figures[0] == figures[1]


def test_two_add_up_to_one(rows):
    bounds = around(rows, 0.03, 0.01)
    first, second = (
        counted(changed(rows.take(part), names=["A", "B"]), bounds[..., part], bounds[..., part])
        for part in (slice(0, 150), slice(150, None))
    )
    summed, whole = (first + second).metrics("test"), counted(rows, bounds, bounds).metrics("test")
    assert summed.pop("test_pit") is not None
    whole.pop("test_pit")
    assert summed == pytest.approx(whole)


def test_no_rows_give_null_in_strict_json(rows):
    none = rows.take(slice(0, 0))
    counts = counted(none, around(none, 0.1, 0.1), around(none, 0.1, 0.1))
    assert json.loads(json.dumps(counts.record(), allow_nan=False))["pooled"]["90"]["coverage"] is None
    assert set(counts.metrics("test").values()) == {None}


def missing(share, *, tickers=2, days=400, seed=0, together=False):
    """Bounds that each outcome misses with this chance; `together`: all tickers of a day at once."""
    rng = np.random.default_rng(seed)
    rows = residual_rows(np.zeros((tickers, days, 1)))
    missed = rng.random((1 if together else tickers, days)) < share
    outside = np.broadcast_to(missed, (tickers, days)).ravel()
    bounds = np.stack([rows.actual - 1 + 3 * outside, rows.actual + 4])[None]
    return changed(rows, names=[f"T{number}" for number in range(tickers)]), bounds


def judged(rows, bounds):
    sides = (
        Bounded(bounds=bounds, inside=np.zeros((1, len(rows)), bool), crps=np.ones(len(rows)),
                below=np.zeros(len(rows), np.int64)),
    ) * 2  # fmt: skip
    return coverage(rows, sides, levels=(0.9,), reliability=(0.9,)).record()


def test_coverage_that_does_not_hold_is_found_and_warned_of():
    from forecast.evaluate.findings import coverage_warnings

    record = judged(*missing(0.18))
    test = record["test"]["90"]
    assert test["fails"] == "low"
    assert test["p"] < 1e-4
    assert set(test["tickers"]) == {"T0", "T1"}
    (warning,) = coverage_warnings(record)
    assert warning.startswith("90 % intervals do not hold: they held 8")
    assert "T0" in warning
    assert coverage_warnings(judged(*missing(0.1))) == []
    (wide,) = coverage_warnings(judged(*missing(0.03)))
    assert "are too wide" in wide
    assert coverage_warnings({}) == []  # a run of before there was a test


def test_the_outcomes_of_a_bar_are_one_observation():
    apart = judged(*missing(0.13, tickers=8, seed=3))["test"]["90"]
    alike = judged(*missing(0.13, tickers=8, seed=3, together=True))["test"]["90"]
    assert apart["p"] < 0.01
    assert alike["p"] > 5 * apart["p"]


def test_a_ticker_that_is_missed_more_often_than_the_others_is_named():
    rows, bounds = missing(0.1, tickers=5)
    bad = (rows.series == 3) & (np.arange(len(rows)) % 4 == 0)
    bounds[0, 0, bad], bounds[0, 1, bad] = rows.actual[bad] + 1, rows.actual[bad] + 2
    record = judged(rows, bounds)["test"]["90"]
    assert list(record["tickers"]) == ["T3"]
