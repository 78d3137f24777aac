"""What is tested, what is recorded, and what is said."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splits import moves_of, names, noisy, split_rows, walks

from forecast.evaluate.rows import Rows
from forecast.evaluate.significance import Significance
from forecast.evaluate.significance.against import best_baseline
from forecast.evaluate.significance.diebold_mariano import compare
from forecast.evaluate.significance.moves import Moves

FIGURES = {
    "dm_stat", "dm_p", "dm_p_better", "dm_abs_p", "dm_best_stat", "dm_best_p", "dm_best_p_better",
    "pt_stat", "pt_p", "direction_low", "direction_high", "tickers_tested", "tickers_better", "tickers_worse",
}  # fmt: skip


def found(rows, *, alpha=0.05, best=None, **baselines):
    result = Significance(alpha=alpha).findings(moves_of(rows, **baselines), best=best)
    json.dumps(result.record, allow_nan=False)
    return result


def alike(one, other, rel):
    """Two flat records, numbers to a tolerance and the rest exactly."""
    numbers = [{k: v for k, v in side.items() if isinstance(v, int | float)} for side in (one, other)]
    rest = [{k: v for k, v in side.items() if not isinstance(v, int | float)} for side in (one, other)]
    return numbers[0] == pytest.approx(numbers[1], rel=rel) and rest[0] == rest[1]


def test_figures_have_their_names():
    assert set(found(split_rows(walks(2, 60), noisy())).metrics) == {f"test_{name}" for name in FIGURES}
    moves = moves_of(split_rows(walks(2, 60), noisy()))
    assert set(Significance().findings(moves, split="val").metrics) == {f"val_{name}" for name in FIGURES}


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
        rival = split_rows(prices, lambda moves, other=other: 0.5 * moves + other)
        moves = moves_of(rows, rival=rival.forecast)
        p.append(Significance().findings(moves, best="rival").metrics["test_dm_best_p"])
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
    rival = rows.naive * (1 + noisy(0.003, seed=9)(rows.actual))
    there = found(rows, rival=rival)
    back = found(Rows(**{**vars(rows), "forecast": rival}), rival=rows.forecast)
    for loss in ("squared", "absolute"):
        one, other = (side.record["against"]["rival"][loss]["overall"] for side in (there, back))
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
    one, other = found(rows), found(Rows(**{**vars(rows), **prices}))
    assert alike(other.metrics, one.metrics, 1e-6)


def test_the_best_baseline_errs_least_on_the_rows_it_forecast():
    rows = split_rows(walks(2, 100), noisy())
    near, far = (rows.naive + share * (rows.actual - rows.naive) for share in (0.5, 0.1))
    partial = np.where(np.arange(len(rows)) % 2 == 0, rows.actual, np.nan)
    none = np.full(len(rows), np.nan)
    moves = moves_of(rows, far=far, near=near, partial=partial, none=none)
    assert best_baseline(moves) == "near"
    assert best_baseline(moves_of(rows, none=none)) is None
    assert Significance().findings(moves, best="far").record["best_baseline"] == "far"
    with pytest.raises(ValueError, match="best='nearer' is none of"):
        Significance().findings(moves, best="nearer")


def test_a_baseline_with_gaps_is_compared_on_the_rows_it_has():
    rows = split_rows(walks(1, 100), noisy())
    rival = rows.naive * 1.001
    rival[:7] = np.nan
    test = found(rows, rival=rival).record["against"]["rival"]["squared"]["overall"]
    assert test["origins"] == 92
    assert test["p"] is not None


def test_no_baseline_is_said():
    result = found(split_rows(walks(1, 100), noisy()))
    assert (result.record["best_baseline"], result.record["best_why"]) == (None, "no baseline besides naive")
    assert result.metrics["test_dm_best_p"] is None
    assert len(result.lines) == 2  # naive and direction; one ticker has none to be compared with


def test_a_copy_of_naive_errs_alike():
    rows = split_rows(walks(2, 100), lambda moves: 0 * moves)
    result = found(rows, drift=rows.naive)
    assert result.metrics["test_dm_p"] is None
    assert result.lines[:2] == [
        "Diebold-Mariano against naive: undefined, both err alike on every day",
        "Diebold-Mariano against drift (the best baseline): undefined, both err alike on every day",
    ]


def test_constant_prices_and_a_ticker_that_ended_before():
    prices = np.vstack([walks(1, 100), np.full((1, 100), 5.0), walks(1, 100, seed=5)])
    rows = split_rows(prices, lambda moves: 0.001 + 0 * moves)
    kept = rows.series != 2
    rows = Rows(**{name: values[kept] for name, values in vars(rows).items()})
    moves = Moves.of(rows, names=["A", "FLAT", "GONE"])
    result = Significance().findings(moves)
    json.dumps(result.record, allow_nan=False)
    columns = result.record["tickers"]
    assert columns["origins"] == [99, 99, 0]
    assert columns["dm_p"][1:] == [None, None]
    assert columns["direction"][1:] == [None, None]
    assert columns["why"] == [
        "direction: the forecast says the same direction on all but a few days",
        "against naive: the difference in loss never varies; "
        "direction: the price never moved, or the forecast never did",
        "no rows in this split",
    ]
    assert result.record["holm"]["tested"] == 1
    assert {len(column) for column in columns.values()} == {3}


def test_no_rows_at_all():
    rows = split_rows(walks(1, 5), noisy())
    empty = Rows(**{name: values[:0] for name, values in vars(rows).items()})
    result = Significance().findings(Moves.of(empty, names=["A", "B"], baselines={"drift": np.empty(0)}))
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
    assert "99 % interval" in wide.lines[1]
    assert "50 % interval" in narrow.lines[1]


def test_price_of_zero_is_left_out_and_said():
    prices = walks(1, 60)
    prices[0, 10] = 0
    record = found(split_rows(prices, np.full((1, 59, 1), 50.0))).record
    assert (record["rows"], record["rows_left_out"]) == (58, 1)


def test_names_are_kept():
    rows = split_rows(walks(2, 60), noisy())
    assert found(rows).record["tickers"]["ticker"] == names(rows)
