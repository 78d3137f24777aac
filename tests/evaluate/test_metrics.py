"""Figures against sklearn, exact sums and plain numpy."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from forecast.errors import UserError
from forecast.evaluate import ForecastTable, Metrics, from_table, metric
from forecast.evaluate.table import GivenKeys

FIGURES = {
    "rmse", "mae", "mape", "mase", "theil_u", "direction", "direction_se", "r2_oos", "r2_oos_se",
    "naive_rmse", "naive_mae", "naive_mape", "move_ratio", "move_mean", "move_sd", "rows", "theil_u_by_ticker",
}  # fmt: skip


def rows(count, *, seed=0, level=100.0, move=1.0):
    rng = np.random.default_rng(seed)
    naive = level * (1 + 0.1 * rng.random(count))
    actual = naive + move * rng.standard_normal(count)
    forecast = naive + 0.2 * move * rng.standard_normal(count)
    return actual, forecast, naive, np.full(count, 0.7 * move)


def columns(actual, forecast, naive, scale, *, horizon=1, series=None):
    """A table of one ticker, or of a ticker a scale."""
    count = len(actual)
    scales, owner = np.unique(scale, return_inverse=True)
    owner = owner if series is None else series
    steps = 1 + np.arange(count) % horizon
    place = np.arange(count)
    return ForecastTable(
        names=[f"T{number}" for number in range(int(owner.max(initial=0)) + 1)],
        horizon=horizon,
        split="test",
        keys=GivenKeys(owner, place, place + steps, steps, actual, naive),
        forecast=forecast,
        scale=scales if series is None else np.full(int(owner.max()) + 1, np.nan),
    )


def figures(*given, horizon=1):
    return Metrics().figures(columns(*given, horizon=horizon))


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
    assert set(Metrics().package) == set(FIGURES)


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
        pytest.param(11.0, 10.0, None, id="no move forecast anywhere"),
        pytest.param(10.0, 10.0, None, id="flat day is left out"),
    ],
)
def test_direction(actual, forecast, share):
    found = figures(np.array([actual]), np.array([forecast]), np.array([10.0]), np.array([1.0]))
    assert found["direction"] == share


def test_no_move_forecast_is_wrong_beside_one_that_is_right():
    naive, last = np.array([10.0, 10.0]), np.array([1.0, 1.0])
    assert figures(np.array([11.0, 11.0]), np.array([10.0, 11.0]), naive, last)["direction"] == 0.5


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


def test_blocks_of_series_do_not_matter(monkeypatch):
    given = rows(10_000, level=1e6, move=1e-4)
    table = columns(*given, series=np.repeat(np.arange(20), 500))
    whole = Metrics().figures(table)
    monkeypatch.setattr(
        ForecastTable,
        "blocks",
        lambda self: (self.take(slice(start, start + 1500)) for start in range(0, len(self), 1500)),
    )
    assert Metrics().figures(table) == {
        name: value if value is None else pytest.approx(value, rel=1e-12, abs=0)
        for name, value in whole.items()
    }


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


def test_a_frame_gives_what_its_columns_give(walk):
    table = walk(tickers=("AAPL", "IBM"), horizon=3)
    found = from_table(table)
    assert set(found) == {f"{split}_{name}" for split in ("val", "test") for name in FIGURES}
    test = table[table["split"] == "test"]
    scale = np.empty(len(test))
    for ticker in ("AAPL", "IBM"):
        train = table[(table["ticker"] == ticker) & (table["split"] == "train") & (table["step"] == 1)]
        scale[test["ticker"] == ticker] = np.mean(np.abs(train["actual"] - train["naive"]))
    wanted = figures(*(test[name].to_numpy() for name in ("actual", "forecast", "naive")), scale, horizon=3)
    wanted["theil_u_by_ticker"] = found["test_theil_u_by_ticker"]  # has a test of its own
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
    found = figures(naive + 1, forecast, naive, np.ones(3))
    assert found["move_mean"] == pytest.approx(0.0, abs=1e-15)
    assert found["move_sd"] == pytest.approx(np.std([0.01, 0.02, -0.03]))


def test_a_value_that_is_no_number_is_refused(walk):
    table = walk()
    table.loc[table.index[-1], "forecast"] = np.inf
    with pytest.raises(ValueError, match="forecast is inf in 1 rows of test"):
        from_table(table)


def test_the_dearest_share_rules_theil_u_and_not_its_ticker_mean():
    rng = np.random.default_rng(0)
    cheap, dear = rng.standard_normal((2, 300))
    naive = np.concatenate([np.full(300, 1.0), np.full(300, 1000.0)])
    moves = np.concatenate([0.01 * cheap, 10 * dear])
    # Nothing known of the dear share; of the cheap one half of each move.
    forecast = naive + np.concatenate([0.005 * cheap, 0 * dear])
    series = np.repeat([0, 1], 300)
    found = Metrics().figures(columns(naive + moves, forecast, naive, np.ones(600), series=series))
    assert found["theil_u"] == pytest.approx(1, abs=1e-6)
    assert found["theil_u_by_ticker"] == pytest.approx(math.sqrt((0.25 + 1) / 2), rel=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e5])
def test_the_default_objective_has_no_unit_and_of_one_ticker_is_theil_u(scale):
    from composed import compose

    assert compose().objective == {"metric": "val_theil_u_by_ticker", "mode": "min"}
    actual, forecast, naive, _ = rows(200)
    found = figures(scale * actual, scale * forecast, scale * naive, np.ones(200))
    assert found["theil_u_by_ticker"] == pytest.approx(found["theil_u"], rel=1e-12)
    assert found["theil_u_by_ticker"] == pytest.approx(
        figures(actual, forecast, naive, np.ones(200))["theil_u"]
    )


@pytest.mark.parametrize(
    ("name", "mode", "message"),
    [
        ("val_r2_oos", "min", "objective.mode=min: val_r2_oos is better when larger; use objective.mode=max"),
        ("val_rmse", "max", "objective.mode=max: val_rmse is better when smaller; use objective.mode=min"),
        ("val_loss", "max", "objective.mode=max: val_loss is better when smaller; use objective.mode=min"),
        ("val_worst", "max", "objective.mode=max: val_worst is better when smaller; use objective.mode=min"),
        ("val_rows", "min", "objective.metric=val_rows: is neither better when larger nor when smaller"),
        ("val_rsme", "min", "objective.metric=val_rsme: no epoch reports it; did you mean val_rmse?"),
    ],
)
def test_a_metric_knows_its_direction(name, mode, message):
    with pytest.raises(UserError) as refused:
        Metrics({"worst": worst}).check_objective(name, mode)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["val_theil_u", "val_mase", "val_loss", "train_loss", "val_worst"])
def test_a_right_direction_is_accepted(name):
    Metrics({"worst": worst}).check_objective(name, "min")
    Metrics().check_objective("val_direction", "max")


@metric(mode="min")
def worst(table, power=1.0):
    """A metric of one's own."""
    return float((np.abs(table.actual - table.forecast) ** power).max())


