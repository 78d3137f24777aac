"""Plots are drawn of whatever a run left, without a warning (pytest makes them errors)."""

import sys

import numpy as np
import pytest

from forecast.evaluate import from_table
from forecast.evaluate.report import write_plots
from forecast.evaluate.report.pictures import pictures
from forecast.evaluate.report.plot import MAX_POINTS, Picture, Plot, Series, Words
from forecast.evaluate.report.png import figure, png

NAMES = ["learning_curves.png", "forecast_test.png", "errors.png", "moves.png"]


def history(epochs):
    return [
        {"epoch": n, "train_loss": 1 + 1 / (n + 1), "val_loss": 1.1 + 0.9 / (n + 1), "val_rmse": 2 + 0.01 * n}
        for n in range(epochs)
    ]


def pixels(path):
    from PIL import Image

    with Image.open(path) as image:
        image.verify()
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def written(directory, table, epochs=20, ticker="AAPL", **metrics):
    return write_plots(
        directory,
        forecasts=table,
        history=history(epochs),
        ticker=ticker,
        metrics=from_table(table) | metrics,
    )


def drawn(table, name, ticker="AAPL"):
    """One picture of a run as a figure."""
    made = pictures(table, [], ticker=ticker, metrics={}, levels=[], words=Words())
    return figure(made[name])


def learning(epochs, metrics):
    """The picture of learning curves as a figure; without a forecast."""
    import pandas as pd

    table = pd.DataFrame({"date": [], "split": [], "step": []})
    made = pictures(table, epochs, ticker="AAPL", metrics=metrics, levels=[], words=Words())
    return made["learning_curves"]


def test_four_pictures(tmp_path, walk):
    paths = written(tmp_path / "plots", walk(), best_epoch=3)
    assert paths == [tmp_path / "plots" / name for name in NAMES]
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == sorted(NAMES)
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert 10_000 < path.stat().st_size < 300_000
        seen = pixels(path)
        assert seen.shape[1] == 990
        assert 350 < seen.shape[0] < 1000
        assert (seen[:, :3] == 255).all(), "something is cut off at the left"
        assert (seen[:, -3:] == 255).all(), "something is cut off at the right"
        assert (seen[:3] == 255).all(), "something is cut off above"
        assert (seen[-3:] == 255).all(), "something is cut off below"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda t: t[t["split"] != "test"], id="no test rows"),
        pytest.param(lambda t: t.iloc[:0], id="no rows"),
        pytest.param(lambda t: t.tail(1), id="one day"),
        pytest.param(lambda t: t.tail(2), id="two days"),
        pytest.param(lambda t: t.tail(59), id="less than the rolling window"),
        pytest.param(lambda t: t.assign(forecast=t["naive"]), id="a copy"),
        pytest.param(lambda t: t.assign(actual=5.0, forecast=5.0, naive=5.0), id="constant"),
        pytest.param(lambda t: t.assign(actual=0.0, forecast=0.0, naive=0.0), id="zeros"),
        pytest.param(lambda t: t.assign(forecast=1e12), id="diverged"),
        pytest.param(lambda t: t.assign(forecast=-t["forecast"]), id="negative"),
        pytest.param(lambda t: t.sample(frac=1, random_state=0), id="any order"),
    ],
)
def test_odd_tables(tmp_path, walk, change):
    assert [path.name for path in written(tmp_path, change(walk()), epochs=0)] == NAMES


@pytest.mark.parametrize(
    "epochs",
    [
        pytest.param([], id="none"),
        pytest.param(history(1), id="one"),
        pytest.param(history(200), id="many"),
        pytest.param([{"epoch": 0, "train_loss": float("nan"), "val_loss": None}], id="diverged"),
        pytest.param([{"epoch": 0, "train_loss": 1e-9}, {"epoch": 1, "train_loss": 1e9}], id="wide"),
        pytest.param([{"val_rmse": 1.0}, {"val_rmse": 0.5}], id="only one figure, no numbers"),
    ],
)
def test_odd_histories(epochs):
    assert png(learning(epochs, {"best_epoch": 0, "val_naive_rmse": 2.0}))
    assert png(learning(epochs, {}))


@pytest.mark.parametrize("ticker", ["$A$B", "BRK.B", "^GSPC", "SAP_x^{2}", "Ærø", "X" * 200])
def test_any_ticker_can_be_written(walk, ticker):
    from matplotlib.text import Text

    made = pictures(walk(days=200), [], ticker=ticker, metrics={}, levels=[], words=Words())
    for name in ("forecast_test", "errors", "moves"):
        texts = [text for text in figure(made[name]).findobj(Text) if ticker in text.get_text()]
        assert texts
        assert not any(text.get_parse_math() for text in texts), "a $ would start a formula"


@pytest.mark.parametrize(("ticker", "shown"), [("トヨタ", "???"), ("a\nb", "a?b")])
def test_letters_that_no_font_has_are_replaced(walk, ticker, shown):
    (axes, _) = drawn(walk(days=200), "forecast_test", ticker).axes
    assert axes.get_title(loc="left").startswith(f"{shown}: the test split, ")


