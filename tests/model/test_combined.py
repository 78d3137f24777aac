"""A network around a reference, an average of unlike forecasters, and estimators of scikit-learn and of one's own."""

from __future__ import annotations

import json
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from composed import compose
from forecasters import whole
from markets import market, tables
from safetensors.numpy import load, save
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from forecast.config import check
from forecast.data.target import Direction, Volatility
from forecast.errors import UserError
from forecast.evaluate.metrics import Metrics
from forecast.model import AroundReference, Average, Estimator, Har, Naive, TrainingMean
from forecast.model.building import build_forecaster, restore_forecaster, train
from forecast.model.forecaster import TrainingResult
from forecast.model.neural import NetworkForecaster

TRAINING = ["trainer.max_epochs=2", "trainer.progress=off", "objective.metric=val_rmse"]
HORIZON = 2


@pytest.fixture(scope="module")
def source():
    return tables(300, number=2)


@pytest.fixture(scope="module")
def variances(source):
    return market(source, "no_processing_panel", horizon=HORIZON, target=Volatility())


def trained_of(data, *overrides):
    config = compose(*TRAINING, *overrides)
    check(config)
    score = Metrics(names=data.target.metrics)
    forecaster = build_forecaster(config, data.facts, score=score)
    return config, forecaster, train(forecaster, data, score=score)


def again(config, forecaster, data):
    """Saved and restored, as a run directory does."""
    arrays, facts = forecaster.state()
    sizes = {**data.facts, "output_size": data.horizon * len(forecaster.quantile_levels or (0.5,))}
    facts = {**sizes, "horizon": data.horizon, **json.loads(json.dumps(facts, allow_nan=False))}
    return restore_forecaster(config, load(save(arrays)), facts)


def test_an_untrained_network_is_its_reference(variances):
    """Steps that are too small to move anything."""
    config, forecaster, result = trained_of(variances, "model=har_lstm", "trainer.learning_rate=1e-12")
    batch = whole(variances, "test")
    reference = Har(leverage=True, pooled=True)
    reference.fit(variances)
    np.testing.assert_allclose(forecaster.forecast(batch).values, reference.forecast(batch).values, rtol=1e-6)
    assert [epoch["epoch"] for epoch in result.history] == [0, 1, 2]
    assert forecaster.history == 23
    restored = again(config, forecaster, variances)
    np.testing.assert_array_equal(restored.forecast(batch).values, forecaster.forecast(batch).values)


class Spoiler:
    """Training that leaves a network worse, or better, than it was."""

    quantile_levels = None

    def __init__(self, loss):
        self.loss = loss

    def pinned(self):
        return nullcontext()

    def fit(self, forecaster, data, *, score, on_epoch):  # noqa: ARG002
        with torch.no_grad():
            for parameter in forecaster.network.parameters():
                parameter += 0.1
        epoch = {"train_loss": self.loss, "val_loss": self.loss}
        on_epoch(0, epoch)
        return TrainingResult(history=[{"epoch": 0, **epoch}], best_epoch=0, seconds=0.0)

    def is_better(self, one, other):
        return one["val_loss"] < other["val_loss"]


@pytest.mark.parametrize(("loss", "kept"), [(1e9, 0), (0.0, 1)])
def test_training_can_only_add_to_a_reference(variances, loss, kept):
    def network():
        return AroundReference(
            **variances.facts, reference=Har(), layer_config=["LSTM", "Linear"], hidden_size=4
        )

    forecaster = NetworkForecaster(
        make_network=network, lookback=8, trainer=Spoiler(loss), score=Metrics(names=variances.target.metrics)
    )
    epochs = []
    result = forecaster.fit(variances, on_epoch=lambda epoch, metrics: epochs.append((epoch, metrics)))
    assert (result.best_epoch, [epoch for epoch, _ in epochs]) == (kept, [0, 1])
    batch = whole(variances, "test")
    reference = Har()
    reference.fit(variances)
    same = np.isclose(forecaster.forecast(batch).values, reference.forecast(batch).values, rtol=1e-12).all()
    assert same == (kept == 0)


