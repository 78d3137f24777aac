"""The leaderboard as a file and on the screen."""

from __future__ import annotations

import csv

import pandas as pd
import pytest
from sweep_parts import job, write_run

from forecast.sweep import leaderboard
from forecast.sweep.__main__ import main
from forecast.sweep.issue import Issue
from forecast.sweep.standing import Standing, standing


@pytest.fixture
def found(tmp_path) -> Standing:
    run = write_run(tmp_path / "run", val_r2_oos=0.02, val_r2_oos_se=0.01)
    return standing(
        [
            job(0, run, "trainer=smoke", "seed=0", objective=2.0, epochs=3, seconds=1.25),
            job(1, run, "trainer=smoke", "seed=1", objective=1.0, epochs=3, seconds=1.0),
            job(2, tmp_path, "trainer=smoke", "seed=x", status="failed", error="seed=x: no, \"never\"", objective=None),
        ]
    )  # fmt: skip


def test_the_csv_has_every_job_and_every_figure(found, tmp_path):
    path = leaderboard.write_csv(tmp_path / "leaderboard.csv", found)
    first, second, third = csv.DictReader(path.read_text().splitlines())
    assert (first["rank"], first["best"], first["number"], first["status"]) == ("1", "true", "1", "finished")
    assert (first["objective"], float(first["skill"]), first["seed"]) == ("1.0", pytest.approx(20), "1")
    assert (second["rank"], second["best"]) == ("2", "false")
    assert (third["rank"], third["objective"], third["error"]) == ("", "", 'seed=x: no, "never"')
    assert third["overrides"] == "trainer=smoke seed=x"
    assert pd.read_csv(path)["test_skill"].iloc[0] == pytest.approx(-10)


def test_the_page_has_every_job(found, tmp_path):
    _, page = leaderboard.write(tmp_path, found)
    assert page == tmp_path / "leaderboard.html"
    shown = page.read_text()
    assert "seed=x: no" in shown
    assert "best of 3 trials" in shown


def test_the_table_marks_the_best_shows_what_varies_and_says_what_the_figures_are_worth(found):
    lines = leaderboard.text(found).splitlines()
    assert "trainer" not in lines[0]
    assert lines[1].split()[:5] == ["*", "1", "finished", "1", "1"]
    assert lines[3].split()[:3] == ["2", "failed", "x"]
    said = "\n".join(lines)
    assert "the best of many is flattered: best of 3 trials: p = 0.0228" in said.replace("0.023", "0.0228")
    assert "test figures are shown and were never used to choose" in said
    assert 'even the best does not beat "tomorrow = today"' not in said


def test_a_best_that_does_not_beat_naive_is_called_so(tmp_path):
    run = write_run(tmp_path / "run", val_theil_u=1.0)
    assert 'even the best does not beat "tomorrow = today"' in leaderboard.text(standing([job(0, run)]))


def test_a_long_table_is_cut_on_the_screen(tmp_path):
    run = write_run(tmp_path / "run")
    found = standing([job(n, run, f"seed={n}") for n in range(leaderboard.SHOWN + 2)])
    assert "and 2 more in leaderboard.csv" in leaderboard.text(found)


def test_the_command_makes_it_again_of_a_sweep_that_goes_on(tmp_path, capsys):
    sweep, run = tmp_path / "sweep", write_run(tmp_path / "run")
    Issue(sweep="now", overrides=[], total=3, began=0.0).save(sweep)
    for number, issue, status in ((0, "now", "finished"), (1, "now", "running"), (2, "before", "finished")):
        directory = sweep / str(number)
        job(number, run, f"seed={number}", sweep=issue, status=status).save(directory)
    assert main(["leaderboard", str(sweep)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-2:] == [str(sweep / "leaderboard.csv"), str(sweep / "leaderboard.html")]
    rows = list(csv.DictReader((sweep / "leaderboard.csv").read_text().splitlines()))
    assert [(row["number"], row["status"]) for row in rows] == [("0", "finished"), ("1", "running")]


@pytest.mark.parametrize(
    ("record", "told"),
    [(None, "no sweep here"), ("{", "no sweep here"), ("fine", "no job of this sweep has begun yet")],
)
def test_what_is_no_sweep(tmp_path, capsys, record, told):
    if record == "fine":
        Issue(sweep="now", overrides=[], total=3, began=0.0).save(tmp_path)
    elif record is not None:
        (tmp_path / "sweep.json").write_text(record)
    assert main(["leaderboard", str(tmp_path)]) == 2
    assert told in capsys.readouterr().err
