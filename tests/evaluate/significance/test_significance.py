"""What is tested, what is recorded, and what is said."""

import json

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from tables import beside, changed, noisy, split_rows, walks

from forecast.evaluate.returns import usable
from forecast.evaluate.significance import Significance
from forecast.evaluate.significance.diebold_mariano import clark_west, compare
from forecast.evaluate.significance.significance import best_baseline

FIGURES = {
    "dm_stat", "dm_p", "dm_p_better", "dm_abs_p", "dm_best_stat", "dm_best_p", "dm_best_p_better",
    "cw_stat", "cw_p_better", "pt_stat", "pt_p", "direction_low", "direction_high", "tickers_tested", "tickers_better", "tickers_worse",
}  # fmt: skip


def found(rows, *, alpha=0.05, best=None, **baselines):
    result = Significance(alpha=alpha).summary(beside(rows, **baselines), best=best)
    json.dumps(result.record, allow_nan=False)
    return result


def alike(one, other, rel):
    """Two flat records, numbers to a tolerance and the rest exactly."""
    numbers = [{k: v for k, v in side.items() if isinstance(v, int | float)} for side in (one, other)]
    rest = [{k: v for k, v in side.items() if not isinstance(v, int | float)} for side in (one, other)]
    return numbers[0] == pytest.approx(numbers[1], rel=rel) and rest[0] == rest[1]


def test_figures_have_their_names():
    assert set(found(split_rows(walks(2, 60), noisy())).metrics) == {f"test_{name}" for name in FIGURES}
    rows = changed(split_rows(walks(2, 60), noisy()), split="val")
    assert set(Significance().summary(rows).metrics) == {f"val_{name}" for name in FIGURES}


def test_one_ticker_against_naive_is_the_test_of_its_relative_errors():
    rows = split_rows(walks(1, 200), noisy(0.004, knows=0.1))
    actual, forecast = rows.actual / rows.naive - 1, rows.forecast / rows.naive - 1
    result = found(rows)
    for loss, power in (("squared", 2), ("absolute", 1)):
        differential = abs(actual) ** power - abs(actual - forecast) ** power
        expected = compare(differential, horizon=1).record(horizon=1)
        test = result.record["against"]["naive"][loss]["overall"]
        assert alike(test, expected, 1e-8)
        assert result.record["against"]["naive"][loss]["steps"] == [{"step": 1, **test}]
    assert result.metrics["test_dm_p"] == result.record["against"]["naive"]["squared"]["overall"]["p"]
    tickers = result.record["tickers"]
    assert tickers["dm_p"][0] == pytest.approx(result.metrics["test_dm_p"], rel=1e-5)
    assert tickers["dm_p_holm"] == tickers["dm_p"]


def test_tickers_of_a_day_are_one_observation():
    rows = split_rows(walks(5, 100, common=0.9), noisy(knows=0.05))
    gain = (rows.actual / rows.naive - 1) ** 2 - ((rows.actual - rows.forecast) / rows.naive) ** 2
    expected = compare(gain.reshape(5, 99).mean(axis=0), horizon=1).record(horizon=1)
    test = found(rows).record["against"]["naive"]["squared"]["overall"]
    assert alike(test, expected, 1e-8)
    assert test["origins"] == 99


def test_each_step_is_tested_with_its_own_overlap():
    rows = split_rows(walks(1, 150), noisy(), horizon=3)
    gain = (rows.actual / rows.naive - 1) ** 2 - ((rows.actual - rows.forecast) / rows.naive) ** 2
    tests = found(rows).record["against"]["naive"]["squared"]
    for step in (1, 2, 3):
        expected = compare(gain.reshape(-1, 3)[:, step - 1], horizon=step).record(horizon=step)
        assert alike(tests["steps"][step - 1], {"step": step, **expected}, 1e-8)
    overall = compare(gain.reshape(-1, 3).mean(axis=1), horizon=3).record(horizon=3)
    assert alike(tests["overall"], overall, 1e-8)
    tickers = found(rows).record["tickers"]
    assert (tickers["origins"], tickers["dm_p"]) == ([147], [pytest.approx(overall["p"], rel=1e-5)])


def test_pooled_size_where_tickers_share_a_market():
    p = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        # Two forecasters who each add one view of the whole market to half the truth: neither errs less.
        own, other = 0.01 * rng.standard_normal((2, 1, 120, 1)) * np.ones((1, 8, 1, 1))
        prices = walks(8, 121, common=0.8, seed=seed + 500)
        rows = split_rows(prices, lambda moves, own=own: 0.5 * moves + own)
        baseline = split_rows(prices, lambda moves, other=other: 0.5 * moves + other)
        p.append(found(rows, best="baseline", baseline=baseline.forecast).metrics["test_dm_best_p"])
    assert 0.02 < (np.array(p) < 0.05).mean() < 0.085


