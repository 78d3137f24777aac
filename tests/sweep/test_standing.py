"""Who leads, by what, and when nobody does."""

from __future__ import annotations

import pytest
from sweep_parts import job, write_run

from forecast.sweep.standing import standing


def test_the_best_comes_first_and_what_has_no_rank_behind(tmp_path):
    run = write_run(tmp_path / "run")
    found = standing(
        [
            job(0, run, "seed=0", objective=2.0),
            job(1, tmp_path, "seed=1", status="pruned", objective=0.1),
            job(2, run, "seed=2", status="reused", objective=1.0),
            job(3, tmp_path, "seed=3", status="failed", objective=None),
            job(4, run, "seed=4", objective=None),
        ]
    )
    assert [entry.job.number for entry in found.entries] == [2, 0, 1, 3, 4]
    assert found.best.job.number == 2
    assert found.counts == {"reused": 1, "finished": 2, "pruned": 1, "failed": 1}
    assert (found.best.skill("val"), found.best.skill("test")) == (pytest.approx(20), pytest.approx(-10))


def test_the_largest_is_best_where_the_mode_says_so(tmp_path):
    run = write_run(tmp_path / "run")
    found = standing([job(n, run, objective=float(n), metric="val_direction", mode="max") for n in range(3)])
    assert [entry.job.number for entry in found.entries] == [2, 1, 0]


def test_of_equals_the_first_leads(tmp_path):
    run = write_run(tmp_path / "run")
    assert standing([job(n, run) for n in (2, 0, 1)]).best.job.number == 0


def test_runs_of_different_tickers_are_not_ranked_by_a_price(tmp_path):
    one, other = write_run(tmp_path / "one"), write_run(tmp_path / "other", tickers=("IBM",))
    found = standing([job(0, one, objective=2.0), job(1, other, objective=1.0)])
    assert found.best is None
    assert [entry.job.number for entry in found.entries] == [0, 1]
    assert "differ in tickers" in found.why_unranked
    assert "val_theil_u" in found.why_unranked
    free = standing(
        [job(n, run, objective=2.0 - n, metric="val_theil_u") for n, run in enumerate((one, other))]
    )
    assert (free.best.job.number, free.why_unranked) == (1, None)


def test_an_objective_that_is_swept_over_ranks_nothing(tmp_path):
    run = write_run(tmp_path / "run")
    found = standing([job(0, run), job(1, run, metric="val_mae")])
    assert (found.best, found.why_unranked is None) == (None, False)


def test_spread_over_seeds_by_the_other_settings(tmp_path):
    run = write_run(tmp_path / "run")
    values = {("gru", "1"): 1.0, ("gru", "2"): 3.0, ("lstm", "1"): 1.5, ("lstm", "2"): 1.5}
    jobs = [
        job(n, run, "trainer=smoke", f"model={model}", f"seed={seed}", objective=value)
        for n, ((model, seed), value) in enumerate(values.items())
    ]
    found = standing(jobs)
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
    assert standing(jobs[:1]).over_seeds == []


def test_the_best_baseline_is_the_one_with_the_lowest_ratio(tmp_path):
    run = write_run(tmp_path / "run", val_ridge_theil_u=0.9, val_drift_theil_u=0.7, val_trees_theil_u=None)
    assert standing([job(0, run)]).best.best_baseline == ("drift", 0.7)
    assert standing([job(0, write_run(tmp_path / "bare"))]).best.best_baseline is None


def test_nothing_at_all():
    found = standing([])
    assert (found.best, found.entries, found.over_seeds, found.counts) == (None, [], [], {})


def test_files_that_are_gone_are_no_figures(tmp_path):
    found = standing([job(0, tmp_path / "gone", objective=None)])
    assert (found.best, found.entries[0].metrics) == (None, {})
