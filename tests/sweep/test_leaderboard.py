"""Who leads, by what, and when nobody does; the leaderboard as a file and on the screen."""

from __future__ import annotations

import csv

import pandas as pd
import pytest
from sweep_parts import job, write_run

from forecast.sweep.__main__ import main
from forecast.sweep.leaderboard import SCREEN_ROWS, Leaderboard
from forecast.sweep.record import SweepRun


def test_the_best_comes_first_and_what_has_no_rank_behind(tmp_path):
    run = write_run(tmp_path / "run")
    found = Leaderboard(
        [
            job(0, run, "seed=0", objective=2.0),
            job(1, tmp_path, "seed=1", status="pruned", objective=0.1),
            job(2, run, "seed=2", status="reused", objective=1.0),
            job(3, tmp_path, "seed=3", status="failed", objective=None),
            job(4, run, "seed=4", objective=None),
        ]
    )
    assert [row.job.number for row in found.rows] == [2, 0, 1, 3, 4]
    assert found.best.job.number == 2
    assert found.counts == {"reused": 1, "finished": 2, "pruned": 1, "failed": 1}
    assert (found.best.skill("val"), found.best.skill("test")) == (pytest.approx(20), pytest.approx(-10))


def test_the_largest_is_best_where_the_mode_says_so(tmp_path):
    run = write_run(tmp_path / "run")
    found = Leaderboard(
        [job(n, run, objective=float(n), metric="val_direction", mode="max") for n in range(3)]
    )
    assert [row.job.number for row in found.rows] == [2, 1, 0]


def test_of_equals_the_first_leads(tmp_path):
    run = write_run(tmp_path / "run")
    assert Leaderboard([job(n, run) for n in (2, 0, 1)]).best.job.number == 0


def test_runs_of_different_tickers_are_not_ranked_by_a_price(tmp_path):
    one, other = write_run(tmp_path / "one"), write_run(tmp_path / "other", tickers=("IBM",))
    found = Leaderboard([job(0, one, objective=2.0), job(1, other, objective=1.0)])
    assert found.best is None
    assert [row.job.number for row in found.rows] == [0, 1]
    assert "differ in tickers" in found.unranked
    assert "val_theil_u" in found.unranked
    free = Leaderboard(
        [job(n, run, objective=2.0 - n, metric="val_theil_u") for n, run in enumerate((one, other))]
    )
    assert (free.best.job.number, free.unranked) == (1, None)


def test_an_objective_that_is_swept_over_ranks_nothing(tmp_path):
    run = write_run(tmp_path / "run")
    found = Leaderboard([job(0, run), job(1, run, metric="val_mae")])
    assert (found.best, found.unranked is None) == (None, False)


def test_spread_over_seeds_by_the_other_settings(tmp_path):
    run = write_run(tmp_path / "run")
    values = {("gru", "1"): 1.0, ("gru", "2"): 3.0, ("lstm", "1"): 1.5, ("lstm", "2"): 1.5}
    jobs = [
        job(n, run, "trainer=smoke", f"model={model}", f"seed={seed}", objective=value)
        for n, ((model, seed), value) in enumerate(values.items())
    ]
    found = Leaderboard(jobs)
    assert found.varied == ["model", "seed"]
    first, second = found.over_seeds
    assert first == {
        "overrides": "model=lstm",
        "seeds": 2,
        "mean": 1.5,
        "sd": 0.0,
        "lowest": 1.5,
        "highest": 1.5,
    }
    assert (second["mean"], second["sd"]) == (2.0, pytest.approx(2**0.5))
    assert Leaderboard(jobs[:1]).over_seeds == []


def test_the_best_baseline_is_the_one_with_the_lowest_ratio(tmp_path):
    run = write_run(tmp_path / "run", val_ridge_theil_u=0.9, val_drift_theil_u=0.7, val_trees_theil_u=None)
    assert Leaderboard([job(0, run)]).best.best_baseline == ("drift", pytest.approx(30))
    assert Leaderboard([job(0, write_run(tmp_path / "bare"))]).best.best_baseline is None


def test_nothing_at_all():
    found = Leaderboard([])
    assert (found.best, found.rows, found.over_seeds, found.counts) == (None, [], [], {})


