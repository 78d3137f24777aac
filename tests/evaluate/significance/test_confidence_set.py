"""The model confidence set beside arch's own, and what is said of it."""

import json

import numpy as np
import pytest
from tables import beside, noisy, split_rows, walks

from forecast.evaluate.significance import Significance
from forecast.evaluate.significance.confidence_set import confidence_set


def rows(days=400, tickers=2):
    table = split_rows(walks(tickers, days), noisy(0.001, knows=0.3))
    moved = table.actual - table.naive
    rng = np.random.default_rng(5)

    def guess(knows):
        return table.naive * (1 + 0.001 * rng.standard_normal(len(table))) + knows * moved

    return beside(table, good=guess(0.3), poor=guess(-0.5), twin=table.forecast.copy())


def test_it_is_arch_s_set_of_the_losses_of_each_day():
    from arch.bootstrap import MCS

    table = rows()
    found = confidence_set(table, size=0.1)
    columns = found["forecasters"]
    assert columns["loss"] == sorted(columns["loss"])
    names = ["model", "naive", "good", "poor"]
    guesses = [table.forecast, table.naive, table.baselines["good"], table.baselines["poor"]]
    losses = np.stack(
        [(((table.actual - guess) / table.naive) ** 2).reshape(2, -1).mean(axis=0) for guess in guesses],
        axis=1,
    )
    own = MCS(losses, size=0.1, reps=1000, block_size=found["block"], method="max", seed=0)
    own.compute()
    p = dict(zip(columns["forecaster"], columns["p"], strict=True))
    for place, name in enumerate(names):
        assert p[name] == pytest.approx(own.pvalues["Pvalue"][place])
    inside = dict(zip(columns["forecaster"], columns["in_set"], strict=True))
    assert inside["model"]
    assert not inside["naive"]
    assert not inside["poor"]
    # a forecast that errs as the model does on every bar shares its place
    assert p["twin"] == p["model"]
    json.dumps(found, allow_nan=False)


def test_the_record_and_the_sentence():
    record = Significance(confidence_set=0.1).summary(rows()).record
    assert record["confidence_set"]["origins"] == 399
    assert any(line.startswith("90 % model confidence set: holds the model, and") for line in record["lines"])
    assert Significance().summary(rows()).record["confidence_set"] is None
    few = Significance(confidence_set=0.1).summary(rows(days=30))
    assert any("model confidence set: none, too few origins" in line for line in few.lines)
    flat = split_rows(walks(1, 200), lambda moves: 0 * moves)
    assert any(
        "all forecasts err alike" in line for line in Significance(confidence_set=0.1).summary(flat).lines
    )
