"""What came of what was forecast: counted once, whoever tells of it and whatever dies meanwhile."""

import sqlite3
from contextlib import closing
from copy import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from service import wait

from forecast.serve.monitoring import Monitoring, Outcomes
from forecast.serve.monitoring.outcomes import history_keys, key_length, skill_of

LOOKBACK = 10


def walk(bars=60, seed=0):
    """(bars,) closes as a source delivers them."""
    moves = 0.02 * np.random.default_rng(seed).standard_normal(bars)
    return (100 * np.exp(np.cumsum(moves))).astype(np.float32)


def windows_of(closes, lookback=LOOKBACK):
    return np.lib.stride_tricks.sliding_window_view(closes, lookback)


@pytest.fixture
def kept(tmp_path):
    outcomes = Outcomes(file="outcomes.db", newest=100).in_folder(tmp_path)
    yield outcomes
    outcomes.close()


def remember(kept, windows, forecast, *, ticker="AAPL", version="m@1", bounds=None, origins=None):
    """Windows (B, lookback); forecast (B, horizon), as multiples of the last close."""
    last = windows[:, -1:].astype(np.float64)
    kept.remember(
        version,
        [ticker] * len(windows),
        windows,
        np.asarray(forecast, dtype=np.float64) * last,
        None if bounds is None else np.asarray(bounds) * last,
        [None] * len(windows) if origins is None else origins,
    )


def test_a_later_window_tells_what_came(kept):
    closes = walk(LOOKBACK + 1)
    first, second = windows_of(closes)[:, None]
    remember(kept, first, [[1.01]])
    assert (kept.summary("m@1").model.outcomes, kept.summary("m@1").pending) == (0, 1)
    remember(kept, second, [[1.0]])
    said = kept.summary("m@1")
    assert (said.model.outcomes, said.pending) == (1, 1)
    move = float(closes[-1]) / float(closes[-2]) - 1
    assert said.model.rmse_ratio == pytest.approx(abs(0.01 - move) / abs(move))


def test_skill_and_coverage_are_those_of_the_rows():
    rng = np.random.default_rng(0)
    outcome, forecast = 1 + 0.02 * rng.standard_normal((2, 400))
    lower, upper = forecast - 0.025, forecast + 0.025
    rows = list(zip(forecast, lower, upper, outcome, [1.8e9] * 400, [1.0] * 400, strict=True))
    said = skill_of(rows)
    assert said.outcomes == 400
    ratio = np.sqrt(np.mean((forecast - outcome) ** 2) / np.mean((1 - outcome) ** 2))
    assert said.rmse_ratio == pytest.approx(ratio)
    assert said.skill == pytest.approx(100 * (1 - ratio))
    assert said.coverage == pytest.approx(np.mean((lower <= outcome) & (outcome <= upper)))
    assert skill_of([(1.0, None, None, 1.0, 0.0, 1.0)]).rmse_ratio is None
    assert skill_of([(1.0, None, None, 1.1, 0.0, 1.0)]).coverage is None
    assert skill_of([]).since is None


def test_day_after_day_every_outcome_is_counted_once(kept):
    closes = walk(40)
    windows = windows_of(closes)
    rng = np.random.default_rng(1)
    forecast = 1 + 0.01 * rng.standard_normal((len(windows), 1))
    bounds = np.stack((forecast - 0.02, forecast + 0.02))
    for day in range(len(windows)):
        for _ in range(3):  # asked again and again
            remember(kept, windows[day : day + 1], forecast[day : day + 1], bounds=bounds[:, day : day + 1])
    said = kept.summary("m@1")
    outcome = closes[LOOKBACK:].astype(float) / closes[LOOKBACK - 1 : -1]
    assert (said.model.outcomes, said.pending) == (len(outcome), 1)
    errors = forecast[:-1, 0] - outcome
    assert said.model.rmse_ratio == pytest.approx(np.sqrt(np.mean(errors**2) / np.mean((1 - outcome) ** 2)))
    assert said.model.coverage == pytest.approx(np.mean(np.abs(errors) <= 0.02))


