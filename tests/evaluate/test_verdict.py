"""The verdict's words, exactly."""

import math
from dataclasses import replace

import numpy as np
import pytest
from evaluations import evaluation
from tables import table

from forecast.evaluate import Metrics, Verdict, from_table

PLAIN = {
    "val_rmse": 1.25, "val_mae": 1.1, "val_mape": 1.3, "val_mase": 1.01, "val_theil_u": 0.9984,
    "val_direction": 0.512, "val_direction_se": 0.023, "val_r2_oos": 0.0032, "val_r2_oos_se": 0.006,
    "val_naive_rmse": 1.252, "val_naive_mae": 1.11, "val_naive_mape": 1.31, "val_move_ratio": 0.15,
    "test_rmse": 2.004, "test_mae": 1.5, "test_mape": 1.222, "test_mase": 1.5, "test_theil_u": 1.002,
    "test_direction": 0.49, "test_direction_se": 0.0229, "test_r2_oos": -0.004, "test_r2_oos_se": 0.005,
    "test_naive_rmse": 2.0, "test_naive_mae": 1.49, "test_naive_mape": 1.21, "test_move_ratio": 0.2,
    "val_rows": 475, "test_rows": 1476,
}  # fmt: skip


def verdict(tickers=("AAPL",), horizon=1, **changes):
    metrics = PLAIN | changes
    return Verdict(metrics=metrics, tickers=tickers, strategy="range_single", horizon=horizon)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({}, "does not beat tomorrow = today on test: RMSE ratio 1.002", id="worse"),
        pytest.param(
            {"test_theil_u": 1.0, "test_r2_oos": 0.0},
            "does not beat tomorrow = today on test: RMSE ratio 1.000",
            id="the same",
        ),
        pytest.param(
            {"test_theil_u": 1.00004},
            "does not beat tomorrow = today on test: RMSE ratio 1.00004",
            id="worse by a hair",
        ),
        pytest.param(
            {"test_theil_u": 0.994, "test_r2_oos": 0.012, "test_r2_oos_se": 0.004},
            "beats tomorrow = today on test: RMSE ratio 0.994, standard error 0.002",
            id="better",
        ),
        pytest.param(
            {"test_theil_u": 0.994, "test_r2_oos": 0.012, "test_r2_oos_se": 0.008},
            "does not clearly beat tomorrow = today on test: RMSE ratio 0.994, standard error 0.004, "
            "within noise",
            id="better within noise",
        ),
        pytest.param(
            {"test_theil_u": 0.99993, "test_r2_oos": 0.00014, "test_r2_oos_se": 0.0004},
            "does not clearly beat tomorrow = today on test: RMSE ratio 0.9999, standard error 0.0002, "
            "within noise",
            id="better by a hair",
        ),
        pytest.param(
            {"test_theil_u": 0.9, "test_r2_oos_se": None},
            "does not clearly beat tomorrow = today on test: RMSE ratio 0.900, standard error unknown",
            id="one row",
        ),
        pytest.param(
            {"test_theil_u": 0.0, "test_r2_oos": 1.0, "test_r2_oos_se": 0.05},
            "beats tomorrow = today on test: RMSE ratio 0.000, standard error 0.050",
            id="perfect",
        ),
        pytest.param(
            {"test_theil_u": None, "test_r2_oos": None, "test_naive_rmse": 0.0},
            "does not beat tomorrow = today on test: the price never moved, "
            "so tomorrow = today is never wrong",
            id="constant price",
        ),
        pytest.param(
            {name: None for name in PLAIN if name.startswith("test_")} | {"test_rows": 0},
            "no verdict: the test split has no rows",
            id="empty test split",
        ),
        pytest.param(
            {"test_theil_u": None, "test_rmse": None},
            "no verdict: the RMSE ratio to tomorrow = today on test is undefined",
            id="overflow",
        ),
    ],
)
def test_sentence(changes, sentence):
    assert verdict(**changes).sentence == sentence