def test_a_network_learns_what_its_reference_leaves(variances):
    """A reference that forecasts far too much is corrected."""
    node = "model.reference={_target_: forecast.model.Naive}"
    overrides = ["model=har_lstm", "~model.reference", f"+{node}", "trainer.learning_rate=0.02"]
    _, forecaster, result = trained_of(
        variances, *overrides, "trainer.max_epochs=8", "trainer.weight_decay=0"
    )
    assert result.best_epoch > 0
    batch = whole(variances, "test")
    still = Naive().forecast(batch).values
    errors = [
        np.square(values - batch.outcome).mean() for values in (forecaster.forecast(batch).values, still)
    ]
    assert errors[0] < 0.9 * errors[1]


def test_quantiles_and_probabilities_start_at_the_reference(variances, source):
    keys = ["model=har_lstm", "trainer.learning_rate=1e-12"]
    config, forecaster, _ = trained_of(variances, *keys, "trainer.loss=quantile")
    batch = whole(variances, "test")
    found = forecaster.forecast(batch)
    np.testing.assert_allclose(found.quantiles, np.repeat(found.values[..., None], 3, axis=2), rtol=1e-6)
    assert again(config, forecaster, variances).quantile_levels == (0.05, 0.5, 0.95)
    chances = market(source, "returns_panel", horizon=HORIZON, target=Direction())
    reference = "+model.reference={_target_: forecast.model.TrainingMean}"
    _, forecaster, _ = trained_of(chances, *keys, "~model.reference", reference)
    share = TrainingMean()
    share.fit(chances)
    batch = whole(chances, "test")
    np.testing.assert_allclose(forecaster.forecast(batch).values, share.forecast(batch).values, rtol=1e-6)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["~model.reference", "+model.reference={_target_: builtins.dict}"],
            "model.reference: gives a dict, must",
        ),
        (
            ["model.layer_config=[LSTM,{Linear:{out_features:2}},ReLU]"],
            "model.layer_config: ends with ReLU, must end with Linear",
        ),
    ],
)
def test_what_cannot_be_a_reference(variances, overrides, line):
    with pytest.raises(UserError) as caught:
        trained_of(variances, "model=har_lstm", *overrides)
    assert str(caught.value).startswith(line)


def test_an_average_is_the_mean_of_its_members(variances):
    small = [
        "model.members.trees.iterations=20",
        "model.members.lstm.hidden_size=4",
        "trainer.learning_rate=0.01",
    ]
    config, forecaster, result = trained_of(variances, "model=average", *small)
    assert len(result.history) == 1
    assert forecaster.history == 23
    assert forecaster.normaliser is not None
    batch = whole(variances, "test")
    values = forecaster.forecast(batch).values
    alone = trained_of(variances, "model=har_pooled")[1].forecast(batch).values
    members = {name: member.forecast(batch).values for name, member in forecaster.members.items()}
    assert set(members) == {"har", "trees", "lstm"}
    np.testing.assert_array_equal(members["har"], alone)
    np.testing.assert_allclose(values, sum(members.values()) / 3, rtol=1e-12)
    np.testing.assert_array_equal(again(config, forecaster, variances).forecast(batch).values, values)


def test_members_are_checked_and_left_out(variances):
    with pytest.raises(UserError, match=r"^model.members.trees.leaves=1: must be >= 2$"):
        check(compose("model=average", "model.members.trees.leaves=1"))
    with pytest.raises(
        UserError, match=r"^model.members.lstm.hidden_siz=3: unknown key; did you mean hidden_size\?"
    ):
        check(compose("model=average", "+model.members.lstm.hidden_siz=3"))
    _, forecaster, _ = trained_of(
        variances, "model=average", "~model.members.lstm", "model.members.trees=null"
    )
    assert set(forecaster.members) == {"har"}
    with pytest.raises(UserError, match=r"^model.members: leaves nothing to average"):
        Average(members={"har": None}, make=partial(dict))


class Nearest(BaseEstimator):
    """What followed the most alike windows."""

    def __init__(self, *, count=5):
        self.count = count

    def fit(self, X, y):  # noqa: N803
        self.windows_, self.answers_ = X, y
        return self

    def predict(self, X):  # noqa: N803
        away = ((X[:, None] - self.windows_) ** 2).sum(axis=2)
        return self.answers_[np.argsort(away, axis=1)[:, : self.count]].mean(axis=1)


