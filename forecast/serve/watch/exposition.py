"""The figures as Prometheus reads them.

Source: https://prometheus.io/docs/instrumenting/exposition_formats (text format 0.0.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from forecast.serve.watch.figures import NONE
from forecast.serve.watch.latency import cumulative

if TYPE_CHECKING:
    from forecast.serve.model_store import LoadedModel
    from forecast.serve.watch.drift import Drift
    from forecast.serve.watch.figures import Answers, Figures
    from forecast.serve.watch.outcomes import Told

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# A series each; of more features only the largest index is told.
_MOST_FEATURES = 64

Sample = tuple[str, Mapping[str, str], float]  # what stands behind the name, labels, value


def exposition(
    figures: Figures, *, served: LoadedModel | None, drift: Drift | None, told: Told | None
) -> str:
    """Everything that is known, as text.

    Args:
        figures: of all processes.
        served: the model; None without one.
        drift: of its requests; None where it is not known.
        told: outcomes; None where they are not kept.
    """
    lines = [*_requests(figures), *_processes(figures), *_model(figures, served)]
    if drift is not None:
        lines += _drift(drift)
    if served is not None and told is not None:
        lines += _outcomes(told, served)
    return "\n".join(lines) + "\n"


def _requests(figures: Figures) -> Iterable[str]:
    counted = [
        ("_total", {"route": route, "method": method, "status": str(status)}, float(own.number))
        for (method, status, route), own in sorted(figures.answers.items())
    ]
    yield from _metric("forecast_requests", "counter", "Requests, however they ended.", counted)
    by_route: dict[tuple[str, str], Answers] = {}
    for (method, _, route), own in sorted(figures.answers.items()):
        by_route[method, route] = by_route.get((method, route), NONE) + own
    samples: list[Sample] = []
    for (method, route), own in by_route.items():
        labels = {"route": route, "method": method}
        for edge, number in cumulative(own.counts):
            samples.append(("_bucket", {**labels, "le": f"{edge:g}"}, float(number)))
        samples.append(("_bucket", {**labels, "le": "+Inf"}, float(own.number)))
        samples += [("_sum", labels, own.seconds), ("_count", labels, float(own.number))]
    yield from _metric(
        "forecast_request_seconds", "histogram", "From a request's first byte to its answer's last.", samples
    )


def _processes(figures: Figures) -> Iterable[str]:
    yield from _one("forecast_requests_in_flight", "Requests being answered.", figures.in_flight)
    yield from _one("forecast_queue", "Windows that wait or are being computed.", figures.waiting)
    yield from _one("forecast_processes", "Processes that answer or compute.", len(figures.processes))
    for name, text, value in (
        ("forecast_windows", "Windows that went through the network.", figures.forecasts),
        ("forecast_batches", "Batches that they went through in.", figures.batches),
        ("forecast_model_swaps", "Models that took the place of another.", figures.swaps),
    ):
        yield from _metric(name, "counter", text, [("_total", {}, float(value))])


def _model(figures: Figures, served: LoadedModel | None) -> Iterable[str]:
    ready = [("", {"version": served.version}, 1.0)] if served is not None else []
    yield from _metric("forecast_model_info", "gauge", "The model that is served.", ready)
    if served is not None:
        loaded = served.loaded_at.timestamp()
        yield from _one("forecast_model_loaded_timestamp_seconds", "When it was loaded.", loaded)
    if figures.last_inference is not None:
        yield from _one(
            "forecast_last_inference_timestamp_seconds",
            "When the newest forecast from a window that was given was answered.",
            figures.last_inference.timestamp(),
        )


def _drift(drift: Drift) -> Iterable[str]:
    yield from _one("forecast_drift_windows", "Newest windows that drift is told of.", drift.windows)
    yield from _one(
        "forecast_drift_outside_share",
        "Share of them with a value outside the training range.",
        drift.outside_share,
    )
    yield from _one("forecast_drift_psi_max", "Largest stability index of a feature.", drift.psi_max)
    features = drift.features or []
    if len(features) <= _MOST_FEATURES:
        samples: list[Sample] = [("", {"feature": told.feature}, told.psi) for told in features]
        text = "Population stability index beside training."
        yield from _metric(
            "forecast_drift_psi", "gauge", text, sorted(samples, key=lambda s: s[1]["feature"])
        )


def _outcomes(told: Told, served: LoadedModel) -> Iterable[str]:
    both = (("served", told.model), ("all", told.all))
    for name, text, values in (
        (
            "forecast_outcomes",
            "Newest outcomes that skill and coverage are told of.",
            [(who, float(skill.outcomes)) for who, skill in both],
        ),
        (
            "forecast_rmse_ratio",
            'RMSE beside that of "tomorrow = today".',
            [(who, skill.rmse_ratio) for who, skill in both],
        ),
        (
            "forecast_interval_coverage",
            "Share of outcomes inside the intervals that were served.",
            [(who, skill.coverage) for who, skill in both],
        ),
    ):
        samples: list[Sample] = [("", {"models": who}, value) for who, value in values if value is not None]
        yield from _metric(name, "gauge", text, samples)
    if served.predictor.levels:
        yield from _one("forecast_interval_level", "What the coverage should be.", served.predictor.levels[0])
    yield from _one("forecast_outcomes_awaited", "Steps forecast, outcome not known yet.", told.awaited)


def _one(name: str, text: str, value: float | None) -> Iterable[str]:
    return _metric(name, "gauge", text, [] if value is None else [("", {}, float(value))])


def _metric(name: str, kind: str, text: str, samples: Iterable[Sample]) -> Iterable[str]:
    """A metric's lines; none where it has no sample."""
    # The name of a counter is that of its samples.
    family = f"{name}_total" if kind == "counter" else name
    for number, (ending, labels, value) in enumerate(samples):
        if not number:
            yield f"# HELP {family} {text}"
            yield f"# TYPE {family} {kind}"
        told = ",".join(f'{label}="{_escaped(given)}"' for label, given in labels.items())
        yield f"{name}{ending}{'{' + told + '}' if told else ''} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