def test_tickers_of_one_day_are_no_separate_evidence():
    better = {"test_theil_u": 0.994, "test_r2_oos": 0.012, "test_r2_oos_se": 0.004}
    assert verdict(**better).sentence.startswith("beats")
    nine = verdict(tickers=[f"T{n}" for n in range(9)], **better)
    assert nine.sentence.startswith("does not clearly beat")
    assert "standard error 0.006" in nine.sentence
    assert "49.0 +/- 6.9" in nine.table
    ended = replace(
        nine, evaluation={"target": {"tickers_together": {"test": 1.0}}}
    )  # eight of them, before the test
    assert ended.sentence.startswith("beats")
    assert "49.0 +/- 2.3" in ended.table


def test_table():
    assert verdict().table.splitlines() == [
        "              RMSE    MAE  MAPE %   MASE  ratio  skill %   direction %   R2 %",
        "val   model  1.250  1.100   1.300  1.010  0.998    +0.16  51.2 +/- 2.3  +0.32",
        "      naive  1.252  1.110   1.310",
        "test  model  2.004  1.500   1.222  1.500  1.002    -0.20  49.0 +/- 2.3  -0.40",
        "      naive  2.000  1.490   1.210",
    ]


def test_table_of_nothing_is_dashes():
    empty = Verdict(metrics={}, tickers=["AAPL"], strategy="range_single", horizon=1)
    assert empty.table.splitlines() == [
        "             RMSE  MAE  MAPE %  MASE  ratio  skill %  direction %  R2 %",
        "val   model     -    -       -     -      -        -            -     -",
        "      naive     -    -       -",
        "test  model     -    -       -     -      -        -            -     -",
        "      naive     -    -       -",
    ]
    assert empty.sentence == "no verdict: the test split has no rows"
    assert empty.warnings == []


@pytest.mark.parametrize(
    ("size", "model", "naive"),
    [
        pytest.param(1.0, "2.004", "2.000", id="dollars"),
        pytest.param(1e6, "2004000.00", "2000000.00", id="dear"),
        pytest.param(1e-4, "0.0002004", "0.0002000", id="pence"),
        pytest.param(1e-9, "2.004e-09", "2.000e-09", id="tiny"),
        pytest.param(1e12, "2.004e+12", "2.000e+12", id="diverged"),
    ],
)
def test_prices_of_a_column_show_where_they_differ(size, model, naive):
    changes = {
        name: PLAIN[name] * size for name in ("val_rmse", "val_naive_rmse", "test_rmse", "test_naive_rmse")
    }
    lines = verdict(**changes).table.splitlines()
    assert lines[3].split()[2] == model
    assert lines[4].split()[1] == naive


def test_table_is_ascii_and_aligned():
    lines = verdict(test_rmse=123456.789).table.splitlines()
    assert all(line.isascii() for line in lines)
    assert len({len(line) for line in lines if "naive" not in line}) == 1


def test_an_ordinary_run_is_not_suspected():
    assert verdict().warnings == []


CHECK = (
    " is more than daily prices allow; check that no feature knows the day being forecast, that scalers are "
    "fitted on train only, that no bars are stale"
)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        pytest.param({"test_r2_oos": 0.051}, "test R2 5.1 % (ceiling 2 %)", id="R2 of test"),
        pytest.param({"val_r2_oos": 0.021}, "val R2 2.1 % (ceiling 2 %)", id="R2 of val"),
        pytest.param(
            {"test_direction": 0.62, "test_direction_se": 0.02},
            "test direction 62.0 +/- 2.0 % (ceiling 57 %)",
            id="direction",
        ),
        pytest.param(
            {"test_r2_oos": 0.5, "val_direction": 1.0, "val_direction_se": 0.0},
            "val direction 100.0 +/- 0.0 % (ceiling 57 %), test R2 50.0 % (ceiling 2 %)",
            id="both",
        ),
    ],
)
def test_leak(changes, found):
    assert verdict(**changes).warnings == [f"suspect a leak: {found}{CHECK}"]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"test_r2_oos": 0.02}, id="R2 at the ceiling"),
        pytest.param({"test_r2_oos": 0.03, "test_r2_oos_se": 0.02}, id="R2 within noise"),
        pytest.param({"test_direction": 0.60, "test_direction_se": 0.02}, id="direction within two errors"),
        pytest.param(
            {"test_direction": 1.0, "test_direction_se": 0.0, "test_rows": 3},
            id="three days right, error 0 or not",
        ),
    ],
)
def test_no_leak(changes):
    assert verdict(**changes).warnings == []