class Holder(LinearRegression):
    """Keeps an object of another class."""

    def fit(self, X, y):  # noqa: N803
        self.kept_ = Nearest()
        return super().fit(X, y)


def test_an_estimator_of_ones_own_is_saved_without_pickle(variances):
    forecaster = Estimator(estimator=Nearest(count=7))
    forecaster.fit(variances)
    batch = whole(variances, "test")
    arrays, facts = forecaster.state()
    assert all(array.dtype == np.uint8 for array in arrays.values())
    restored = Estimator(estimator=Nearest(count=7))
    sizes = {"lookback": variances.seq_len, "horizon": HORIZON}
    restored.restore(load(save(arrays)), {**sizes, **json.loads(json.dumps(facts))})
    np.testing.assert_array_equal(restored.forecast(batch).values, forecaster.forecast(batch).values)
    # Nothing else comes to life: neither another class in its place, nor one that it holds unnamed.
    other = Estimator(estimator=LinearRegression())
    with pytest.raises(Exception, match="Nearest"):
        other.restore(load(save(arrays)), {**sizes, **facts})
    with pytest.raises(UserError, match=r"^model.trusted=\[\]: a fitted Holder holds .*\.Nearest; name them"):
        Estimator(estimator=Holder()).fit(variances)
    Estimator(estimator=Holder(), trusted=[f"{Nearest.__module__}.Nearest"]).fit(variances)


@pytest.mark.parametrize("name", ["os.system", "subprocess.Popen", "test_combinedx.Thing"])
def test_what_a_bundle_wants_trusted_is_of_the_estimators_own_package(name):
    """Otherwise a bundle could create objects of any class on a server that allows one estimator."""
    with pytest.raises(UserError, match=r"^model.trusted\[0\]=.*: must be a class of tests, as"):
        Estimator(estimator=Nearest(), trusted=[name])


def test_parts_that_an_estimator_was_built_of_are_trusted(variances):
    forecaster = Estimator(estimator=make_pipeline(StandardScaler(), Nearest()))
    forecaster.fit(variances)
    batch = whole(variances, "test")
    arrays, facts = forecaster.state()
    restored = Estimator(estimator=make_pipeline(StandardScaler(), Nearest()))
    restored.restore(load(save(arrays)), {"lookback": variances.seq_len, "horizon": HORIZON, **facts})
    np.testing.assert_array_equal(restored.forecast(batch).values, forecaster.forecast(batch).values)


def test_a_linear_estimator_is_least_squares_on_normalised_windows(variances):
    forecaster = Estimator(estimator=LinearRegression())
    forecaster.fit(variances)
    train, test = whole(variances, "train"), whole(variances, "test")
    see = variances.normaliser_.inputs
    x, y = (see(torch.from_numpy(part.windows)).flatten(1).double().numpy() for part in (train, test))
    moves = train.outcome - train.history[:, -1:]
    ones = np.ones((len(x), 1))
    solved, *_ = np.linalg.lstsq(np.concatenate([x, ones], axis=1), moves, rcond=None)
    expected = test.history[:, -1:] + np.concatenate([y, np.ones((len(y), 1))], axis=1) @ solved
    np.testing.assert_allclose(forecaster.forecast(test).values, expected, atol=1e-3)


def test_a_classifier_gives_probabilities(source):
    data = market(source, "returns_panel", horizon=HORIZON, target=Direction())
    forecaster = Estimator(estimator=LogisticRegression(C=0.01))
    forecaster.fit(data)
    batch = whole(data, "test")
    chances = forecaster.forecast(batch).values
    seen = data.normaliser_.inputs(torch.from_numpy(batch.windows)).flatten(1).double().numpy()
    expected = forecaster.models_[0].predict_proba(seen)[:, 1]
    np.testing.assert_allclose(chances[:, 0], expected, rtol=1e-6)
    assert ((chances > 0.2) & (chances < 0.8)).mean() > 0.9
    assert chances.std() > 0.001


def test_what_is_no_estimator():
    with pytest.raises(
        UserError, match=r"^model.estimator: gives a dict, must give a scikit-learn estimator"
    ):
        Estimator(estimator={})
