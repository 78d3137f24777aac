"""Scaled and filtered intervals, value at risk: against plain loops, on markets whose volatility moves."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tables import changed, residual_rows, share_inside, spoilt

from forecast.errors import UserError
from forecast.evaluate import Risk
from forecast.evaluate.history import History, interpolated
from forecast.evaluate.intervals import Adaptive, Filtered, SplitConformal
from forecast.evaluate.intervals.conformal import plan_of
from forecast.evaluate.risk import FEWEST, SIMULATED
from forecast.model.intervals import IntervalState


def market(days=1500, *, tickers=2, seed=0, steps=1):
    """Validation and test rows of a market whose volatility is known to triple now and then, from its spread."""
    rng = np.random.default_rng(seed)
    wild = np.repeat(rng.random((tickers, days // 50)) < 0.3, 50, axis=1)
    spread = 0.01 * np.where(wild, 3.0, 1.0)
    residuals = spread[..., None] * rng.standard_t(5, size=(tickers, days, steps)) / np.sqrt(5 / 3)
    half = days // 2
    tables = []
    for part, first, split in (
        (slice(0, half), 0, "val"),
        (slice(half, None), half + 2 * steps, "test"),
    ):
        rows = residual_rows(residuals[:, part], first=first, split=split)
        every = np.repeat(spread[:, part].ravel(), steps).astype(np.float32)
        tables.append(replace(rows, names=["A", "B"][:tickers], spread=every))
    return tables


def bounds_of(kind, known, rows):
    fit = kind.fit(known, plan_of(known, kind))
    return fit, fit.plan.bounds(fit.half_widths(rows), rows, slice(fit.plan.reported))


@pytest.mark.parametrize(
    "kind",
    [
        Adaptive(levels=[0.9], scaled=True),
        SplitConformal(levels=[0.9], scaled=True),
        Filtered(levels=[0.9]),
    ],
    ids=["adaptive", "split", "filtered"],
)
def test_scaled_intervals_are_wide_when_the_market_is_and_hold_in_both(kind):
    known, rows = market()
    _, bounds = bounds_of(kind, known, rows)
    wild = rows.spread > 0.02
    width = bounds[0, 1] - bounds[0, 0]
    assert np.median(width[wild]) == pytest.approx(3 * np.median(width[~wild]), rel=0.15)
    for some in (wild, ~wild):
        inside = ((bounds[0, 0] <= rows.actual) & (rows.actual <= bounds[0, 1]))[some]
        assert 0.86 < inside.mean() < 0.94
    plain = SplitConformal(levels=[0.9])
    _, unscaled = bounds_of(plain, known, rows)

    def winkler(found):
        outside = np.maximum(found[0, 0] - rows.actual, 0) + np.maximum(rows.actual - found[0, 1], 0)
        return (found[0, 1] - found[0, 0] + 20 * outside).mean()

    assert winkler(bounds) < 0.95 * winkler(unscaled)


@pytest.mark.parametrize("kind", [Adaptive(levels=[0.9], scaled=True), Filtered(levels=[0.9], window=50)])
def test_no_bound_knows_what_comes_after_its_origin(kind):
    known, rows = market(600, steps=3)
    cut = int(np.median(rows.origin))
    _, bounds = bounds_of(kind, known, rows)
    _, other = bounds_of(kind, known, spoilt(rows, after=cut))
    before = rows.origin <= cut
    np.testing.assert_array_equal(bounds[..., before], other[..., before])
    assert not np.array_equal(bounds[..., ~before], other[..., ~before])


def test_filtered_intervals_follow_each_tail():
    known, rows = market(tickers=1)
    fallen = [changed(table, actual=table.naive * (1 - np.abs(table.actual / table.naive - 1)))
              for table in (known, rows)]  # fmt: skip
    fit, bounds = bounds_of(Filtered(levels=[0.9, 0.5]), *fallen)
    below, above = rows.naive - bounds[0, 0], bounds[0, 1] - rows.naive
    assert np.median(below) > 5 * np.median(above)
    held = share_inside(fallen[1], bounds)
    np.testing.assert_allclose(held, [0.9, 0.5], atol=0.05)
    state = fit.state()
    again = IntervalState.from_json(json.loads(json.dumps(state.to_json(), allow_nan=False)))
    np.testing.assert_array_equal(again.pooled, state.pooled)
    assert again.own["A"].shape == (2, 2, 1)
    # the widths that a server uses are those after the last outcome
    values = (fallen[1].actual - fallen[1].forecast) / (fallen[1].naive * rows.spread)
    earlier = (fallen[0].actual - fallen[0].forecast) / (fallen[0].naive * known.spread)
    latest = np.concatenate((earlier, values))[-1000:]
    assert again.own["A"][0, 0, 0] == pytest.approx(-np.quantile(latest, 0.05), rel=1e-4)
    assert again.own["A"][0, 1, 0] == pytest.approx(np.quantile(latest, 0.95), rel=1e-4, abs=1e-6)


def test_tickers_with_few_residuals_borrow_from_all():
    known, rows = market(tickers=2)
    few = known.take((known.series == 0) | (known.origin > known.origin.max() - 10))
    fit, bounds = bounds_of(Filtered(levels=[0.9]), few, rows)
    assert "1 of 2 tickers and steps" in fit.notes[0]
    first = rows.series == 1
    assert np.isfinite(bounds[..., first]).all()
    assert 0.8 < share_inside(rows.take(first), bounds[..., first])[0] < 0.98


def test_history_gives_the_latest_values_known_at_each_origin():
    rng = np.random.default_rng(3)
    history = History(2, window=20)
    streams, times, values = np.repeat([0, 1], 30), np.tile(np.arange(30), 2), rng.normal(size=60)
    history.add(streams, times, rng.normal(size=60))
    history.add(streams, times, values)  # what is added again counts once, as added last
    origins, later = np.tile(np.arange(29, 59), 2), rng.normal(size=60)
    seen = 0
    for rows, windows, counts in history.follow(streams, origins, origins + 2, later):
        for row, window, count in zip(rows, windows, counts, strict=True):
            mine = streams == streams[row]
            when = np.concatenate((times[mine], origins[mine] + 2))
            past = np.concatenate((values[mine], later[mine]))[when <= origins[row]][-20:]
            np.testing.assert_allclose(window[~np.isnan(window)], past, rtol=1e-6)
            assert count == len(past) == 20
            seen += 1
            for level in (0.01, 0.5, 0.95):
                found = interpolated(np.sort(window)[None], np.asarray([count]), level)[0]
                assert found == pytest.approx(np.quantile(past, level), rel=1e-5, abs=1e-7)
    assert seen == 60


def followed(known, rows, **changes):
    followed = Risk(**{"levels": [0.01, 0.05], "window": 1000} | changes).follow(
        names=rows.names, horizon=rows.horizon
    )
    followed.known(known)
    columns = followed.columns(rows)
    return columns, followed.summary()


def test_value_at_risk_is_the_quantile_of_standardised_residuals_times_the_spread():
    known, rows = market(tickers=1)
    columns, summary = followed(known, rows)
    both = np.concatenate((known.actual / known.naive - 1, rows.actual / rows.naive - 1))
    scaled = both / np.concatenate((known.spread, rows.spread))
    for number in (0, 100, len(rows) - 1):
        past = scaled[: len(known) + number][-1000:]
        cut = np.quantile(past, 0.05)
        assert columns["var_5"][number] == pytest.approx(cut * rows.spread[number], rel=1e-4)
        worst = np.sort(past)[: int(np.ceil(0.05 * len(past)))]
        assert columns["es_5"][number] == pytest.approx(worst.mean() * rows.spread[number], rel=1e-4)
    came = rows.actual / rows.naive - 1
    simulated = np.asarray(
        [np.quantile(both[len(known) + n - SIMULATED : len(known) + n], 0.01) for n in range(len(rows))]
    )

    def pinball(quantile):
        return np.maximum(0.01 * (came - quantile), -0.99 * (came - quantile)).mean()

    entry = summary.record["levels"]["1"]
    assert summary.metrics["test_var_1_violations"] == pytest.approx((came < columns["var_1"]).mean())
    assert entry["simulated_violations"] == pytest.approx((came < simulated).mean())
    assert entry["pinball_ratio"] == pytest.approx(pinball(columns["var_1"]) / pinball(simulated), rel=1e-4)
    assert entry["pinball_ratio"] < 0.95
    assert summary.metrics["test_var_1_kupiec_p"] > 0.05
    assert summary.record["warnings"] == []
    assert "1 % value at risk: fallen below on" in summary.lines[0]
    json.dumps(summary.record, allow_nan=False)


def test_risk_that_does_not_hold_is_warned_of_and_looks_at_nothing_that_comes():
    known, rows = market(tickers=2)
    calm = replace(rows, spread=np.where(rows.series == 1, rows.spread / 3, rows.spread).astype(np.float32))
    _, summary = followed(known, calm)
    assert any(
        "5 % value at risk does not hold: returns of B fell" in text for text in summary.record["warnings"]
    )
    wild = replace(rows, spread=(3 * rows.spread).astype(np.float32))
    warned = followed(known, wild)[1].record["warnings"]
    assert any("5 % value at risk is too cautious: returns of " in text for text in warned)
    columns, _ = followed(known, rows)
    cut = int(np.median(rows.origin))
    other, _ = followed(known, spoilt(rows, after=cut))
    before = rows.origin <= cut
    for name, values in columns.items():
        np.testing.assert_array_equal(values[before], other[name][before])


@pytest.mark.parametrize("expected", [1.0, 1.001])  # a forecast that is above what comes is no risk either
def test_a_price_that_never_moved_has_no_risk_to_warn_of(expected):
    known, rows = market(tickers=1)
    still = replace(
        rows, keys=replace(rows.keys, actual=rows.naive), forecast=expected * rows.naive, baselines={}
    )
    _, summary = followed(known, replace(still, spread=(1e-6 * rows.spread).astype(np.float32)))
    assert summary.record["warnings"] == []
    assert summary.lines[0] == "1 % value at risk: no return ever moved"


def test_too_few_residuals_tell_no_risk():
    known, rows = market(tickers=1)
    columns, summary = followed(known.take(slice(0, 5)), rows.take(slice(0, FEWEST - 10)))
    assert all(np.isnan(values).all() for values in columns.values())
    assert summary.metrics["test_var_1_kupiec_p"] is None
    assert summary.lines[0] == "1 % value at risk: none on test"


@pytest.mark.parametrize("levels", [[0.0], [1.0], [0.05, 1.0], [0.99], [], [0.01, 0.01]])
def test_levels_that_are_no_share_of_the_worst_cases_are_refused(levels):
    with pytest.raises(UserError, match=r"evaluation\.risk\.levels="):
        Risk(levels=levels, window=1000)