def test_files_that_are_gone_are_no_figures(tmp_path):
    found = Leaderboard([job(0, tmp_path / "gone", objective=None)])
    assert (found.best, found.rows[0].metrics) == (None, {})


@pytest.fixture
def found(tmp_path) -> Leaderboard:
    run = write_run(tmp_path / "run", val_r2_oos=0.02, val_r2_oos_se=0.01)
    return Leaderboard(
        [
            job(0, run, "trainer=smoke", "seed=0", objective=2.0, epochs=3, seconds=1.25),
            job(1, run, "trainer=smoke", "seed=1", objective=1.0, epochs=3, seconds=1.0),
            job(2, tmp_path, "trainer=smoke", "seed=x", status="failed", error="seed=x: no, \"never\"", objective=None),
        ]
    )  # fmt: skip


def test_the_csv_has_every_job_and_every_figure(found, tmp_path):
    path = found.write_csv(tmp_path / "leaderboard.csv")
    first, second, third = csv.DictReader(path.read_text().splitlines())
    assert (first["rank"], first["best"], first["number"], first["status"]) == ("1", "true", "1", "finished")
    assert (first["objective"], float(first["skill"]), first["seed"]) == ("1.0", pytest.approx(20), "1")
    assert (second["rank"], second["best"]) == ("2", "false")
    assert (third["rank"], third["objective"], third["error"]) == ("", "", 'seed=x: no, "never"')
    assert third["overrides"] == "trainer=smoke seed=x"
    assert pd.read_csv(path)["test_skill"].iloc[0] == pytest.approx(-10)


def test_the_page_has_every_job(found, tmp_path):
    _, page = found.write(tmp_path)
    assert page == tmp_path / "leaderboard.html"
    shown = page.read_text()
    assert "seed=x: no" in shown
    assert "best of 3 trials" in shown


def test_the_table_marks_the_best_shows_what_varies_and_says_what_the_figures_are_worth(found):
    lines = found.text().splitlines()
    assert "trainer" not in lines[0]
    assert lines[1].split()[:5] == ["*", "1", "finished", "1", "1"]
    assert lines[3].split()[:3] == ["2", "failed", "x"]
    said = "\n".join(lines)
    assert "the best of many is flattered: best of 3 trials: p = 0.0228" in said.replace("0.023", "0.0228")
    assert "test figures are shown and were never used to choose" in said
    assert "even the best does not beat the naive forecast" not in said


def test_a_best_that_does_not_beat_naive_is_called_so(tmp_path):
    run = write_run(tmp_path / "run", val_theil_u=1.0)
    assert "even the best does not beat the naive forecast" in Leaderboard([job(0, run)]).text()


def test_a_long_table_is_cut_on_the_screen(tmp_path):
    run = write_run(tmp_path / "run")
    found = Leaderboard([job(n, run, f"seed={n}") for n in range(SCREEN_ROWS + 2)])
    assert "and 2 more in leaderboard.csv" in found.text()


def test_the_command_makes_it_again_of_a_sweep_that_goes_on(tmp_path, capsys):
    sweep, run = tmp_path / "sweep", write_run(tmp_path / "run")
    SweepRun(sweep="now", overrides=[], total=3, began=0.0).save(sweep)
    for number, issue, status in ((0, "now", "finished"), (1, "now", "running"), (2, "before", "finished")):
        directory = sweep / str(number)
        job(number, run, f"seed={number}", sweep=issue, status=status).save(directory)
    assert main(["leaderboard", str(sweep)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-2:] == [str(sweep / "leaderboard.csv"), str(sweep / "leaderboard.html")]
    rows = list(csv.DictReader((sweep / "leaderboard.csv").read_text().splitlines()))
    assert [(row["number"], row["status"]) for row in rows] == [("0", "finished"), ("1", "running")]


@pytest.mark.parametrize(
    ("record", "stated"),
    [(None, "no sweep here"), ("{", "no sweep here"), ("fine", "no job of this sweep has begun yet")],
)
def test_what_is_no_sweep(tmp_path, capsys, record, stated):
    if record == "fine":
        SweepRun(sweep="now", overrides=[], total=3, began=0.0).save(tmp_path)
    elif record is not None:
        (tmp_path / "sweep.json").write_text(record)
    assert main(["leaderboard", str(tmp_path)]) == 2
    assert stated in capsys.readouterr().err
