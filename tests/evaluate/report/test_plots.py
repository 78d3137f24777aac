"""Descriptions of plots: the right numbers, few enough, and the omissions said."""

import math

import numpy as np
import pandas as pd
import pytest
from pages import show, specs

from forecast.evaluate.report.plot import MAX_POINTS, MAX_TICKERS, Plot, Series, Words, rounded, ticker_plot
from forecast.evaluate.report.run_plots import ROLLING_COVERAGE, forecast_plots, learning_plots

WORDS = Words()


def test_numbers_keep_the_digits_that_show():
    assert rounded([12345.678901, 0.1234567]) == [12345.68, 0.12]
    assert rounded([1.23456789e-7, None, math.nan, math.inf, 0.0]) == [1.234568e-7, None, None, None, 0.0]
    assert rounded(np.array([1e300, 1.0])) == [1e300, 1.0]
    assert rounded([]) == []


def test_no_text_ends_the_data():
    evil = "</script><script>alert(1)</script><!--"
    series = Series(name=evil, kind="line", role="model", values=[1.0, 2.0])
    html = show(Plot(title=evil, names=[evil, "b"], series=[series]))
    assert html.count("<script") == html.count("</script>") == 1
    assert "<!--" not in html
    (spec,) = specs(html).values()
    assert spec["x"]["names"] == [evil, "b"]
    assert spec["series"][0]["name"] == evil


def test_bytes_that_are_no_text_stay_data():
    dots = Series(name="s", kind="dots", role="model", values=[1.0])
    html = show(Plot(title="t", names=["a\udcff"], series=[dots]))
    assert "\\udcff" in html


def test_nothing_to_draw_is_said():
    html = show(Plot(title="t", x=[], series=[]))
    assert "nothing to draw" in html
    assert "chart" not in html


@pytest.mark.parametrize("values", [[], [None, None], [1.0, None]], ids=["none", "unknown", "one"])
def test_a_plot_of_tickers_wants_two(values):
    names = [f"T{n}" for n in range(len(values))]
    assert ticker_plot("t", names, values, y_label="y", level=(0.0, "l")) == []


def test_tickers_stand_by_size_and_the_ends_stay():
    names = [f"T{n}" for n in range(5000)]
    values = [float(n * 7 % 5000) for n in range(5000)]
    (plot,) = ticker_plot("t", names, values, y_label="y", level=(0.0, "l"))
    drawn = plot.spec()
    (series,) = drawn["series"]
    assert len(series["values"]) == len(drawn["notes"]) == MAX_TICKERS
    assert series["values"] == sorted(series["values"])
    assert (series["values"][0], series["values"][-1]) == (0.0, 4999.0)
    assert [values[names.index(name)] for name in drawn["notes"]] == series["values"]


def page_plots(frame, levels=(0.9, 0.5)):
    return {
        plot.title.split(": ", 1)[1]: plot for plot in forecast_plots(frame, levels=list(levels), words=WORDS)
    }


def series(plot, name):
    (found,) = [one for one in plot.series if one.name == name]
    return found


def test_forecast_shows_each_test_day_with_its_intervals(table):
    frame = table(days=400)
    test = frame[frame["split"] == "test"]
    plot = page_plots(frame)["forecast and actual on test"]
    assert [one.name for one in plot.series] == [
        "90 % interval",
        "50 % interval",
        "actual",
        "tomorrow = today",
        "model",
    ]
    days = pd.to_datetime(np.asarray(plot.x), unit="D", origin="unix")
    assert list(days) == list(test["date"])
    for name, column in (("actual", "actual"), ("model", "forecast"), ("tomorrow = today", "naive")):
        np.testing.assert_array_equal(series(plot, name).values, test[column])
    np.testing.assert_array_equal(series(plot, "50 % interval").upper, test["upper_50"])
    assert plot.note == ""


def test_days_beyond_what_can_be_seen_are_left_out_and_it_is_said(table):
    frame = table(days=20_000)
    count = int((frame["split"] == "test").sum())
    plots = page_plots(frame)
    plot = plots["forecast and actual on test"]
    assert len(plot.x) == MAX_POINTS < count
    assert pd.Timestamp(plot.x[-1], unit="D") == frame["date"].max()
    assert plot.note == f"The newest {MAX_POINTS:,} of {count:,} test days."
    for plot in plots.values():
        assert all(len(one.values) <= MAX_POINTS + 10 for one in plot.series if one.values is not None)


def test_rolling_rmse_and_what_is_saved(table):
    frame = table(days=400, knows=0.5, noise=0.0)
    test = frame[frame["split"] == "test"]
    plots = page_plots(frame)
    (title,) = [title for title in plots if title.startswith("RMSE of the last")]
    window = min(60, len(test))
    error = (test["actual"] - test["forecast"]) ** 2
    np.testing.assert_allclose(
        series(plots[title], "model").values, np.sqrt(error.rolling(window).mean()), rtol=1e-9
    )
    (title,) = [title for title in plots if title.startswith("squared errors saved")]
    gain = ((test["actual"] - test["naive"]) ** 2 - error).cumsum()
    np.testing.assert_allclose(plots[title].series[0].values, gain, rtol=1e-9)
    assert gain.iloc[-1] > 0