def test_copy_of_the_last_price():
    assert verdict(test_move_ratio=0.1).warnings == []
    assert verdict(test_move_ratio=0.032).warnings == [
        "near copy of the last price (lag 1): on test the forecast moves 3.2 % as far as the market, so on a "
        "chart it looks right and comes one step late"
    ]
    assert verdict(test_move_ratio=0.0).warnings == [
        "the forecast is identical to tomorrow = today on test: the model adds nothing to the last price"
    ]


def test_copy_is_judged_on_val_where_test_is_empty():
    empty = {name: None for name in PLAIN if name.startswith("test_")} | {
        "test_rows": 0,
        "val_move_ratio": 0.0,
    }
    assert "identical to tomorrow = today on val" in verdict(**empty).warnings[0]


def test_trailing():
    trailing = {"test_theil_u": 1.41, "test_move_ratio": 1.0, "test_r2_oos": -0.99}
    assert verdict(**trailing).warnings == [
        "trails the price: on test the forecast is closer to the last known price than to the one it "
        "forecasts (1.00 against 1.41 times the market's usual move) and errs 41 % more than "
        "tomorrow = today, as models of raw levels do (data.anchor=none)"
    ]
    assert verdict(**trailing | {"test_theil_u": 1.04, "test_move_ratio": 0.5}).warnings == []
    assert verdict(**trailing | {"test_move_ratio": 1.5}).warnings == []


def test_subject():
    assert verdict().subject == "AAPL, range_single, 1 day ahead; rows: 475 val, 1,476 test"
    many = verdict(tickers=[f"T{n}" for n in range(1205)], horizon=5)
    assert many.subject.startswith("T0, T1, T2, T3, T4 and 1,200 more, range_single, 1 to 5 days ahead;")


def test_legend_says_what_applies():
    assert not any("overlap" in line or "dear" in line for line in verdict().legend)
    assert any("overlap" in line for line in verdict(horizon=5).legend)
    assert any("dear" in line for line in verdict(tickers=["A", "B"]).legend)
    assert (
        verdict().legend[0] == 'naive: "tomorrow = today", the next day is forecast as the last known price'
    )


def test_text_holds_all_of_it_within_a_terminal():
    found = verdict(test_r2_oos=0.4, test_move_ratio=0.0)
    text = found.text
    assert max(map(len, text.splitlines())) <= 100
    flowing = " ".join(text.split())
    for part in (found.subject, *found.legend, f"Verdict: {found.sentence}", *found.warnings):
        assert " ".join(part.split()) in flowing
    assert found.table in text
    assert len(found.warnings) == 2


@pytest.mark.parametrize(
    ("made", "sentence", "warning"),
    [
        pytest.param({"noise": 0.2, "knows": 0.0}, "does not beat", None, id="noise"),
        pytest.param({"noise": 0.0, "knows": 0.5}, "beats", "suspect a leak", id="leak"),
        pytest.param({"noise": 0.01}, "does not", "near copy of the last price (lag 1)", id="copy"),
        pytest.param({"noise": 0.0}, "does not beat", "the forecast is identical", id="identical"),
        pytest.param({"noise": 0.0, "lag": 2}, "does not beat", "trails the price", id="late"),
    ],
)
def test_verdict_on_real_tables(walk, made, sentence, warning):
    table = walk(**made, days=2000)
    found = Verdict(metrics=from_table(table), tickers=["AAPL"], strategy="range_single", horizon=1)
    assert found.sentence.startswith(sentence)
    assert [text[: len(warning or "")] for text in found.warnings] == ([] if warning is None else [warning])