def undirected(table):
    """A metric that does not say which way is better."""
    return float(len(table))


def test_a_metric_of_ones_own_stands_among_the_others():
    from functools import partial

    table = columns(*rows(50))
    found = Metrics({"worst": worst, "worst_squared": partial(worst, power=2.0)}).of(table)
    assert found["test_worst"] == np.abs(table.actual - table.forecast).max()
    assert found["test_worst_squared"] == pytest.approx(found["test_worst"] ** 2)
    assert found["test_rmse"] is not None
    assert (
        Metrics({"worst": lambda _: float("nan")} | {"worst": worst}).of(table.take(slice(0, 0)))[
            "test_worst"
        ]
        is None
    )


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"rmse": worst}, "evaluation.metrics.rmse: must be a lower-case word of its own"),
        ({"My metric": worst}, "evaluation.metrics.My metric: must be a lower-case word of its own"),
        (
            {"mine": 3.0},
            "evaluation.metrics.mine: must be a function of a forecast table; add _partial_: true",
        ),
        ({"mine": undirected}, "evaluation.metrics.mine: does not say in which direction it is better"),
    ],
)
def test_a_metric_that_cannot_be_is_refused(own, message):
    with pytest.raises(UserError) as refused:
        Metrics(own)
    assert str(refused.value).startswith(message)
