"""Boosted trees and any other estimator of scikit-learn as a forecaster that is saved without pickle."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any
from zipfile import ZipFile, ZipInfo

import numpy as np
from annotated_types import Ge, Gt, Le

from forecast.errors import UserError
from forecast.model.forecaster import LEAST_CHANCE, Forecast, OnEpoch, one_thread
from forecast.model.regression import denormalise, flat_inputs, normaliser_of, training_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.normaliser import WindowNormaliser
    from forecast.data.windows import WindowBatch

# Of scikit-learn's own classes: what trees are made of beyond what skops trusts by itself.
_TRUSTED = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)


class _StepByStep(ABC):
    """One estimator of scikit-learn for each step ahead, fitted to the normalised windows that a network sees.

    All series are pooled. What was fitted is kept as skops writes it, byte by byte, which is no pickle: when it is
    read, nothing but scikit-learn's own classes and those of `trusted_` may come to life.
    """

    quantile_levels: tuple[float, ...] | None = None
    normaliser: WindowNormaliser | None = None
    history: int | None = None  # the lookback, once fitted
    max_values: int
    models_: list[Any]  # one a step
    trusted_: Sequence[str] = _TRUSTED

    @abstractmethod
    def make(self) -> Any:
        """An estimator that was not fitted."""

    def fit(self, data: MarketData, *, on_epoch: OnEpoch | None = None) -> None:  # noqa: ARG002
        """See Forecaster."""
        self.normaliser, self.history = data.normaliser_, data.seq_len
        models = [self.make() for _ in range(data.horizon)]
        table = training_table(data, max_values=self.max_values // data.horizon)
        inputs, targets = table.inputs.astype(np.float64), table.targets.astype(np.float64)
        if data.target.relation == "probability" and hasattr(models[0], "predict_proba"):
            targets = (targets > 0).astype(np.int64)
        with one_thread():
            self.models_ = [model.fit(inputs, step) for model, step in zip(models, targets.T, strict=True)]

    def forecast(self, batch: WindowBatch) -> Forecast:
        """See Forecaster."""
        assert self.normaliser is not None, "not fitted"
        inputs = flat_inputs(self.normaliser, batch.windows).astype(np.float64)
        chance = self.normaliser.target_relation == "probability"
        with one_thread():
            answers = [
                _log_odds(model, inputs)
                if chance and hasattr(model, "predict_proba")
                else np.asarray(model.predict(inputs), np.float64).reshape(-1)
                for model in self.models_
            ]
        return denormalise(self.normaliser, batch.windows, np.stack(answers, axis=1))

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See Forecaster."""
        assert self.normaliser is not None, "not fitted"
        saved = {f"step_{n}": np.frombuffer(data, np.uint8) for n, data in enumerate(self.saved(), start=1)}
        return saved, {"normaliser": self.normaliser.to_json()}

    def restore(self, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        """See Forecaster."""
        from skops import io

        self.normaliser, self.history = normaliser_of(facts), facts["lookback"]
        self.models_ = [
            io.loads(arrays[f"step_{step}"].tobytes(), trusted=list(self.trusted_))
            for step in range(1, facts["horizon"] + 1)
        ]

    def saved(self) -> list[bytes]:
        """Each step's model as skops writes it; equal models are equal bytes."""
        from skops import io

        return [_repeatable(io.dumps(model)) for model in self.models_]


class Trees(_StepByStep):
    """Histogram gradient boosting from the normalised window the network sees to its targets, one model a step.

    All series are pooled. The defaults are few and small trees: in daily prices there is little to find, and larger
    ones learn noise (31 leaves: RMSE 1 to 5 % above that of "tomorrow = today" on the embedded data).

    Args:
        iterations: trees a step.
        learning_rate: weight of each.
        leaves: of a tree.
        min_samples_leaf: training windows a leaf.
        max_values: numbers to learn from, windows x lookback x features, all steps together; of more, evenly
            spaced windows are taken.

    Source: Friedman (2001), Greedy function approximation, Annals of Statistics 29; scikit-learn's,
    https://scikit-learn.org/stable/modules/generated/sklearn.ensemble.HistGradientBoostingRegressor.html
    """

    def __init__(
        self,
        *,
        iterations: Annotated[int, Ge(1)] = 50,
        learning_rate: Annotated[float, Gt(0), Le(1)] = 0.02,
        leaves: Annotated[int, Ge(2)] = 4,
        min_samples_leaf: Annotated[int, Ge(1)] = 100,
        max_values: Annotated[int, Ge(1)] = 4_000_000,
    ) -> None:
        self.max_values = max_values
        self.settings = {
            "max_iter": iterations,
            "learning_rate": learning_rate,
            "max_leaf_nodes": leaves,
            "min_samples_leaf": min_samples_leaf,
        }

    def make(self) -> Any:
        """An estimator that was not fitted."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        # Early stopping would hold out windows at random, which overlap those it learns from.
        return HistGradientBoostingRegressor(**self.settings, early_stopping=False, random_state=0)


class Estimator(_StepByStep):
    """A scikit-learn estimator on the normalised window that a network sees, one copy of it for each step.

    Any class with `fit(X, y)`, `predict(X)`, `get_params` and `set_params` will do; a classifier, with `predict_proba`,
    where a probability is forecast. When what was fitted is read again, nothing but scikit-learn's own classes, the
    estimator's class and those named in `trusted` may come to life.

    Args:
        estimator: node of the class, with its arguments; a `random_state` that is not given is 0.
        trusted: further classes, `module.Class`, that the fitted estimator holds; of the packages of its own.
        max_values: numbers to learn from, windows x lookback x features, all steps together; of more, evenly
            spaced windows are taken.

    Raises:
        UserError: it is no estimator, or a class is to be trusted that is of another package.
    """

    def __init__(
        self,
        *,
        estimator: Any,
        trusted: Sequence[str] = (),
        max_values: Annotated[int, Ge(1)] = 4_000_000,
    ) -> None:
        needed = ("fit", "predict", "get_params", "set_params")
        if isinstance(estimator, type) or not all(
            callable(getattr(estimator, name, None)) for name in needed
        ):
            raise UserError(
                f"model.estimator: gives a {type(estimator).__name__}, must give a scikit-learn estimator: "
                "fit, predict, get_params, set_params (sklearn.base.BaseEstimator has the last two)"
            )
        self.estimator = estimator
        self.trusted = list(trusted)
        self.max_values = max_values
        # A bundle names what it is built of, which a server checks; what comes to life beside that is no further away.
        own = [name for name in _classes_of(estimator) if not name.startswith("builtins.")]
        self.trusted_ = [*_TRUSTED, *own, *self.trusted]
        packages = sorted({name.partition(".")[0] for name in own} - {"numpy"})
        for place, name in enumerate(self.trusted):
            if name.partition(".")[0] not in packages:
                raise UserError(
                    f"model.trusted[{place}]={name}: must be a class of {', '.join(packages)}, as the estimator is"
                )

    def make(self) -> Any:
        """A copy that was not fitted."""
        from sklearn.base import clone

        model = clone(self.estimator)
        unset = [
            name
            for name, value in model.get_params().items()
            if name.rpartition("__")[2] == "random_state" and value is None
        ]
        return model.set_params(**dict.fromkeys(unset, 0))

    def fit(self, data: MarketData, *, on_epoch: OnEpoch | None = None) -> None:
        """See Forecaster.

        Raises:
            UserError: what was fitted cannot be saved, or could not be read again.
        """
        super().fit(data, on_epoch=on_epoch)
        self.saved()

    def saved(self) -> list[bytes]:
        """Each step's model as bytes that can be read again."""
        from skops import io
        from skops.io.exceptions import UnsupportedTypeException

        kind = type(self.estimator).__name__
        try:
            saved = super().saved()
        except UnsupportedTypeException as error:
            raise UserError(
                f"model.estimator: a fitted {kind} holds what skops cannot save: {str(error).splitlines()[0]}"
            ) from error
        unknown = {name for data in saved for name in io.get_untrusted_types(data=data)} - set(self.trusted_)
        if unknown:
            raise UserError(
                f"model.trusted={self.trusted}: a fitted {kind} holds {', '.join(sorted(unknown))}; "
                f"name them there to have them read again"
            )
        return saved


def _classes_of(estimator: Any) -> list[str]:
    """`module.Class` of an estimator and of every part that it was built of."""
    parts = [estimator, *estimator.get_params().values()]
    parts += [part for value in parts if isinstance(value, list | tuple) for part in value]
    return list(dict.fromkeys(f"{type(part).__module__}.{type(part).__qualname__}" for part in parts))


def _repeatable(saved: bytes) -> bytes:
    """An archive of skops without the time of writing, and with numbers in place of addresses in memory."""
    addresses: dict[int, int] = {}
    files: dict[str, str] = {}

    def renamed(node: dict[str, Any]) -> dict[str, Any]:
        if isinstance(address := node.get("__id__"), int):
            node["__id__"] = addresses.setdefault(address, len(addresses))
        if isinstance(file := node.get("file"), str):
            node["file"] = files.setdefault(file, f"{len(files)}{PurePath(file).suffix}")
        return node

    out = BytesIO()
    with ZipFile(BytesIO(saved)) as old, ZipFile(out, "w") as new:
        schema = json.loads(old.read("schema.json"), object_hook=renamed)
        for name, number in files.items():
            new.writestr(ZipInfo(number), old.read(name))
        new.writestr(ZipInfo("schema.json"), json.dumps(schema))
    return out.getvalue()


def _log_odds(model: Any, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """(batch,) of the class 1, no surer than 99 %; of a classifier that was shown one class alone, as sure as that."""
    chances = np.zeros(len(inputs))
    for place, label in enumerate(model.classes_):
        if label == 1:
            chances = np.asarray(model.predict_proba(inputs)[:, place], np.float64)
    chances = chances.clip(LEAST_CHANCE, 1 - LEAST_CHANCE)
    return np.log(chances / (1 - chances))