def test_noise_seldom_beats_naive():
    """A forecast that knows nothing is said to beat naive no oftener than two standard errors allow."""
    beaten, days, naive = 0, np.arange(400), np.full(400, 100.0)
    for seed in range(300):
        rng = np.random.default_rng(seed)
        actual = naive + rng.standard_t(5, size=400)
        forecast = naive + 0.02 * rng.standard_normal(400)
        when = {"origin": days, "time": days + 1, "step": 0 * days + 1}
        rows = table(series=0 * days, **when, actual=actual, forecast=forecast, naive=naive)
        found = Verdict(metrics=Metrics().of(rows), tickers=["A"], strategy="s", horizon=1)
        beaten += found.sentence.startswith("beats")
    assert beaten <= 300 * 0.023 + 3 * math.sqrt(300 * 0.023)


def test_the_same_move_every_day_is_said():
    steady = {"test_move_mean": 0.00126, "test_move_sd": 0.00001}
    (found,) = verdict(**steady).warnings
    assert found.startswith(
        "hardly looks at the window: on test it forecasts about the same move every day (+0.13 %"
    )
    assert verdict(**steady | {"test_move_sd": 0.001}).warnings == []
    assert verdict(**steady | {"test_move_mean": 0.0, "test_move_sd": 0.0}).warnings == []


BETTER = {"test_theil_u": 0.994, "test_r2_oos": 0.012, "test_r2_oos_se": 0.004}


def judged(records, **changes):
    metrics = PLAIN | changes
    return Verdict(metrics=metrics, tickers=["AAPL"], strategy="range_single", horizon=1, evaluation=records)


@pytest.mark.parametrize(
    ("ratio", "test", "sentence"),
    [
        pytest.param(
            0.994,
            {"p": 0.012, "stat": 2.5},
            "beats tomorrow = today on test: RMSE ratio 0.994, Diebold-Mariano p = 0.012",
            id="significant",
        ),
        pytest.param(
            0.994,
            {"p": 0.05, "stat": 1.96},
            "does not clearly beat tomorrow = today on test: RMSE ratio 0.994, Diebold-Mariano p = 0.05, within noise",
            id="just not",
        ),
        pytest.param(
            0.994,
            {"p": 0.001, "stat": -3.3},
            "does not clearly beat tomorrow = today on test: RMSE ratio 0.994, Diebold-Mariano p = 0.001 the other "
            "way, in shares of the last price",
            id="the test says worse",
        ),
        pytest.param(
            1.002,
            {"p": 0.001, "stat": 3.3},
            "does not beat tomorrow = today on test: RMSE ratio 1.002",
            id="the ratio says worse",
        ),
        pytest.param(
            0.994,
            {"p": None, "stat": None},
            "beats tomorrow = today on test: RMSE ratio 0.994, standard error 0.002",
            id="undefined test",
        ),
    ],
)
def test_sentence_follows_the_test(ratio, test, sentence):
    records = {"significance": {"alpha": 0.05, "against": {"naive": {"squared": {"overall": test}}}}}
    assert judged(records, **BETTER | {"test_theil_u": ratio}).sentence == sentence


def test_level_of_the_test_is_the_record_s():
    overall = {"p": 0.04, "stat": 2.1}
    records = {"significance": {"alpha": 0.01, "against": {"naive": {"squared": {"overall": overall}}}}}
    assert judged(records, **BETTER).sentence.startswith("does not clearly beat")


