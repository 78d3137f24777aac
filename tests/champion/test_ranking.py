"""Who is ranked, by what, in which order; with entries made up, in MLflow and out of it."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from forecast.champion import candidate as candidates_module
from forecast.champion.candidate import Candidate, query_finished_runs
from forecast.champion.metadata import Choice, beats_naive, champion_metadata, label, summary
from forecast.champion.ranking import of_same_question, rank, table
from forecast.errors import UserError

PARAMS = {
    "data.horizon": "1",
    "data.scope": "single",
    "data.period": "max",
    "data.start": "null",
    "seed": "0",
}
METRICS = {
    "val_rmse": 1.0,
    "val_theil_u": 0.99,
    "test_theil_u": 1.01,
    "val_naive_rmse": 1.01,
    "val_naive_mae": 0.8,
    "val_rows": 100.0,
}


def candidate(number: int = 0, **changes) -> Candidate:
    """A made-up run; `metrics` and `params` are added to the usual ones."""
    made = Candidate(
        identity=f"{number:016x}",
        strategy="no_processing_single",
        tickers="AAPL",
        metrics=METRICS,
        params={**PARAMS, "seed": str(number)},
        started=1000 + number,
        run_id=f"{number:032x}",
        experiment_name="forecast",
        directory=Path(f"/runs/{number}"),
        directory_id=str(number),
    )
    changes["metrics"] = {**made.metrics, **changes.get("metrics", {})}
    changes["params"] = {**made.params, **changes.get("params", {})}
    return replace(made, **changes)


FIGURES = st.lists(st.sampled_from([0.5, 1.0, 1.0 + 2**-40, 2.0, -1.0, 0.0]), min_size=1, max_size=8)


@given(FIGURES, st.sampled_from(["min", "max"]), st.randoms())
def test_the_order_is_that_of_the_metric_and_does_not_depend_on_that_of_the_answers(figures, mode, chance):
    runs = [candidate(n, metrics={"val_theil_u": figure}) for n, figure in enumerate(figures)]
    ranked = rank(runs, metric="val_theil_u", mode=mode).candidates
    said = [run.metrics["val_theil_u"] for run in ranked]
    assert said == sorted(figures, reverse=mode == "max")
    assert sorted(run.identity for run in ranked) == sorted(run.identity for run in runs)
    for one, other in pairwise(ranked):  # of equals the first that was there
        assert one.metrics["val_theil_u"] != other.metrics["val_theil_u"] or one.started < other.started
    chance.shuffle(runs)
    assert rank(runs, metric="val_theil_u", mode=mode).candidates == ranked


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_a_result_counts_once_however_often_it_was_had(identities):
    runs = [
        candidate(number, identity=str(identity), metrics={"val_rmse": 1.0 + identity})
        for number, identity in enumerate(identities)
    ]
    ranking = rank(runs, metric="val_rmse", mode="min")
    assert [run.identity for run in ranking.candidates] == sorted({str(i) for i in identities})
    for run in ranking.candidates:
        assert run.started == max(other.started for other in runs if other.identity == run.identity)


def test_runs_without_the_metric_are_left_out_and_counted():
    without = replace(candidate(1), metrics={"val_theil_u": 0.5})
    ranking = rank([candidate(0), without], metric="val_rmse", mode="min")
    assert [run.identity for run in ranking.candidates] == [candidate(0).identity]
    assert "left out: 1 finished, without val_rmse" in table(ranking)


DIFFERENT = {
    "ticker": {"tickers": "IBM", "metrics": {"val_naive_rmse": 3.0}},
    "horizon": {"params": {"data.horizon": "5"}, "metrics": {"val_naive_rmse": 3.0}},
    "dates": {"params": {"data.period": "2y"}, "metrics": {"val_rows": 50.0, "val_naive_rmse": 3.0}},
    "data": {"metrics": {"val_naive_rmse": 1.0101}},
}


@pytest.mark.parametrize("what", DIFFERENT)
@pytest.mark.parametrize("metric", ["val_rmse", "val_mae"])
def test_prices_do_not_rank_what_is_not_comparable(what, metric):
    mixed = [candidate(0), candidate(1), candidate(2, **DIFFERENT[what])]
    mixed = [replace(run, metrics={**run.metrics, "val_mae": 1.0}) for run in mixed]
    with pytest.raises(
        UserError, match=f"objective.metric={metric}: .*use objective.metric=val_theil_u"
    ) as said:
        rank(mixed, metric=metric, mode="min")
    assert "\n" not in str(said.value)
    assert what in str(said.value)
    assert len(rank(mixed, metric="val_theil_u", mode="min").candidates) == 3


@pytest.mark.parametrize("what", DIFFERENT)
@pytest.mark.parametrize("metric", ["val_rmse", "val_theil_u"])
def test_a_run_that_forecasts_something_else_does_not_block_a_sweeps_champion(what, metric):
    runs = [candidate(0), candidate(1, metrics={"val_rmse": 0.5, "val_theil_u": 0.5})]
    other = candidate(2, **DIFFERENT[what])
    kept = of_same_question([*runs, other], metric=metric, sweep=runs, named={})
    assert rank(kept, metric=metric, mode="min").winner == runs[1]
    assert (other in kept) == (metric == "val_theil_u" and what in ("dates", "data"))


def test_runs_of_different_targets_are_never_ranked_together():
    other = candidate(2, params={"target._target_": "forecast.data.target.Range"})
    with pytest.raises(
        UserError, match=r"different targets \(Close, Range\); name one, such as target=close"
    ):
        rank([candidate(0), other], metric="val_theil_u", mode="min")
    named = {"target": other.question["target"]}
    assert of_same_question([candidate(0), other], metric="val_rmse", sweep=[], named=named) == [other]
    with pytest.raises(UserError, match=r"data\.tickers=IBM: none of 1 finished runs forecasts that"):
        of_same_question([other], metric="val_rmse", sweep=[], named={"data.tickers": "IBM"})


def test_strategies_that_forecast_the_same_prices_are_comparable():
    """Other columns, other companions and other bars behind them, but the same target on the same days."""
    several = candidate(
        1,
        tickers="AAPL, IBM, MSFT",
        strategy="range_multiple",
        params={"data.scope": "multiple"},
        metrics={"val_naive_rmse": 1.01 * (1 + 1e-15)},  # summed in pieces of another size
    )
    assert len(rank([candidate(0), several], metric="val_rmse", mode="min").candidates) == 2
    pooled = replace(several, params={**several.params, "data.scope": "panel"})
    with pytest.raises(UserError, match="val_theil_u"):
        rank([candidate(0), pooled], metric="val_rmse", mode="min")


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize(("ratio", "beats"), [(0.999999, True), (1.0, False), (1.2, False), (None, False)])
def test_who_beats_naive(split, ratio, beats):
    metrics = {"val_theil_u": 0.9, "test_theil_u": 0.9} | {f"{split}_theil_u": ratio}
    assert beats_naive(metrics) is beats
    assert label(metrics).startswith("is ahead of" if beats else "does not beat")


def test_the_label_is_everywhere():
    run = candidate(metrics={"test_theil_u": 1.01, "val_theil_u": 1.02})
    said = champion_metadata(
        run, Choice(metric="val_rmse", mode="min", candidates=24), number=3, audit="not run"
    )
    text = "\n".join(summary(said))
    assert said["beats_naive"] is False
    assert "does not beat tomorrow = today (RMSE ratio: val 1.020, test 1.010)" in text
    assert "best of 24 candidates" in text
    assert "no, ratio 1.020" in table(rank([run], metric="val_rmse", mode="min"))


def test_undefined_figures_are_null_and_said():
    run = replace(candidate(), metrics={"val_rmse": 1.0})
    said = champion_metadata(
        run, Choice(metric="val_rmse", mode="min", candidates=1), number=1, audit="not run"
    )
    assert (said["skill_val"], said["skill_test"], said["beats_naive"]) == (None, None, False)
    text = "\n".join(summary(said))
    assert "val undefined, test undefined" in text
    assert "best of" not in text


def test_the_winners_p_value_pays_for_the_others():
    tried = Choice(metric="val_rmse", mode="min", candidates=4, p_values=[0.01, 0.5, None, 0.9])
    said = champion_metadata(candidate(), tried, number=1, audit="not run")
    assert said["p_value"] == 0.01
    assert said["p_value_holm"] == pytest.approx(0.04)
    assert "p = 0.01, p = 0.04 corrected for all that was tried (Holm)" in "\n".join(summary(said))
    sure = champion_metadata(candidate(), replace(tried, p_values=[1e-9] * 4), number=1, audit="not run")
    assert "p < 0.001, p < 0.001 corrected" in "\n".join(summary(sure))
    epochs = champion_metadata(candidate(), replace(tried, epochs=[5, 5, 1, 9]), number=1, audit="not run")
    assert epochs["p_value_holm"] == pytest.approx(0.2)  # the best of 20 epochs, not of 4 trials
    untested = champion_metadata(candidate(), replace(tried, p_values=[None] * 4), number=1, audit="not run")
    assert (untested["p_value"], untested["p_value_holm"]) == (None, None)


def test_a_long_table_is_cut_and_says_so():
    runs = [candidate(n, metrics={"val_rmse": 1.0 + n}, params={"note": "x" * 99}) for n in range(30)]
    runs.append(candidate(30, params={"note": "y" * 99}))
    lines = table(rank(runs, metric="val_rmse", mode="min")).splitlines()
    assert len(lines) == 22
    assert lines[-1] == "and 11 more"
    assert max(map(len, lines)) < 140


class TestMadeUpEntriesInMLflow:
    """Runs logged by hand, in a store of their own experiment."""

    @pytest.fixture
    def log(self, client):
        experiment = client.create_experiment("made up")

        def add(status="FINISHED", *, ours=True, metrics=METRICS, **tags):
            named = {"identity": f"i{add.count}", "forecast.directory": "/nowhere", "tickers": "AAPL"}
            run = client.create_run(experiment, tags={**(named if ours else {}), **tags})
            add.count += 1
            for key, value in PARAMS.items():
                client.log_param(run.info.run_id, key, value)
            for key, value in metrics.items():
                client.log_metric(run.info.run_id, key, value)
            if status != "RUNNING":
                client.set_terminated(run.info.run_id, status)
            return run.info.run_id

        add.count = 0
        return add

    @staticmethod
    def ask(uri):
        return query_finished_runs(uri=uri, experiment_name="made up", patience_s=30.0)

    def test_only_query_finished_runs_of_this_package_count(self, uri, log):
        kept = log()
        for status in ("RUNNING", "FAILED", "KILLED"):
            log(status)
        log(ours=False)  # a sweep's own run, or somebody else's
        assert [run.run_id for run in self.ask(uri)] == [kept]

    def test_none_of_them_finished(self, uri, log):
        for status in ("RUNNING", "FAILED", "FAILED", "KILLED"):
            log(status)
        with pytest.raises(UserError, match="no finished run in it \\(2 FAILED, 1 KILLED, 1 RUNNING\\)"):
            self.ask(uri)

    def test_every_page_is_read(self, uri, log, monkeypatch):
        monkeypatch.setattr(candidates_module, "PAGE", 2)
        made = {log() for _ in range(5)}
        assert {run.run_id for run in self.ask(uri)} == made

    def test_a_figure_that_is_no_number_ranks_nothing(self, uri, log):
        kept = log()
        log(metrics={"val_rmse": math.nan})
        ranking = rank(self.ask(uri), metric="val_rmse", mode="min")
        assert [run.run_id for run in ranking.candidates] == [kept]
        assert ranking.without == 1

    def test_a_deleted_run_is_no_candidate(self, uri, log, client):
        kept, gone = log(), log()
        client.delete_run(gone)
        assert [run.run_id for run in self.ask(uri)] == [kept]

    def test_a_deleted_experiment(self, uri, client):
        client.delete_experiment(client.create_experiment("made up"))
        with pytest.raises(UserError, match="was deleted"):
            self.ask(uri)


def test_the_label_names_the_best_baseline_and_says_whether_it_is_beaten():
    errors = {"model": 0.9, "har": 1.0, "naive": 1.2}
    records = {
        "target": {
            "name": "volatility",
            "unit": "percent a year",
            "loss": "qlike",
            "errors": {"test": errors},
        },
        "baselines": {"best": "har", "figures": {"har": {"test": {"rmse": 1.0}}}},
        "significance": {
            "alpha": 0.05,
            "against": {"har": {"qlike": {"overall": {"stat": 3.0, "p": 0.004}}}},
        },
    }
    metrics = {"val_theil_u": 0.8, "test_theil_u": 0.9}
    assert label(metrics, records).endswith(
        "; beats har, the best baseline by validation (QLIKE ratio: test 0.900)"
    )
    run = candidate(
        0, metrics={"test_rows": 9.0, "test_beats_best": 1.0, "test_skill_best": 10.0}, evaluation=records
    )
    said = champion_metadata(
        run, Choice(metric="val_rmse", mode="min", candidates=1), number=1, audit="not run"
    )
    assert (said["best_baseline"], said["beats_best"], said["skill_best_test"]) == ("har", True, 10.0)
    assert "beats har" in said["verdict"]
    errors["har"] = 0.8
    assert "does not beat har" in label(metrics, records)
    errors["har"] = 1.0
    records["significance"]["against"]["har"]["qlike"]["overall"] = {"stat": 0.7, "p": 0.49}
    assert "does not clearly beat har" in label(metrics, records)
