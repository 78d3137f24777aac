"""Training: what it may depend on, what it keeps, when it stops."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from composed import compose
from forecasters import trained, with_network
from torch import nn

from forecast.config import check
from forecast.data import MarketData, TimeSeriesScaler
from forecast.data.features import NoProcessing
from forecast.data.sources import SyntheticSource
from forecast.errors import UserError
from forecast.evaluate.metrics import Metrics
from forecast.model import LayeredNetwork, Trainer
from forecast.model.optimisation import Adam, clip_gradients
from forecast.model.trainer import TrainingDivergedError
from forecast.model.training import Chunks


class Altered(SyntheticSource):
    """A synthetic market whose bars after a day are others."""

    after = None

    def bars(self, ticker):
        bars = super().bars(ticker).copy()
        if self.after is not None:
            bars.loc[bars.index > self.after, ["Open", "High", "Low", "Close"]] *= 1.5
        return bars


def prepared(*, after=None, **keys):
    source = Altered(num_bars=400)
    source.after = after
    plan = {"seq_len": 8, "scaler": TimeSeriesScaler(), "batch_size": 16} | keys
    data = MarketData(source=source, features=NoProcessing(), scope="panel", tickers=["A", "B"], **plan)
    data.prepare()
    return data


def fit(data, *, seed=0, metric="val_rmse", mode="min", on_epoch=None, **keys):
    plan = {"max_epochs": 3, "learning_rate": 3e-3, "progress": "off"} | keys
    trainer = Trainer(metric=metric, mode=mode, seed=seed, **plan)

    def network():
        return LayeredNetwork(**data.facts, layer_config=["GRU", "Linear"], hidden_size=6)

    return trained(trainer, network, data, on_epoch=on_epoch)


def weights(forecaster):
    return torch.cat([p.detach().ravel() for p in forecaster.network.parameters()])


def test_same_seed_same_weights_other_seed_others():
    data = prepared()
    one, two, three = (weights(fit(data, seed=seed)[0]) for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


def test_changing_test_bars_changes_no_weight():
    data = prepared()
    last_val_day = data.panel_.time_of(data.split_ranges_["val"][1])
    one, two = prepared(), prepared(after=last_val_day)
    assert one.fingerprint_ != two.fingerprint_
    forecaster, result = fit(one)
    other, other_result = fit(two)
    assert torch.equal(weights(forecaster), weights(other))
    assert result.history == other_result.history


def test_best_epoch_s_weights_are_kept():
    data = prepared()
    forecaster, result = fit(data, max_epochs=8, learning_rate=3e-2, weight_decay=0.0)
    best = min(result.history, key=lambda epoch: epoch["val_rmse"])
    assert result.best_epoch == best["epoch"]
    windows = data.windows_["val"]
    batch = windows.take(np.arange(len(windows)))
    found = Metrics()(data=data, rows=batch.rows, forecast=forecaster.forecast(batch).values)
    assert found["val_rmse"] == pytest.approx(best["val_rmse"], rel=1e-12)
    assert best["epoch"] < len(result.history) - 1, "with the last epoch best this test proves nothing"


def test_mode_max_keeps_the_largest():
    _, result = fit(prepared(), metric="val_direction", mode="max", max_epochs=6)
    values = [epoch["val_direction"] for epoch in result.history]
    assert result.best_epoch == int(np.argmax(values))


def test_training_stops_when_the_objective_stalls():
    _, result = fit(prepared(), max_epochs=200, patience=2, learning_rate=3e-2)
    assert len(result.history) == result.best_epoch + 1 + 2


def test_every_epoch_is_reported_with_its_metrics():
    epochs = []
    _, result = fit(prepared(), on_epoch=lambda epoch, metrics: epochs.append((epoch, metrics)))
    assert [epoch for epoch, _ in epochs] == [0, 1, 2]
    for (_, metrics), entry in zip(epochs, result.history, strict=True):
        assert metrics == {key: value for key, value in entry.items() if key != "epoch"}
        assert {"train_loss", "val_loss", "val_rmse", "val_theil_u", "learning_rate"} <= set(metrics)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "plateau"])
def test_learning_rate_follows_its_schedule(schedule):
    _, result = fit(prepared(), lr_schedule=schedule, max_epochs=12, patience=None, learning_rate=3e-2)
    rates = [epoch["learning_rate"] for epoch in result.history]
    assert rates[0] == 3e-2
    if schedule == "constant":
        assert set(rates) == {3e-2}
    elif schedule == "cosine":
        expected = [3e-2 * 0.5 * (1 + math.cos(math.pi * epoch / 12)) for epoch in range(12)]
        assert rates == pytest.approx(expected)
    else:
        assert min(rates) < 3e-2
        assert all(after in (before, before / 2) for before, after in itertools.pairwise(rates))


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("val_rmsee", "objective.metric=val_rmsee: no epoch reports it; did you mean val_rmse?"),
        ("test_rmse", "objective.metric=test_rmse: no epoch reports it"),
    ],
)
def test_objective_that_no_epoch_reports(metric, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        fit(prepared(), metric=metric)


def test_divergence_is_said():
    with pytest.raises(TrainingDivergedError, match=r"trainer.learning_rate=1e\+30"):
        fit(prepared(), learning_rate=1e30, gradient_clip=None, max_epochs=3)


def test_where_the_objective_is_not_defined_the_validation_loss_chooses_the_epoch(caplog):
    data = prepared()
    values = data.panel_.values
    values[:, :4] = 25.0  # nothing moves any more
    _, result = fit(data, metric="val_theil_u")
    losses = [epoch["val_loss"] for epoch in result.history]
    assert result.best_epoch == losses.index(min(losses))
    assert "objective.metric=val_theil_u: is not defined on the validation rows" in caplog.text


def test_clipping_is_torch_s():
    torch.manual_seed(0)
    for most in (0.1, 1e6):
        ours = [torch.nn.Parameter(torch.randn(5, 3)), torch.nn.Parameter(torch.randn(7))]
        for parameter in ours:
            parameter.grad = torch.randn_like(parameter)
        theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
        for mine, other in zip(ours, theirs, strict=True):
            other.grad = mine.grad.clone()
        clip_gradients(ours, most)
        torch.nn.utils.clip_grad_norm_(theirs, most)
        for mine, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine.grad, other.grad)


def test_an_epoch_shows_every_window_once_in_an_order_of_its_own(monkeypatch):
    monkeypatch.setattr("forecast.model.training._CHUNK_BYTES", 4 * 9 * 4 * 16 * 3)  # three batches a chunk
    windows = prepared().windows_["train"]
    chunks = Chunks(windows, batch_size=16, seed=7)
    first, second = ([batch.rows for batch in chunks] for _ in range(2))
    assert len(first) == len(chunks) > 3
    assert all(len(rows) % 16 == 0 for rows in first[:-1])
    everything = windows.take(np.arange(len(windows))).rows
    for epoch in (first, second):
        np.testing.assert_array_equal(np.sort(np.concatenate(epoch)), np.sort(everything))
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))
    again = Chunks(windows, batch_size=16, seed=7)
    np.testing.assert_array_equal(np.concatenate([batch.rows for batch in again]), np.concatenate(first))
    in_order = Chunks(windows, batch_size=16, seed=None)
    np.testing.assert_array_equal(np.concatenate([batch.rows for batch in in_order]), everything)


@pytest.mark.parametrize(
    "layer_config", [["LSTM", "Linear"], ["TCN", "Linear"], ["Flatten", "Linear", "GELU", "Linear"]]
)
@pytest.mark.parametrize("hidden", [6, 128])
def test_forecasts_do_not_depend_on_the_batch(layer_config, hidden):
    """Beyond the last bits, in which products of few rows differ from those of many."""
    data = prepared()
    torch.manual_seed(0)
    network = LayeredNetwork(**data.facts, layer_config=layer_config, hidden_size=hidden)
    torch.nn.init.normal_(network[-1].weight)
    forecaster = with_network(network, data.normaliser_)
    windows = data.windows_["train"].take(np.arange(520)).windows
    together = forecaster.forecast_windows(windows).values
    for size in (1, 7, 33, 519):
        pieces = [forecaster.forecast_windows(windows[at : at + size]).values for at in range(0, 520, size)]
        np.testing.assert_allclose(np.concatenate(pieces), together, rtol=1e-6)


def test_fitting_again_begins_anew():
    data = prepared()
    forecaster, result = fit(data)
    first = weights(forecaster)
    assert forecaster.fit(data).history == result.history
    assert torch.equal(weights(forecaster), first)


def test_plateau_with_an_objective_that_is_not_defined_at_first():
    """`direction` has no value where the forecast never moves; that is no reason to fail."""
    data = prepared()
    trainer = Trainer(
        metric="val_direction", mode="max", seed=0, max_epochs=3, lr_schedule="plateau", progress="off"
    )

    class Undefined:
        calls = 0

        def check_objective(self, metric, mode):
            pass

        def __call__(self, **_):
            self.calls += 1
            return {"val_direction": 50.0 if self.calls == 3 else None}

    network = LayeredNetwork(**data.facts, layer_config=["GRU", "Linear"], hidden_size=6)
    forecaster = with_network(network, data.normaliser_)
    result = trainer.fit(forecaster, data, score=Undefined(), on_epoch=lambda *_: None)
    assert [epoch.get("val_direction") for epoch in result.history] == [None, None, 50.0]
    assert result.best_epoch == 2


def test_adam_takes_the_steps_of_torch_s_own_bit_for_bit():
    torch.manual_seed(3)
    ours = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Linear(8, 1))
    theirs = copy.deepcopy(ours)
    quick = Adam(ours.parameters(), learning_rate=1e-2, weight_decay=1e-2)
    plain = torch.optim.Adam(theirs.parameters(), lr=1e-2, weight_decay=1e-2, fused=True)
    for number in range(30):
        x = torch.randn(16, 4, generator=torch.Generator().manual_seed(number))
        for one in (ours, theirs):
            # now and then a layer takes no part, at the first step too
            through = nn.Sequential(one[0], one[1], one[3]) if number % 7 == 0 else one
            through(x).square().mean().backward()
        if number == 20:  # as a schedule does
            quick.param_groups[0]["lr"] = plain.param_groups[0]["lr"] = 3e-3
        quick.step_and_clear()
        plain.step()
        plain.zero_grad()
        assert all(parameter.grad is None for parameter in ours.parameters())
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(mine, other)


def test_losses_that_would_need_scaling_are_left_out():
    with pytest.raises(UserError, match=r"^trainer\.precision=16-mixed: must be "):
        check(compose("trainer.precision=16-mixed"))


def test_threads_are_pinned_and_given_back():
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with Trainer(metric="val_rmse", mode="min", seed=0, threads=2).pinned():
        assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (2, True)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before