@pytest.mark.parametrize("skipped", [1, 2, 5])
def test_several_steps_ahead_and_days_that_nobody_asked_on(kept, skipped):
    closes = walk(60)
    windows = windows_of(closes)[::skipped]
    forecast = np.tile([1.01, 1.02, 1.03], (len(windows), 1))
    for day in range(len(windows)):
        remember(kept, windows[day : day + 1], forecast[day : day + 1])
    known = sum(
        1
        for day in range(len(windows))
        for step in (1, 2, 3)
        if day * skipped + step <= (len(windows) - 1) * skipped
    )
    said = kept.summary("m@1")
    assert said.pending == 3 * len(windows) - known
    assert said.model.outcomes == min(known, 100)


def test_windows_that_come_together_tell_of_each_other(kept):
    windows = windows_of(walk(30))
    remember(kept, windows, np.full((len(windows), 2), 1.01))
    said = kept.summary("m@1")
    assert said.model.outcomes == 2 * len(windows) - 3
    assert said.pending == 3


def test_other_tickers_and_other_prices_tell_nothing(kept):
    closes = walk(LOOKBACK + 1)
    first, second = windows_of(closes)[:, None]
    remember(kept, first, [[1.0]])
    remember(kept, second, [[1.0]], ticker="IBM")
    changed = second.copy()
    changed[0, -3] *= 1.0001
    remember(kept, changed, [[1.0]])
    assert kept.summary("m@1").model.outcomes == 0


def test_bars_tell_what_came_of_forecasts_whose_days_are_known(kept):
    closes, days = walk(40), np.arange(15_000, 15_040)
    windows = windows_of(closes)[:5]
    origins = days[LOOKBACK - 1 :][:5].tolist()
    remember(kept, windows, np.full((5, 2), 1.01), origins=origins)
    # A dividend since then: all bars before it are adjusted, so that no close is what it was.
    kept.resolve("AAPL", days[:14].tolist(), closes[:14].astype(np.float64) * 0.97, lookback=LOOKBACK)
    said = kept.summary("m@1")
    assert (said.model.outcomes, said.pending) == (2 + 2 + 2 + 1, 3)
    outcome = [
        closes[10 + at + step - 1] / closes[9 + at] for at in range(5) for step in (1, 2) if at + step < 5
    ]
    errors = 1.01 - np.asarray(outcome, dtype=float)
    ratio = np.sqrt(np.mean(errors**2) / np.mean((1 - np.asarray(outcome)) ** 2))
    assert said.model.rmse_ratio == pytest.approx(ratio, rel=1e-4)


@pytest.mark.parametrize("dated", [True, False])
def test_a_bar_without_a_close_is_a_session_all_the_same(kept, dated):
    """Outcomes after it belonged to the session before."""
    closes, days = walk(40), np.arange(15_000, 15_040)
    first = LOOKBACK - 1
    remember(kept, windows_of(closes)[:1], [[1.01, 1.02]], origins=[int(days[first])] if dated else None)
    bars = closes.astype(np.float64)
    bars[first + 1] = np.nan
    kept.resolve("AAPL", days.tolist(), bars, lookback=LOOKBACK)
    summary = kept.summary("m@1")
    assert (summary.model.outcomes, summary.pending) == (1, 1)
    move = bars[first + 2] / bars[first] - 1
    assert summary.model.rmse_ratio == pytest.approx(abs(0.02 - move) / abs(move), rel=1e-5)


def test_bars_tell_what_came_of_windows_without_a_day(kept):
    closes = walk(40)
    remember(kept, windows_of(closes)[:5], np.full((5, 1), 1.01))
    kept.resolve("AAPL", list(range(40)), closes.astype(np.float64), lookback=LOOKBACK)
    assert (kept.summary("m@1").model.outcomes, kept.summary("m@1").pending) == (5, 0)


