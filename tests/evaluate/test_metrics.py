"""Figures against sklearn, exact sums and plain numpy."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from forecast.evaluate import Tally, from_table

FIGURES = {
    "rmse", "mae", "mape", "mase", "theil_u", "direction", "direction_se", "r2_oos", "r2_oos_se",
    "naive_rmse", "naive_mae", "naive_mape", "move_ratio", "move_mean", "move_sd", "rows",
}  # fmt: skip


def rows(count, *, seed=0, level=100.0, move=1.0):
    rng = np.random.default_rng(seed)
    naive = level * (1 + 0.1 * rng.random(count))
    actual = naive + move * rng.standard_normal(count)
    forecast = naive + 0.2 * move * rng.standard_normal(count)
    return actual, forecast, naive, np.full(count, 0.7 * move)


def figures(*columns, horizon=1):
    tally = Tally(horizon=horizon)
    tally.add(*columns)
    result = tally.result("test")
    return {name.removeprefix("test_"): value for name, value in result.items()}


def test_errors_agree_with_sklearn():
    from sklearn import metrics as oracle

    actual, forecast, naive, scale = rows(1000)
    found = figures(actual, forecast, naive, scale)
    for prefix, guess in (("", forecast), ("naive_", naive)):
        assert found[f"{prefix}rmse"] == pytest.approx(
            oracle.root_mean_squared_error(actual, guess), rel=1e-13
        )
        assert found[f"{prefix}mae"] == pytest.approx(
            oracle.mean_absolute_error(actual, guess), rel=1e-13, abs=0
        )
        percent = 100 * oracle.mean_absolute_percentage_error(actual, guess)
        assert found[f"{prefix}mape"] == pytest.approx(percent, rel=1e-13, abs=0)
    assert found["mase"] == pytest.approx(
        oracle.mean_absolute_error(actual, forecast) / 0.7, rel=1e-13, abs=0
    )
    # sklearn's R2 is against the mean; two of them make the one against naive
    skill = oracle.d2_tweedie_score(actual, forecast, power=0)
    level = oracle.d2_tweedie_score(actual, naive, power=0)
    assert found["r2_oos"] == pytest.approx(1 - (1 - skill) / (1 - level), rel=1e-10, abs=0)


def test_every_figure_has_its_name():
    assert set(figures(*rows(5))) == FIGURES
    assert set(Tally(horizon=1).result("val")) == {f"val_{name}" for name in FIGURES}


def test_figures_of_three_days_by_hand():
    actual, naive = np.array([11.0, 9.0, 10.0]), np.array([10.0, 10.0, 10.0])
    forecast, scale = np.array([10.5, 10.5, 12.0]), np.array([0.5, np.nan, 4.0])
    gains = [1 - 0.25, 1 - 2.25, 0 - 4]
    found = figures(actual, forecast, naive, scale)
    assert found["rmse"] == pytest.approx(math.sqrt((0.25 + 2.25 + 4) / 3))
    assert found["mae"] == pytest.approx(4 / 3)
    assert found["mape"] == pytest.approx(100 * (0.5 / 11 + 1.5 / 9 + 2 / 10) / 3)
    assert found["mase"] == pytest.approx((0.5 / 0.5 + 2 / 4) / 2)  # the second ticker has no scale
    assert found["theil_u"] == pytest.approx(math.sqrt(6.5 / 2))
    assert found["direction"] == 0.5  # the third day is flat
    assert found["direction_se"] == pytest.approx(math.sqrt(0.25 / 2))
    assert found["r2_oos"] == pytest.approx(1 - 6.5 / 2)
    assert found["r2_oos_se"] == pytest.approx(np.std(gains, ddof=1) / math.sqrt(3) / (2 / 3))
    assert found["move_ratio"] == pytest.approx(math.sqrt(4.5 / 2))
    assert found["rows"] == 3


@pytest.mark.parametrize(
    ("actual", "forecast", "share"),
    [
        pytest.param(11.0, 11.5, 1.0, id="up and up"),
        pytest.param(9.0, 8.0, 1.0, id="down and down"),
        pytest.param(11.0, 9.0, 0.0, id="up called down"),
        pytest.param(11.0, 10.0, 0.0, id="no move forecast is wrong"),
        pytest.param(10.0, 10.0, None, id="flat day is left out"),
    ],
)
def test_direction(actual, forecast, share):
    found = figures(np.array([actual]), np.array([forecast]), np.array([10.0]), np.array([1.0]))
    assert found["direction"] == share


def test_small_moves_of_dear_shares_keep_their_digits():
    actual, forecast, naive, scale = rows(20_000, level=1e6, move=1e-4)
    found = figures(actual, forecast, naive, scale)
    exact = [
        (Fraction(a) - Fraction(f), Fraction(a) - Fraction(n))
        for a, f, n in zip(actual, forecast, naive, strict=True)
    ]
    squares, naive_squares = sum(e * e for e, _ in exact), sum(n * n for _, n in exact)
    assert found["rmse"] == pytest.approx(math.sqrt(squares / len(exact)), rel=1e-12, abs=0)
    assert found["theil_u"] == pytest.approx(math.sqrt(squares / naive_squares), rel=1e-12, abs=0)
    assert found["r2_oos"] == pytest.approx(float(1 - squares / naive_squares), rel=1e-12, abs=0)


def test_a_skill_of_a_hair_is_not_lost():
    """1 - SSE / naive SSE by subtraction would have no right digit here."""
    actual, _, naive, scale = rows(1000)
    forecast = naive + 1e-9 * (actual - naive)
    exact = [
        (Fraction(a) - Fraction(f), Fraction(a) - Fraction(n))
        for a, f, n in zip(actual, forecast, naive, strict=True)
    ]
    wanted = 1 - sum(e * e for e, _ in exact) / sum(n * n for _, n in exact)
    assert figures(actual, forecast, naive, scale)["r2_oos"] == pytest.approx(float(wanted), rel=1e-13, abs=0)


@pytest.mark.parametrize("size", [1, 7, 1000, 9999])
def test_pieces_do_not_matter(size):
    columns = rows(10_000, level=1e6, move=1e-4)
    tally = Tally(horizon=1)
    for start in range(0, 10_000, size):
        tally.add(*(column[start : start + size] for column in columns))
    whole = figures(*columns)
    assert {
        f"test_{name}": pytest.approx(value, rel=1e-12, abs=0) for name, value in whole.items()
    } == tally.result("test")


def test_many_pieces_sum_as_exactly_as_fsum():
    tally, errors = Tally(horizon=1), []
    for seed in range(3000):
        actual, forecast, naive, scale = rows(3, seed=seed, move=10.0 ** (seed % 9 - 4))
        tally.add(actual, forecast, naive, scale)
        errors += list(actual - forecast)
    found = tally.result("test")
    assert found["test_rmse"] == pytest.approx(
        math.sqrt(math.fsum(e * e for e in errors) / 9000), rel=1e-15, abs=0
    )
    assert found["test_mae"] == pytest.approx(math.fsum(map(abs, errors)) / 9000, rel=1e-15, abs=0)


def test_identical_pieces_give_identical_bits():
    columns = rows(50_000)

    def told():
        tally = Tally(horizon=3)
        for start in range(0, 50_000, 4096):
            # copies, so that the memory they lie in differs
            tally.add(*(column[start : start + 4096].copy() for column in columns))
        return tally.result("test")

    assert told() == told()


def test_standard_error_counts_the_steps_of_an_origin_once():
    columns = rows(1000)
    one, five = figures(*columns), figures(*columns, horizon=5)
    share = one["direction"]
    assert one["direction_se"] == pytest.approx(math.sqrt(share * (1 - share) / 1000))
    assert five["direction_se"] == pytest.approx(math.sqrt(5) * one["direction_se"])
    assert five["r2_oos_se"] == pytest.approx(math.sqrt(5) * one["r2_oos_se"])
    assert five["r2_oos"] == one["r2_oos"]


def test_standard_error_of_r2_is_the_spread_over_many_draws():
    drawn = [figures(*rows(300, seed=seed)) for seed in range(400)]
    spread = np.std([found["r2_oos"] for found in drawn])
    assert np.mean([found["r2_oos_se"] for found in drawn]) == pytest.approx(spread, rel=0.1)


def test_no_rows_give_none():
    nothing = np.empty(0)
    found = figures(nothing, nothing, nothing, nothing)
    assert found.pop("rows") == 0
    assert set(found.values()) == {None}


def test_one_row_has_no_spread():
    found = figures(*rows(1))
    assert found["theil_u"] is not None
    assert found["r2_oos_se"] is None


def test_ticker_whose_price_stood_still_in_train_has_no_scale():
    actual, forecast, naive, scale = rows(4)
    wanted = figures(actual[:2], forecast[:2], naive[:2], scale[:2])["mase"]
    scale[2:] = 0.0
    assert figures(actual, forecast, naive, scale)["mase"] == pytest.approx(wanted)


def test_constant_price_has_no_ratio():
    flat = np.full(10, 5.0)
    found = figures(flat, flat, flat, np.zeros(10))
    assert found["rmse"] == found["naive_rmse"] == found["mape"] == 0
    for name in ("theil_u", "r2_oos", "r2_oos_se", "move_ratio", "direction", "direction_se", "mase"):
        assert found[name] is None, name


def test_price_of_zero_has_no_percentage():
    found = figures(np.array([0.0, 1.0]), np.array([1.0, 1.0]), np.array([2.0, 2.0]), np.ones(2))
    assert found["mape"] is None
    assert found["naive_mape"] is None
    assert found["mae"] == 0.5


def test_a_price_of_zero_that_was_forecast_has_no_percentage_either():
    assert figures(np.zeros(2), np.zeros(2), np.ones(2), np.ones(2))["mape"] is None


@given(
    st.integers(1, 6).flatmap(
        lambda count: st.tuples(
            *[arrays(np.float64, count, elements=st.floats(allow_nan=False, allow_infinity=False))] * 3
        )
    ),
    st.integers(1, 5),
)
def test_figures_are_finite_or_none(prices, horizon):
    found = figures(*prices, np.full(len(prices[0]), np.nan), horizon=horizon)
    assert all(value is None or math.isfinite(value) for value in found.values())
    assert found["mase"] is None


@pytest.mark.parametrize("name", ["actual", "forecast", "naive", "scale"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_our_bug(name, value):
    columns = dict(zip(("actual", "forecast", "naive", "scale"), rows(4), strict=True))
    columns[name][2] = value
    tally = Tally(horizon=1)
    if name == "scale" and math.isnan(value):
        tally.add(**columns)  # a ticker without train rows
        assert tally.result("test")["test_mase"] is not None
        return
    with pytest.raises(ValueError, match=re.escape(f"{name} is {value} in row 2 (1 such rows)")):
        tally.add(**columns)
    assert tally.result("test")["test_rows"] == 0


def test_columns_of_other_shapes_or_types_are_refused():
    actual, forecast, naive, scale = rows(4)
    tally = Tally(horizon=1)
    with pytest.raises(ValueError, match=r"forecast has shape \(3,\); actual has \(4,\)"):
        tally.add(actual, forecast[:3], naive, scale)
    with pytest.raises(ValueError, match=r"forecast has shape \(4, 1\)"):
        tally.add(actual, forecast[:, None], naive, scale)
    with pytest.raises(ValueError, match="naive is float32, not float64"):
        tally.add(actual, forecast, naive.astype(np.float32), scale)
    with pytest.raises(ValueError, match="horizon=0 is below 1"):
        Tally(horizon=0)


def test_table_gives_what_the_tally_gives(walk):
    table = walk(tickers=("AAPL", "IBM"), horizon=3)
    found = from_table(table)
    assert set(found) == {f"{split}_{name}" for split in ("val", "test") for name in FIGURES}
    test = table[table["split"] == "test"]
    scale = np.empty(len(test))
    for ticker in ("AAPL", "IBM"):
        train = table[(table["ticker"] == ticker) & (table["split"] == "train") & (table["step"] == 1)]
        scale[test["ticker"] == ticker] = np.mean(np.abs(train["actual"] - train["naive"]))
    wanted = figures(*(test[name].to_numpy() for name in ("actual", "forecast", "naive")), scale, horizon=3)
    got = {name: found[f"test_{name}"] for name in FIGURES}
    # a difference of two sums: a digit or two go
    assert got.pop("move_sd") == pytest.approx(wanted.pop("move_sd"), rel=1e-9)
    assert got == pytest.approx(wanted, rel=1e-13, abs=0)


def test_table_of_a_ticker_without_train_rows_scales_by_the_others(walk):
    table = walk(tickers=("AAPL", "NEW"))
    late = table[(table["ticker"] != "NEW") | (table["split"] != "train")]
    alone = from_table(table[table["ticker"] == "AAPL"])
    assert from_table(late)["test_mase"] == pytest.approx(alone["test_mase"])
    assert from_table(late)["test_rows"] == 2 * alone["test_rows"]


def test_table_of_categories_is_as_good(walk):
    table = walk(tickers=("AAPL", "IBM"))
    assert from_table(table.astype({"ticker": "category", "split": "category"})) == from_table(table)


def test_table_without_rows_gives_none(walk):
    found = from_table(walk().iloc[:0])
    assert found.pop("val_rows") == found.pop("test_rows") == 0
    assert set(found.values()) == {None}


def test_table_without_a_column_is_refused(walk):
    with pytest.raises(ValueError, match=r"^forecast table without column step, naive$"):
        from_table(walk().drop(columns=["step", "naive"]))


def test_moves_forecast_have_their_mean_and_spread():
    naive = np.array([100.0, 50.0, 200.0])
    forecast = naive * (1 + np.array([0.01, 0.02, -0.03]))
    tally = Tally(horizon=1)
    tally.add(naive + 1, forecast, naive, np.ones(3))
    found = tally.result("test")
    assert found["test_move_mean"] == pytest.approx(0.0, abs=1e-15)
    assert found["test_move_sd"] == pytest.approx(np.std([0.01, 0.02, -0.03]))
