"""LitServe's four methods: what is served, whichever process it runs in."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import HTTPException
from litserve import LitAPI

from forecast.errors import UserError
from forecast.serve.models import Models
from forecast.serve.schemas import Infer
from forecast.serve.windows import Window, fitted, panel_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.serve.served import Served
    from forecast.serve.watch import Watch


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to one request.

    Args:
        forecast: (horizon,) prices.
        bounds: (2, horizon) lower and upper of the first level; None without intervals.
        level: of these bounds.
        version: of the model.
        warnings: what the caller must know.
        problem: why there is no forecast; None where there is.
    """

    forecast: NDArray[np.float64]
    bounds: NDArray[np.float64] | None
    level: float | None
    version: str
    warnings: tuple[str, ...]
    problem: str | None = None


class ForecastAPI(LitAPI):
    """Windows in, forecasts out.

    Args:
        models: where the model comes from.
        most: requests answered together.
        watch: told of what was forecast.
    """

    def __init__(self, *, models: Models, most: int, watch: Watch | None = None) -> None:
        super().__init__(api_path="/infer")
        self.models = models
        self.most = most
        self.watch = watch
        self._threads_of: dict[int, str] = {}  # thread -> model

    def setup(self, device: str) -> None:
        """Make a process ready to answer: called once in each."""
        self.models.device = device
        if self.models.current is None:
            self.models.load()
        self.models.watch()

    def decode_request(self, request: Infer) -> Window:
        """Hold a request against the model.

        Raises:
            HTTPException: 404 there is none, 400 the request is none for it.
        """
        served = self.models.current
        if served is None:
            raise HTTPException(404, f"no model is served: {self.models.following} is not there yet")
        try:
            return fitted(request.sequence, request.ticker, served)
        except UserError as error:
            raise HTTPException(400, str(error)) from error

    def predict(self, windows: Sequence[Window]) -> list[Answer]:
        """Forecast all at once; one that cannot be answered does not hinder its neighbours."""
        served = self.models.current
        assert served is not None  # it was when these were decoded, and a model is never taken away
        self._pin_threads(served)
        answers: dict[int, Answer] = {}
        asked: dict[int, Window] = {}
        for place, window in enumerate(windows):
            try:
                # The model may have changed since.
                fresh = window.version == served.version
                asked[place] = window if fresh else fitted(window.given, window.ticker, served)
            except UserError as error:
                answers[place] = _refusal(served, str(error))
        if asked:
            answers |= dict(zip(asked, self._answers(list(asked.values()), served), strict=True))
        return [answers[place] for place in range(len(windows))]

    def encode_response(self, answer: Answer) -> dict[str, Any]:
        """An answer as plain values, `latency_ms` still missing.

        Raises:
            HTTPException: 400 there is no forecast.
        """
        if answer.problem is not None:
            raise HTTPException(400, answer.problem)
        forecast = answer.forecast.tolist()
        several = len(forecast) > 1
        told: dict[str, Any] = {
            "prediction": forecast[0],
            "timestamp": datetime.now(UTC).isoformat(),
            "model_version": answer.version,
        }
        if several:
            told["forecast"] = forecast
        if answer.bounds is not None:
            lower, upper = ([_known(bound) for bound in side] for side in answer.bounds.tolist())
            told |= {"lower": lower if several else lower[0], "upper": upper if several else upper[0]}
            told["level"] = answer.level
        if answer.warnings:
            told["warnings"] = list(answer.warnings)
        return told

    def _answers(self, windows: list[Window], served: Served) -> list[Answer]:
        predictor = served.predictor
        values, refused, warnings = panel_rows(windows, served)
        forecast, inputs = predictor.forecaster.predict_seen(values)  # (B, h), (B, L, F)
        bounds = self._bounds(windows, values, forecast, served)
        finite = np.isfinite(forecast).all(axis=1).reshape(-1)
        if self.watch is not None:
            self._note(windows, values, forecast, bounds, served)
        level = predictor.levels[0] if bounds is not None else None
        strange = _strange(inputs, served)
        found = []
        for place, window in enumerate(windows):
            if place in refused or not finite[place]:
                why = refused.get(place, "sequence: no finite forecast comes of these numbers")
                found.append(_refusal(served, why))
                continue
            told = (*window.warnings, *warnings, *strange[place])
            own = None if bounds is None else bounds[:, place]
            found.append(Answer(forecast[place], own, level, served.version, told))
        return found

    def _note(
        self,
        windows: list[Window],
        values: NDArray[np.float32],
        forecast: NDArray[np.float64],
        bounds: NDArray[np.float64] | None,
        served: Served,
    ) -> None:
        """Have it noted what was forecast for those who asked."""
        assert self.watch is not None
        asked = [place for place, window in enumerate(windows) if not window.made_up]
        if len(asked) < len(windows):
            values, forecast = values[asked], forecast[asked]
            bounds = None if bounds is None else bounds[:, asked]
        if asked:
            names = [windows[place].ticker or "" for place in asked]
            self.watch.forecasts(served, values, names, forecast, bounds)

    def _bounds(
        self,
        windows: list[Window],
        values: NDArray[np.float32],
        forecast: NDArray[np.float64],
        served: Served,
    ) -> NDArray[np.float64] | None:
        """(2, B, h) of the first level."""
        predictor = served.predictor
        widths = predictor.intervals
        if widths is None:
            return None
        naive = values[:, -1, predictor.forecaster.normaliser.target].astype(np.float64)
        quantiles = None if widths.quantile_levels is None else predictor.forecaster.quantiles(values)
        found: NDArray[np.float64] = widths.bounds(
            [window.ticker or "" for window in windows], forecast, naive, quantiles
        )[0]
        return found

    def _pin_threads(self, served: Served) -> None:
        """As many as in training, in the thread that computes: sums in another order differ in the last bits."""
        here = threading.get_ident()
        if self._threads_of.get(here) != served.version:
            import torch

            torch.set_num_threads(int(served.config.get("trainer", {}).get("threads", 1)))
            self._threads_of[here] = served.version


def _strange(inputs: NDArray[np.float32], served: Served) -> list[tuple[str, ...]]:
    """A warning for each window in which the network sees what training had none like."""
    reference = served.reference
    if reference is None:
        return [()] * len(inputs)
    outside = reference.outside(inputs)  # (B, F)
    if not outside.any():
        return [()] * len(inputs)
    names = np.asarray(reference.names)
    return [
        (f"outside the training range: {', '.join(names[own][:8])}",) if own.any() else () for own in outside
    ]


def _known(bound: float) -> float | None:
    """A bound whose width the run could not learn is null; the forecast stands without it."""
    return bound if math.isfinite(bound) else None


def _refusal(served: Served, problem: str) -> Answer:
    return Answer(np.empty(0), None, None, served.version, (), problem)