def test_a_window_that_was_asked_without_its_day_and_then_with_it_is_one_forecast(kept):
    closes, days = walk(40), list(range(15_000, 15_040))
    window = windows_of(closes)[:1]
    remember(kept, window, [[1.01]])
    remember(kept, window, [[1.01]], origins=[days[LOOKBACK - 1]])
    remember(kept, window, [[1.01]])
    assert kept.summary("m@1").pending == 1
    kept.resolve("AAPL", days, 0.5 * closes.astype(np.float64), lookback=LOOKBACK)
    assert (kept.summary("m@1").model.outcomes, kept.summary("m@1").pending) == (1, 0)


def test_each_model_is_judged_for_itself_and_all_together(kept):
    closes = walk(30)
    windows = windows_of(closes)
    remember(kept, windows, np.full((len(windows), 1), 1.5), version="bad@1")
    remember(kept, windows, np.full((len(windows), 1), 1.0), version="naive@2")
    assert kept.summary("naive@2").model.rmse_ratio == pytest.approx(1.0)
    assert kept.summary("bad@1").model.rmse_ratio > 5
    both = kept.summary("naive@2").all
    assert both.outcomes == 2 * (len(windows) - 1)
    assert 1 < both.rmse_ratio < kept.summary("bad@1").model.rmse_ratio
    assert kept.summary("none@3").model.outcomes == 0


def test_only_the_newest_are_said_of(tmp_path):
    kept = Outcomes(file="outcomes.db", newest=20).in_folder(tmp_path)
    for seed, forecast in ((0, 1.5), (1, 1.0)):
        windows = windows_of(walk(60, seed))
        remember(kept, windows, np.full((len(windows), 1), forecast), ticker=f"T{seed}")
    assert kept.summary("m@1").model.outcomes == 20
    assert kept.summary("m@1").model.rmse_ratio == pytest.approx(1.0)
    kept.close()


def test_a_restart_forgets_nothing(tmp_path):
    windows = windows_of(walk(LOOKBACK + 1))
    for window in windows[:, None]:
        kept = Outcomes(file="outcomes.db").in_folder(tmp_path)
        remember(kept, window, [[1.0]])
        kept.close()
    assert kept.summary("m@1").model.outcomes == 1


def remember_days(folder, days):
    kept = Outcomes(file="outcomes.db").in_folder(folder)
    windows = windows_of(walk(400))
    for day in days:
        remember(kept, windows[day : day + 1], [[1.0]])
    kept.close()


def test_processes_that_answer_in_turn_know_of_each_other(tmp_path, child):
    Outcomes(file="outcomes.db").in_folder(tmp_path).prepare()
    for one in [child(remember_days, tmp_path, range(start, 60, 3)) for start in range(3)]:
        one.leave()
    remember_days(tmp_path, range(60))  # whoever was the quicker one
    said = Outcomes(file="outcomes.db").in_folder(tmp_path).summary("m@1")
    assert (said.model.outcomes, said.pending) == (59, 1)


def remember_for_ever(folder):
    while True:
        remember_days(folder, range(300))


def test_a_process_that_is_killed_at_work_leaves_a_whole_database(tmp_path, child):
    file = tmp_path / "outcomes.db"
    Outcomes(file="outcomes.db").in_folder(tmp_path).prepare()
    kept = Outcomes(file="outcomes.db").in_folder(tmp_path)
    for turn in range(1, 4):
        worker = child(remember_for_ever, tmp_path)
        wait(
            lambda turn=turn: kept.summary("m@1").pending + kept.summary("m@1").model.outcomes > 20 * turn,
            "rows",
        )
        worker.kill()
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    remember_days(tmp_path, range(300))
    assert kept.summary("m@1").pending == 1