def test_a_forecast_that_knows_is_found_and_one_that_guesses_is_not():
    knows = found(split_rows(walks(4, 250), noisy(0.002, knows=0.1)))
    assert knows.metrics["test_dm_p_better"] < 0.001
    assert knows.metrics["test_pt_p"] < 0.001
    assert knows.metrics["test_tickers_better"] == 4
    assert knows.lines[0] == "Diebold-Mariano against naive: p < 0.001, the model errs less"
    guesses = found(split_rows(walks(4, 250), noisy(0.0005)))
    assert guesses.metrics["test_dm_p_better"] > 0.05
    assert guesses.lines[0].endswith(", the difference may be chance")
    assert guesses.metrics["test_tickers_better"] == 0
    worse = found(split_rows(walks(4, 250), noisy(0.01)))
    assert worse.metrics["test_dm_p_better"] > 0.999
    assert worse.lines[0] == "Diebold-Mariano against naive: p < 0.001, the model errs more"
    assert worse.lines[-1] == (
        "4 tickers tested one by one against naive, after Holm's correction: 0 better, 4 worse"
    )


@pytest.mark.parametrize("horizon", [1, 3])
def test_swapped_with_a_baseline_it_mirrors(horizon):
    rows = split_rows(walks(3, 120), noisy(0.004, knows=0.1), horizon=horizon)
    baseline = rows.naive * (1 + noisy(0.003, seed=9)(rows.actual))
    there = found(rows, baseline=baseline)
    back = found(changed(rows, forecast=baseline), baseline=rows.forecast)
    for loss in ("squared", "absolute"):
        one, other = (side.record["against"]["baseline"][loss]["overall"] for side in (there, back))
        assert other["stat"] == pytest.approx(-one["stat"], rel=1e-9)
        assert other["p"] == pytest.approx(one["p"], rel=1e-9)
        assert other["p_better"] == pytest.approx(1 - one["p_better"], abs=1e-9)
    signs = [-value for value in there.record["tickers"]["dm_best_stat"]]
    assert back.record["tickers"]["dm_best_stat"] == pytest.approx(signs, rel=1e-5)


@settings(max_examples=25)
@given(st.floats(1e-6, 1e6), st.integers(1, 3))
def test_units_of_a_ticker_change_nothing(scale, horizon):
    rows = split_rows(walks(2, 60), noisy(0.004), horizon=horizon)
    factor = np.where(rows.series == 0, scale, 1.0)
    prices = {name: getattr(rows, name) * factor for name in ("actual", "forecast", "naive")}
    one, other = found(rows), found(changed(rows, **prices))
    assert alike(other.metrics, one.metrics, 1e-6)


def test_the_best_baseline_errs_least_on_the_rows_it_forecast():
    rows = split_rows(walks(2, 100), noisy())
    near, far = (rows.naive + share * (rows.actual - rows.naive) for share in (0.5, 0.1))
    partial = np.where(np.arange(len(rows)) % 2 == 0, rows.actual, np.nan)
    none = np.full(len(rows), np.nan)
    table = beside(rows, far=far, near=near, partial=partial, none=none)
    assert best_baseline(usable(table)[0]) == "near"
    assert best_baseline(beside(rows, none=none)) is None
    assert Significance().summary(table, best="far").record["best_baseline"] == "far"
    with pytest.raises(ValueError, match="best='nearer' is none of"):
        Significance().summary(table, best="nearer")


def test_a_baseline_with_gaps_is_compared_on_the_rows_it_has():
    rows = split_rows(walks(1, 100), noisy())
    baseline = rows.naive * 1.001
    baseline[:7] = np.nan
    test = found(rows, baseline=baseline).record["against"]["baseline"]["squared"]["overall"]
    assert test["origins"] == 92
    assert test["p"] is not None


def test_no_baseline_is_said():
    result = found(split_rows(walks(1, 100), noisy()))
    assert (result.record["best_baseline"], result.record["best_why"]) == (None, "no baseline besides naive")
    assert result.metrics["test_dm_best_p"] is None
    # naive twice, and direction; one ticker has none to be compared with
    assert len(result.lines) == 3


def test_a_copy_of_naive_errs_alike():
    rows = split_rows(walks(2, 100), lambda moves: 0 * moves)
    result = found(rows, drift=rows.naive)
    assert result.metrics["test_dm_p"] is None
    assert result.lines[:2] == [
        "Diebold-Mariano against naive: undefined, both err alike on every bar",
        "Diebold-Mariano against drift (the best other baseline in hindsight): undefined, both err alike on every bar",
    ]