def lines_of(axes):
    return {line.get_label(): line.get_ydata() for line in axes.lines}


def test_of_several_steps_the_first_is_drawn_oldest_first(walk):
    table = walk(horizon=3)
    whole, close = drawn(table.sample(frac=1, random_state=1), "forecast_test").axes
    rows = table[(table["split"] == "test") & (table["step"] == 1)]
    assert whole.get_title(loc="left") == f"AAPL, step 1 of 3: the test split, {len(rows):,} days"
    for axes, shown in ((whole, rows), (close, rows.tail(120))):
        lines = lines_of(axes)
        for name, column in (("actual", "actual"), ("model", "forecast"), ("tomorrow = today", "naive")):
            np.testing.assert_allclose(lines[name], shown[column], rtol=1e-5)
        days = shown["date"].to_numpy().astype("datetime64[D]").astype(int)
        assert list(axes.lines[0].get_xdata()) == list(days)


def test_intervals_are_drawn_with_their_level(table):
    made = pictures(table(), [], ticker="AAPL", metrics={}, levels=[0.9, 0.5], words=Words())
    whole, _ = figure(made["forecast_test"]).axes
    assert [band.get_label() for band in whole.collections] == ["90 % interval", "50 % interval"]


def test_the_title_tells_the_hits(walk):
    table = walk()
    metrics = from_table(table)
    share, error = 100 * metrics["test_direction"], 100 * metrics["test_direction_se"]
    title = drawn(table, "moves").get_suptitle()
    assert title == f"AAPL: right sign on {share:.1f} +/- {error:.1f} % of test days"


def test_the_kept_epoch_and_the_naive_level_are_marked():
    _, right = figure(learning(history(20), {"best_epoch": 7, "val_naive_rmse": 1.9})).axes
    assert [text.get_text() for text in right.texts] == ["epoch 7, kept"]
    assert right.texts[0].xy[0] == 7
    assert lines_of(right)["tomorrow = today"][0] == 1.9


def test_of_several_folds_the_last_is_drawn():
    """Beside the naive error of that fold, not of all of them."""
    epochs = [
        {"fold": fold, "val_naive_rmse": 1.5 + fold, **epoch}
        for fold in (0, 1)
        for epoch in history(3 + fold)
    ]
    left, right = figure(learning(epochs, {"val_naive_rmse": 2.0})).axes
    assert len(lines_of(left)["val"]) == 4
    assert lines_of(right)["tomorrow = today"][0] == 2.5


@pytest.mark.parametrize("kept", [0, 1])
def test_the_mark_of_the_kept_epoch_is_not_cut_off(tmp_path, kept):
    path = tmp_path / "learning_curves.png"
    path.write_bytes(png(learning(history(2), {"best_epoch": kept})))
    assert (pixels(path)[:, -3:] == 255).all()


def test_groups_of_forecasts_that_are_nearly_equal_lie_apart(walk):
    """A model that always says "up a little" must not draw its groups on one spot beside a far-off zero."""
    table = walk()
    table = table.assign(forecast=table["naive"] * (1.01 + 1e-5 * (table.index % 7)))
    every, groups = drawn(table, "moves").axes
    low, high = groups.get_xlim()
    assert low > 0.99
    assert high < 1.01
    assert every.get_xlim() == every.get_ylim()


def test_long_tables_are_drawn_in_no_more_time(tmp_path, walk):
    """Counted in points, not in seconds: a busy machine must not fail the test."""
    table = walk(days=60_000)
    whole, _ = drawn(table, "forecast_test").axes
    assert max(len(line.get_xdata()) for line in whole.lines) <= MAX_POINTS
    newest = table["date"].max().to_numpy().astype("datetime64[D]").astype(int)
    assert whole.lines[0].get_xdata()[-1] == newest
    assert all(path.stat().st_size < 300_000 for path in written(tmp_path, table))


def test_every_kind_of_series_is_drawn():
    """Also those that no picture of a run has, so that any description can become a file."""
    names = ["a", "b", "c"]
    series = [
        Series(name="dots", kind="dots", role="other", values=[1.0, None, 3.0]),
        Series(name="bars", kind="bars", role="model", values=[1.0, 2.0, 3.0]),
        Series(name="outline", kind="bars", role="naive", values=[1.0, 2.0, 3.0]),
        Series(name="line", kind="line", role="stopped", values=[None, 2.0, 3.0]),
        Series(name="band", kind="band", role="model", lower=[0.0, 1.0, None], upper=[1.0, 2.0, 3.0]),
    ]
    plot = Plot(title="t", names=names, series=series, y_zero=True, levels=[(1.5, "level", "naive")])
    (axes,) = figure(Picture([[plot]])).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == names
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert sorted(legend) == sorted(["dots", "bars", "outline", "line", "band", "level"])
    assert png(Picture([[plot, Plot(title="empty", x=[], series=[])]]))


def test_no_global_state_is_touched(tmp_path, walk):
    import matplotlib as mpl

    def settings():
        # the backend is settled by being looked at
        return {name: mpl.rcParams[name] for name in mpl.rcParams if name != "backend"}

    before = settings()
    written(tmp_path, walk(days=200))
    assert settings() == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