def test_the_database_does_not_grow_for_ever(kept, monkeypatch):
    monkeypatch.setattr("forecast.serve.monitoring.outcomes._MAX_PENDING", 200)
    closes = walk(60, seed=3)
    days = list(range(15_000, 15_060))
    remember(kept, windows_of(closes)[:1], [[1.0]], ticker="DATED", origins=[days[LOOKBACK - 1]])
    for seed in range(60):
        remember(kept, np.stack([walk(LOOKBACK, 100 * seed + at) for at in range(20)]), np.ones((20, 1)))
    assert 200 <= kept.summary("m@1").pending <= 200 + 1 + 20
    kept.resolve("DATED", days, closes.astype(np.float64), lookback=LOOKBACK)
    assert kept.summary("m@1").model.outcomes == 1


@pytest.mark.parametrize("content", [b"this is no database" * 100, None])
def test_a_file_that_is_no_database_of_ours_is_said_once_and_harms_nothing(
    tmp_path, caplog, served, golden, content
):
    file = tmp_path / "outcomes.db"
    if content is None:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA user_version = 99")
            connection.commit()
    else:
        file.write_bytes(content)
    monitoring = Monitoring(outcomes=Outcomes(file="outcomes.db"))
    monitoring.open(tmp_path)
    assert [record for record in caplog.records if "outcomes cannot be kept" in record.message]
    caplog.clear()
    for _ in range(3):
        monitoring.forecasts(served, golden.windows[:2], ["AAPL"] * 2, golden.forecast[:2], None)
        monitoring._here()._flush()
    assert len([record for record in caplog.records if "outcomes cannot be kept" in record.message]) == 1
    assert monitoring.outcomes(served) is None
    assert monitoring.drift(served).windows > 5
    monitoring.close()
    assert content is None or file.read_bytes() == content


def test_where_it_is_not_kept_nothing_is_said_and_nothing_is_written(tmp_path, served, golden):
    monitoring = Monitoring()
    monitoring.open(tmp_path)
    monitoring.forecasts(served, golden.windows[:2], ["AAPL"] * 2, golden.forecast[:2], None)
    monitoring.bars(served, "AAPL", bars_of(golden))
    monitoring.close()
    assert monitoring.outcomes(served) is None
    assert list(tmp_path.iterdir()) == []


def bars_of(golden):
    """The bars of all golden windows, which are of days in a row."""
    rows = np.concatenate((golden.windows[0], golden.windows[1:, -1]))
    before = 15_000
    dates = pd.DatetimeIndex((np.arange(len(rows)) + before).astype("datetime64[D]").astype("datetime64[ns]"))
    return pd.DataFrame(rows.astype(np.float64), index=dates, columns=["High", "Low", "Close", "Volume"])


def test_a_served_model_is_judged_as_the_recorded_one_is(monitoring, served, golden):
    """All that the run forecast on its test days, served, gives the run's own figures."""
    predictor = served.predictor
    naive = golden.windows[:, -1, 2].astype(np.float64)
    bounds = predictor.intervals.bounds(
        ["AAPL"] * len(naive), golden.forecast, naive, windows=golden.windows
    )[0]
    monitoring.forecasts(served, golden.windows, ["AAPL"] * len(naive), golden.forecast, bounds)
    monitoring.bars(served, "AAPL", bars_of(golden))
    monitoring.close()
    said = monitoring.outcomes(served).model
    actual = golden.windows[1:, -1, 2].astype(np.float64)
    forecast, naive, bounds = golden.forecast[:-1, 0], naive[:-1], bounds[:, :-1, 0]
    ratio = np.sqrt(np.mean((forecast / naive - actual / naive) ** 2) / np.mean((1 - actual / naive) ** 2))
    assert said.outcomes == len(actual)
    assert said.rmse_ratio == pytest.approx(ratio)
    assert said.coverage == pytest.approx(np.mean((bounds[0] <= actual) & (actual <= bounds[1])))