def test_best_baseline_is_a_row():
    lines = judged(evaluation()).table.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["val", "naive", "drift", "test", "naive", "drift"]
    assert lines[6].split() == [
        "drift",
        "1.998",
        "1.499",
        "-",
        "-",
        "0.999",
        "+0.09",
        "50.3",
        "+/-",
        "2.0",
        "-",
    ]
    assert "drift: the best baseline, chosen by val_theil_u" in judged(evaluation()).legend
    assert max(map(len, judged(evaluation()).text.splitlines())) <= 100


def test_naive_as_the_best_baseline_is_no_row():
    records = evaluation()
    records["baselines"]["best"] = "naive"
    assert judged(records).table == verdict().table
    assert judged(records).legend == verdict().legend


def test_findings():
    assert judged(evaluation(folds=3)).findings == [
        "Diebold-Mariano against naive: p = 0.21, the difference may be chance",
        "90 % intervals held 89.1 % of test outcomes (around tomorrow = today: 90.2 %); Winkler score 1.250 times "
        "that of tomorrow = today",
        "baselines left out: auto_arima; the report has the reasons",
        "3 folds: RMSE ratio 0.996 to 1.004, mean 1.001, standard deviation 0.0046; below 1 in 1 of 3",
    ]
    others = evaluation(folds=3) | {"target": {"name": "volatility", "loss": "qlike"}}
    others["folds"] = [{"ratios": {"test": ratio}} for ratio in (0.9, 0.8)]
    assert (
        "2 folds: QLIKE ratio 0.800 to 0.900, mean 0.850, standard deviation 0.071; below 1 in 2 of 2"
        in judged(others).findings
    )
    text = " ".join(judged(evaluation(folds=3)).text.split())
    for finding in judged(evaluation(folds=3)).findings:
        assert finding in text


def test_without_records_nothing_is_added():
    assert verdict().findings == []
    assert judged({}).text == verdict().text


def test_information_coefficient_above_the_ceiling_is_suspected():
    high = {"test_ic": 0.2, "test_ic_se": 0.01, "test_rank_ic": 0.05, "test_rank_ic_se": 0.01}
    (warning,) = judged(evaluation(), **high).warnings
    assert warning == f"suspect a leak: test IC 0.200 +/- 0.010 (ceiling 0.10){CHECK}"
    assert judged(evaluation(), **high | {"test_ic_se": 0.06}).warnings == []


def compared(
    *, loss="qlike", name="volatility", unit="percent a year", ratio=0.95, p=0.01, stat=2.0, naive_ratio=0.8,
    origins=0, lags=0,
):  # fmt: skip
    """Records of a target that is compared in a loss of its own, beside `har`."""
    test = {"overall": {"stat": stat, "p": p, "why": None}}
    easy = {"overall": {"stat": 6.0, "p": 1e-6, "why": None, "origins": origins, "lags": lags}}
    errors = {"model": 0.38, "har": 0.38 / ratio, "naive": 0.38 / naive_ratio}
    figures = {"test": {"qlike": 0.4, "rmse": 10.0}}
    return {
        "target": {"name": name, "unit": unit, "naive": "tomorrow = today", "loss": loss,
                   "errors": {"val": errors, "test": errors}, "suspect_above": {}, "suspect_below": {"har": 0.9}},
        "baselines": {"best": "har", "selected_on": "val_qlike", "figures": {"har": figures, "naive": figures}},
        "significance": {"alpha": 0.05, "against": {"har": {loss: test}, "naive": {loss: easy}}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "begins", "beats"),
    [
        pytest.param({}, "beats har, the best baseline by validation, on test: QLIKE ratio 0.950", 1.0, id="better"),
        pytest.param({"p": 0.3}, "does not clearly beat har", 0.0, id="within noise"),
        pytest.param({"stat": -2.0}, "does not clearly beat har", 0.0, id="the other way"),
        pytest.param({"ratio": 1.01}, "does not beat har", 0.0, id="worse"),
        pytest.param({"p": None}, "does not clearly beat har", None, id="untested"),
        pytest.param({"naive_ratio": 1.2}, "does not beat tomorrow = today on test: QLIKE ratio 1.200", 1.0, id="worse than naive"),
    ],
)  # fmt: skip
def test_the_best_baseline_by_validation_is_the_bar(changes, begins, beats):
    from forecast.evaluate.findings import beats_best

    records = compared(**changes)
    one = Verdict(metrics=PLAIN, tickers=["AAPL"], strategy="range_single", horizon=1, evaluation=records)
    assert one.sentence.startswith(begins)
    assert beats_best(records) == beats
    assert "best baseline by validation" in one.sentence
    assert "percent a year" in one.text
    assert "QLIKE of model / QLIKE of naive" in one.text