def test_share_held(table):
    frame = table(days=2000)
    test = frame[frame["split"] == "test"]
    plot = page_plots(frame)[f"share of the last {ROLLING_COVERAGE} days inside the interval"]
    inside = ((test["lower"] <= test["actual"]) & (test["actual"] <= test["upper"])).astype(float)
    np.testing.assert_allclose(plot.series[0].values, 100 * inside.rolling(ROLLING_COVERAGE).mean())
    assert plot.levels[0][0] == 90


def test_errors_are_counted_and_those_outside_are_said(table):
    frame = table(days=3000)
    test = frame[frame["split"] == "test"]
    plot = page_plots(frame)["errors on test"]
    inside = sum(series(plot, "model").values)
    outside = int(plot.note.split()[0].replace(",", "")) if plot.note else 0
    assert inside + outside == len(test)
    assert outside < 0.01 * len(test)


def test_moves_in_percent_with_means_of_groups(table):
    frame = table(days=1500, knows=0.3)
    test = frame[frame["split"] == "test"]
    plot = page_plots(frame)["the moves forecast against the realised returns"]
    x, days = np.asarray(plot.x), np.asarray(series(plot, "a day").values)
    assert (np.diff(x) >= 0).all()
    there = ~np.isnan(days)
    assert there.sum() == len(test)
    assert {note for note, known in zip(plot.notes, there, strict=True) if known} == set(
        test["date"].dt.strftime("%Y-%m-%d")
    )
    means = np.asarray(plot.series[1].values)[~there]
    assert len(means) == 10
    assert means[-1] > means[0]  # the forecast knows something
    groups = np.array_split(100 * (test["actual"] / test["naive"] - 1).to_numpy()[np.argsort((test["forecast"] / test["naive"]).to_numpy(), kind="stable")], 10)  # fmt: skip
    np.testing.assert_allclose(means, [group.mean() for group in groups])


def test_folds_are_marked(table):
    frame = table(days=600, folds=3)
    (plot,) = [
        plot
        for plot in forecast_plots(frame, levels=[0.9], words=WORDS)
        if "forecast and actual" in plot.title
    ]
    assert [text for _, text in plot.marks] == ["fold 0", "fold 1", "fold 2"]
    test = frame[frame["split"] == "test"]
    first = test.groupby("fold")["date"].min()
    assert [pd.Timestamp(day, unit="D") for day, _ in plot.marks] == list(first)


def test_steps(table):
    frame = table(days=400, horizon=3)
    test = frame[frame["split"] == "test"]
    plots = page_plots(frame)
    assert "AAPL, step 1 of 3: errors on test" in {
        plot.title for plot in forecast_plots(frame, levels=[0.9], words=WORDS)
    }
    plot = plots["RMSE on test by step"]
    wanted = [
        ((rows["actual"] - rows["forecast"]) ** 2).mean() ** 0.5
        for _, rows in sorted(test.groupby("step"), key=lambda pair: pair[0])
    ]
    np.testing.assert_allclose(series(plot, "model").values, wanted)


@pytest.mark.parametrize("price", [0.0, 5.0], ids=["nothing", "constant"])
def test_prices_that_never_move(table, price):
    frame = table(days=200)
    for column in ("actual", "forecast", "naive", "lower", "upper"):
        frame[column] = price
    html = "".join(show(plot) for plot in forecast_plots(frame, levels=[0.9, 0.5], words=WORDS))
    assert "NaN" not in html
    assert "Infinity" not in html


def test_one_test_day(table):
    frame = table(days=200)
    frame = frame.drop(frame[frame["split"] == "test"].index[1:])
    assert "NaN" not in "".join(show(plot) for plot in forecast_plots(frame, levels=[], words=WORDS))


def test_learning_marks_the_kept_epoch_beside_naive():
    history = [{"epoch": n, "train_loss": 1 / (n + 1), "val_loss": 0.5, "val_rmse": 1.2} for n in range(3)]
    loss, rmse = learning_plots(history, {"best_epoch": 1, "val_naive_rmse": 1.25}, words=WORDS)
    assert loss.marks == rmse.marks == [(1, "epoch 1, kept")]
    assert rmse.levels == [(1.25, "tomorrow = today", "naive")]
    assert not loss.y_log


def test_a_loss_that_spans_much_is_logarithmic():
    history = [{"epoch": n, "train_loss": 10.0**-n, "val_loss": None} for n in range(4)]
    (loss,) = learning_plots(history, {}, words=WORDS)
    assert loss.y_log


def test_a_line_a_fold():
    history = [{"fold": fold, "epoch": n, "val_loss": fold + n} for fold in (0, 1) for n in range(2 + fold)]
    (plot,) = learning_plots(history, {"best_epoch": 1}, words=WORDS)
    assert [one.name for one in plot.series] == ["fold 0", "fold 1"]
    assert [list(one.values) for one in plot.series] == [[0, 1, None], [1, 2, 3]]


def test_nothing_was_trained():
    assert learning_plots([], {}, words=WORDS) == []