def test_prices_of_nothing_are_no_outcome(monitoring, served, golden):
    windows = golden.windows[:2].copy()
    windows[0, 5, 2] = 0.0
    monitoring.forecasts(served, windows, ["AAPL"] * 2, golden.forecast[:2], None)
    bars = bars_of(golden)
    bars.iloc[3, 2] = np.nan
    bars.iloc[4, 2] = 0.0
    monitoring.bars(served, "AAPL", bars)
    monitoring.close()
    said = monitoring.outcomes(served)
    assert (said.model.outcomes, said.pending) == (1, 0)


@given(st.integers(0, 2**32 - 1), st.integers(2, 30))
def test_a_place_has_the_same_name_in_every_window_that_holds_it(seed, lookback):
    closes = walk(lookback + 5, seed)
    said = key_length(lookback)
    whole = history_keys(closes[None], ["AAPL"], said)[0]
    for start, window in enumerate(windows_of(closes, lookback)):
        named = history_keys(window[None], ["AAPL"], said)[0]
        assert named.tolist() == whole[start : start + len(named)].tolist()
    assert len(set(whole.tolist())) == len(whole)
    assert not set(history_keys(closes[None], ["IBM"], said)[0].tolist()) & set(whole.tolist())


def test_a_window_of_one_bar_names_no_place(kept):
    assert key_length(1) == 0
    remember(kept, walk(1)[None], [[1.0]])
    assert not kept.file.exists()
    assert kept.summary("m@1").pending == 0


def test_another_model_with_another_lookback_is_resolved_by_the_new_ones_windows(monitoring, served, golden):
    short = golden.windows[:, -12:]
    predictor = copy(served.predictor)
    predictor.lookback = 12
    old = replace(served, version="old@1", predictor=predictor, reference=None)
    monitoring.forecasts(old, short[:3], ["AAPL"] * 3, golden.forecast[:3], None)
    monitoring.forecasts(served, golden.windows[3:8], ["AAPL"] * 5, golden.forecast[3:8], None)
    monitoring.close()
    assert monitoring.outcomes(old).model.outcomes == 3


def test_what_is_no_price_is_kept_in_its_own_unit(kept):
    """Means of three bars: the first one that a forecast speaks of is known three bars later."""
    closes, values = walk(30), 20 + np.sin(np.arange(30.0))
    windows, seen = windows_of(closes, 20), windows_of(values, 20)
    for window, own in zip(windows, seen, strict=True):
        kept.remember(
            "m@1", ["AAPL"], window[None], np.array([[21.0]]), np.array([[[20.5]], [[21.5]]]), [None],
            measure="volatility/3/", values=own[None], naive=own[None, -1], lead=2,
        )  # fmt: skip
    said = kept.summary("m@1", "volatility/3/")
    outcome, naive = values[22:], values[19 : 19 + len(values) - 22]
    assert said.model.outcomes == said.all.outcomes == len(outcome)
    errors = np.sqrt(np.mean((21.0 - outcome) ** 2)), np.sqrt(np.mean((naive - outcome) ** 2))
    assert said.model.rmse_ratio == pytest.approx(errors[0] / errors[1])
    assert said.model.coverage == pytest.approx(np.mean((outcome >= 20.5) & (outcome <= 21.5)))
    assert kept.summary("other@2").all.outcomes == 0  # of prices


def test_a_database_of_the_version_before_is_taken_over(tmp_path):
    outcomes = Outcomes(file="outcomes.db").in_folder(tmp_path)
    outcomes.prepare()
    with closing(sqlite3.connect(outcomes.file)) as old, old:
        for column in ("naive", "measure"):
            old.execute(f"ALTER TABLE forecasts DROP COLUMN {column}")
        old.execute(
            "INSERT INTO forecasts (version, ticker, place, step, made, forecast, outcome, known) "
            "VALUES ('m@1', 'AAPL', 1, 1, 0, 1.01, 1.02, 0)"
        )
        old.execute("PRAGMA user_version = 1")
    outcomes.prepare()
    assert outcomes.summary("m@1").all.rmse_ratio == pytest.approx(0.5)
