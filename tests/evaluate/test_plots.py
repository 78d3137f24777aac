"""Plots are drawn of whatever a run left, without a warning (pytest makes them errors)."""

import numpy as np
import pytest

from forecast.evaluate import chart, from_table, plot_errors, plot_forecast, plot_learning, plot_moves, plots
from forecast.evaluate.days import days_on_test

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


def drawn(directory, table, epochs=20, ticker="AAPL", **metrics):
    return plots.write(
        directory,
        forecasts=table,
        history=history(epochs),
        ticker=ticker,
        metrics=from_table(table) | metrics,
    )


def test_four_pictures(tmp_path, walk):
    written = drawn(tmp_path / "plots", walk(), best_epoch=3)
    assert written == [tmp_path / "plots" / name for name in NAMES]
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == sorted(NAMES)
    for path in written:
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert 10_000 < path.stat().st_size < 300_000
        seen = pixels(path)
        assert seen.shape[1] == 990
        assert 350 < seen.shape[0] < 900
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
        pytest.param(lambda t: t * 1 if t.empty else t.sample(frac=1, random_state=0), id="any order"),
    ],
)
def test_odd_tables(tmp_path, walk, change):
    assert [path.name for path in drawn(tmp_path, change(walk()))] == NAMES


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
    assert chart.png(plot_learning.draw(epochs, {"best_epoch": 0, "val_naive_rmse": 2.0}))
    assert chart.png(plot_learning.draw(epochs, {}))


@pytest.mark.parametrize(
    "ticker", ["$A$B", "BRK.B", "^GSPC", "SAP_x^{2}", "トヨタ", "Ærø", "a\nb", "X" * 200]
)
def test_any_ticker_can_be_written(walk, ticker):
    from matplotlib.text import Text

    days = days_on_test(walk(days=200), ticker)
    for draw in (plot_forecast.draw, plot_errors.draw, plot_moves.draw):
        figure = draw(days)
        assert chart.png(figure)
        named = [text for text in figure.findobj(Text) if days.name in text.get_text()]
        assert named
        assert not any(text.get_parse_math() for text in named), "a $ would start a formula"


def test_of_several_steps_the_first_is_drawn(walk):
    table = walk(horizon=3)
    days = days_on_test(table, "AAPL")
    rows = table[(table["split"] == "test") & (table["step"] == 1)]
    assert days.actual.tolist() == rows["actual"].tolist()
    assert plot_forecast.draw(days).axes[0].get_title(loc="left").startswith("AAPL, step 1 of 3: ")


def test_days_stand_oldest_first_at_their_dates(walk):
    table = walk()
    days = days_on_test(table.sample(frac=1, random_state=1), "AAPL")
    assert (np.diff(days.dates) > 0).all()
    last = table.iloc[-1]
    assert days.dates[-1] == (last["date"].to_numpy() - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")
    assert (days.actual[-1], days.forecast[-1], days.naive[-1]) == (
        last["actual"],
        last["forecast"],
        last["naive"],
    )


@pytest.mark.parametrize("most", [1, 7, 50, 10_000])
def test_thinning_keeps_the_newest_day(walk, most):
    days = days_on_test(walk(), "AAPL")
    few = days.thinned(most)
    assert len(few.dates) <= most
    assert few.dates[-1] == days.dates[-1]
    assert len(few.dates) >= min(most, len(days.dates)) / 2


def test_the_title_tells_the_hits(walk):
    table = walk()
    metrics = from_table(table)
    share, error = 100 * metrics["test_direction"], 100 * metrics["test_direction_se"]
    title = plot_moves.draw(days_on_test(table, "AAPL")).get_suptitle()
    assert title == f"AAPL: right sign on {share:.1f} +/- {error:.1f} % of test days"


def test_the_kept_epoch_and_the_naive_level_are_marked():
    figure = plot_learning.draw(history(20), {"best_epoch": 7, "val_naive_rmse": 1.9})
    right = figure.axes[1]
    assert [text.get_text() for text in right.texts] == ["epoch 7, kept"]
    assert right.texts[0].xy == (7, pytest.approx(2.07))
    levels = [line.get_ydata()[0] for line in right.lines if line.get_label() == "tomorrow = today"]
    assert levels == [1.9]


@pytest.mark.parametrize("kept", [0, 1])
def test_the_mark_of_the_kept_epoch_is_not_cut_off(tmp_path, kept):
    picture = tmp_path / "learning_curves.png"
    picture.write_bytes(chart.png(plot_learning.draw(history(2), {"best_epoch": kept})))
    assert (pixels(picture)[:, -3:] == 255).all()


def test_groups_of_forecasts_that_are_nearly_equal_lie_apart(walk):
    """A model that always says "up a little" must not draw its groups on one spot beside a far-off zero."""
    table = walk()
    table = table.assign(forecast=table["naive"] * (1.01 + 1e-5 * (table.index % 7)))
    _, right = plot_moves.draw(days_on_test(table, "AAPL")).axes
    low, high = right.get_xlim()
    assert low > 0.99
    assert high < 1.01


def test_long_tables_are_drawn_in_no_more_time(tmp_path, walk):
    """Counted in points, not in seconds: a busy machine must not fail the test."""
    table = walk(days=60_000)
    figure = plot_forecast.draw(days_on_test(table, "AAPL"))
    assert max(len(line.get_xdata()) for axes in figure.axes for line in axes.lines) <= plot_forecast.MOST
    assert all(path.stat().st_size < 300_000 for path in drawn(tmp_path, table))


def test_no_global_state_is_touched(tmp_path, walk):
    import sys

    import matplotlib as mpl

    def settings():
        # the backend is settled by being looked at
        return {name: mpl.rcParams[name] for name in mpl.rcParams if name != "backend"}

    before = settings()
    drawn(tmp_path, walk(days=200))
    assert settings() == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