def test_a_target_of_ones_own_in_prices_has_the_table_of_prices():
    records = compared(loss="squared", name="next_high", unit="price")
    assert replace(verdict(), evaluation=records).cells[0] == verdict().cells[0]


def test_an_error_far_below_the_best_baseline_is_suspected_and_a_price_limit_does_not_apply():
    def warned(rows=1476, **changes):
        above = {"test_r2_oos": 0.4, "test_r2_oos_se": 0.01, "test_direction": 0.68}
        metrics = PLAIN | above | {"test_rows": rows}
        records = compared(**changes)
        return Verdict(
            metrics=metrics, tickers=["AAPL"], strategy="range_single", horizon=1, evaluation=records
        ).warnings

    assert warned() == []
    assert warned(ratio=0.85, p=0.2) == []
    assert warned(ratio=0.85, p=None, rows=15) == []  # a handful of rows, and no test beside this baseline
    assert warned(ratio=0.85, p=None)
    (warning,) = warned(ratio=0.85)
    assert "test QLIKE 0.850 times that of har (no less than 0.9)" in warning


def test_a_verdict_of_nothing_says_what_it_could_have_seen():
    keys = {"name": "close", "unit": "price", "loss": "squared", "ratio": 1.001, "naive_ratio": 1.001}
    found = judged(compared(origins=3140, **keys), test_rows=3140, test_theil_u=1.001)
    # 2.8 = 1.96 + 0.84 standard errors of 2 sqrt(R2 / n) each: R2 = 4 * 2.8^2 / 3140 = 1 %
    gain = "of 3,140 test days a gain of 1.0 % in squared error on the best baseline (ratio 0.995)"
    assert gain in found.findings[-1]
    few = judged(compared(origins=20, **keys), test_rows=20, test_theil_u=1.001)
    assert few.findings[-1] == "20 test rows are too few to tell any gain from chance"
    # A variance is compared in logs, and weeks that overlap count as one.
    weeks = judged(compared(ratio=1.01, origins=15700, lags=4), test_rows=31400).findings[-1]
    assert "of 3,140 test days that do not overlap a gain of 1.0 % in squared error of logs" in weeks


def test_a_target_that_never_changes_is_forecast_without_fault_by_naive():
    records = compared(loss="log", name="volume", origins=100)
    records["target"]["errors"]["test"] = dict.fromkeys(("model", "har", "naive"), 0.0)
    found = judged(records)
    assert found.sentence.endswith("does not beat tomorrow = today on test: it is never wrong")
    assert not [line for line in found.findings if "could have seen" in line]


def test_what_a_forecast_of_past_prices_reaches_is_no_leak():
    records = compared(ratio=0.85)
    assert any("suspect a leak" in line for line in judged(records).warnings)
    records["target"]["errors"]["test"]["gjr"] = 0.39
    assert judged(records).warnings == []
    records["target"]["errors"]["test"]["trees"] = records["target"]["errors"]["test"].pop("gjr")
    assert any("suspect a leak" in line for line in judged(records).warnings)