def test_constant_prices_and_a_ticker_that_ended_before():
    prices = np.vstack([walks(1, 100), np.full((1, 100), 5.0), walks(1, 100, seed=5)])
    rows = split_rows(prices, lambda moves: 0.001 + 0 * moves)
    rows = changed(rows.take(rows.series != 2), names=["A", "FLAT", "GONE"])
    result = Significance().summary(rows)
    json.dumps(result.record, allow_nan=False)
    columns = result.record["tickers"]
    assert columns["origins"] == [99, 99, 0]
    assert columns["dm_p"][1:] == [None, None]
    assert columns["direction"][1:] == [None, None]
    assert columns["why"] == [
        "direction: the forecast says the same direction on all but a few bars",
        "against naive: the difference in loss never varies; "
        "direction: the value never moved, or the forecast never did",
        "no rows in this split",
    ]
    assert result.record["holm"]["tested"] == 1
    assert {len(column) for column in columns.values()} == {3}


def test_no_rows_at_all():
    rows = split_rows(walks(1, 5), noisy())
    empty = changed(rows.take(slice(0, 0)), names=["A", "B"], baselines={"drift": np.empty(0)})
    result = Significance().summary(empty)
    json.dumps(result.record, allow_nan=False)
    assert result.record["tickers"]["why"] == ["no rows in this split"] * 2
    assert result.lines[0] == "Diebold-Mariano against naive: undefined, no rows"


def test_holm_makes_chance_findings_rarer():
    result = found(split_rows(walks(200, 120, seed=3), noisy(0.001, seed=4)), alpha=0.1)
    p, corrected = (np.array(result.record["tickers"][name]) for name in ("dm_p", "dm_p_holm"))
    assert (p < 0.1).sum() > 5
    assert (corrected < 0.1).sum() <= 1
    assert (corrected >= p).all()


def test_interval_follows_alpha():
    rows = split_rows(walks(1, 200), noisy())
    wide, narrow = found(rows, alpha=0.01), found(rows, alpha=0.5)
    assert wide.metrics["test_direction_low"] < narrow.metrics["test_direction_low"]
    assert "99 % interval" in wide.lines[2]
    assert "50 % interval" in narrow.lines[2]


def test_price_of_zero_is_left_out_and_said():
    prices = walks(1, 60)
    prices[0, 10] = 0
    record = found(split_rows(prices, np.full((1, 59, 1), 50.0))).record
    assert (record["rows"], record["rows_left_out"]) == (58, 1)


def test_names_are_kept():
    rows = split_rows(walks(2, 60), noisy())
    assert found(rows).record["tickers"]["ticker"] == rows.names


def test_clark_west_stands_beside_diebold_mariano_and_is_said():
    rows = split_rows(walks(4, 250), noisy(0.004, knows=0.05), horizon=2)
    actual, forecast = rows.actual / rows.naive - 1, rows.forecast / rows.naive - 1
    adjusted = (2 * actual * forecast).reshape(4, -1, 2)
    result = found(rows)
    overall = clark_west(adjusted.mean(axis=(0, 2)), horizon=2)
    assert alike(result.record["clark_west"]["overall"], overall, 1e-8)
    for step in (1, 2):
        expected = {"step": step, **clark_west(adjusted[..., step - 1].mean(axis=0), horizon=step)}
        assert alike(result.record["clark_west"]["steps"][step - 1], expected, 1e-8)
    assert result.metrics["test_cw_p_better"] == pytest.approx(overall["p_better"], rel=1e-8)
    assert result.metrics["test_cw_p_better"] < result.metrics["test_dm_p_better"]
    assert result.lines[1].startswith("Clark-West against naive, which is nested in the model: p")


def test_blocks_of_series_change_nothing(monkeypatch):
    from forecast.evaluate import table as tables

    rows = split_rows(walks(6, 90), noisy(0.004, knows=0.1), horizon=2)
    drift = rows.naive * (1 + 0.001 * rows.step)
    whole = found(rows, drift=drift)
    blocks = tables.ForecastTable.blocks

    def one_series_at_a_time(self):
        if len(np.unique(self.series)) <= 1:
            yield from blocks(self)
            return
        for series in np.unique(self.series):
            yield self.take(np.flatnonzero(self.series == series))

    monkeypatch.setattr(tables.ForecastTable, "blocks", one_series_at_a_time)
    assert alike(found(rows, drift=drift).metrics, whole.metrics, 1e-9)
