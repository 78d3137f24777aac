"""GET /metrics: everything that is known of the server, as Prometheus has it."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from importlib.metadata import version
from itertools import product
from types import SimpleNamespace
from typing import TYPE_CHECKING, get_args

from forecast.champion.store import ChampionStore
from forecast.finished_runs import package_version
from forecast.serve.monitoring.counters import Latency, MetricsSnapshot
from forecast.serve.monitoring.drift import Drift
from forecast.serve.monitoring.outcomes import OutcomeSummary
from forecast.serve.training_jobs import Kind, State, TrainingJobs

if TYPE_CHECKING:
    from prometheus_client import Metric

    from forecast.serve.model_store import LoadedModel
    from forecast.serve.monitoring.monitoring import Monitoring

_MAX_SERIES = 64  # a feature each in /metrics; of more features only the largest index is shown


def exposition(monitoring: Monitoring, model: LoadedModel | None, jobs: TrainingJobs) -> bytes:
    """The text of GET /metrics."""
    from prometheus_client import generate_latest

    figures = monitoring.figures()
    families = [*metric_families(monitoring, figures, model), *_training(figures, jobs), *_processes(figures)]
    return generate_latest(SimpleNamespace(collect=lambda: families))  # all that it asks of a registry


def metric_families(
    monitoring: Monitoring, figures: MetricsSnapshot, model: LoadedModel | None
) -> Iterator[Metric]:
    """Everything that is known, as Prometheus has it; a family without a value is left out."""
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    yield _build()
    if figures.requests:
        requests = CounterMetricFamily(
            "forecast_requests", "Requests, however they ended.", labels=("route", "method", "status")
        )
        of_route: dict[tuple[str, str], Latency] = {}
        for (method, status, route), own in sorted(figures.requests.items()):
            requests.add_metric((route, method, str(status)), own.number)
            of_route[route, method] = of_route.get((route, method), Latency()) + own
        yield requests
        text = "From a request's first byte to its answer's last."
        seconds = HistogramMetricFamily("forecast_request_seconds", text, labels=("route", "method"))
        for labels, own in of_route.items():
            buckets = [(f"{edge:g}", float(number)) for edge, number in own.cumulative()]
            seconds.add_metric(labels, [*buckets, ("+Inf", float(own.number))], own.seconds)
        yield seconds
    yield _gauge("forecast_requests_in_flight", "Requests being answered.", figures.in_flight)
    yield _gauge("forecast_queue", "Windows that wait or are being computed.", figures.queue)
    yield _gauge("forecast_processes", "Processes that answer or compute.", len(figures.processes))
    for name, text, value in (
        ("forecast_windows", "Windows that went through the network.", figures.forecasts),
        ("forecast_batches", "Batches that they went through in.", figures.batches),
        ("forecast_model_swaps", "Models that took the place of another.", figures.swaps),
    ):
        yield CounterMetricFamily(name, text, value=value)
    if figures.last_inference is not None:
        yield _gauge(
            "forecast_last_inference_timestamp_seconds",
            "When the newest forecast from a window that was given was answered.",
            figures.last_inference.timestamp(),
        )
    if model is not None:
        yield from _model_families(model, monitoring.drift(model), monitoring.outcomes(model))


def _model_families(
    model: LoadedModel, drift: Drift | None, outcomes: OutcomeSummary | None
) -> Iterator[Metric]:
    yield _gauge("forecast_model_info", "The model that is served.", {model.version: 1.0}, label="version")
    yield _gauge(
        "forecast_model_loaded_timestamp_seconds", "When it was loaded.", model.loaded_at.timestamp()
    )
    if drift is not None:
        yield _gauge("forecast_drift_windows", "Newest windows that drift is computed from.", drift.windows)
        if drift.outside_share is not None:
            text = "Share of them with a value outside the training range."
            yield _gauge("forecast_drift_outside_share", text, drift.outside_share)
        if drift.features:
            yield _gauge("forecast_drift_psi_max", "Largest stability index of a feature.", drift.psi_max)
        if drift.features and len(drift.features) <= _MAX_SERIES:
            psi: dict[str, float | None] = {own.feature: own.psi for own in drift.features}
            text = "Population stability index beside training."
            yield _gauge("forecast_drift_psi", text, psi, label="feature")
    if outcomes is None:
        return
    both = {"served": outcomes.model, "all": outcomes.all}
    for name, field, text in (
        ("forecast_outcomes", "outcomes", "Newest outcomes that skill and coverage are computed from."),
        ("forecast_rmse_ratio", "rmse_ratio", 'RMSE beside that of "tomorrow = today".'),
        ("forecast_interval_coverage", "coverage", "Share of outcomes inside the intervals served."),
    ):
        values: dict[str, float | None] = {who: getattr(skill, field) for who, skill in both.items()}
        if any(value is not None for value in values.values()):
            yield _gauge(name, text, values, label="models")
    if model.predictor.levels:
        yield _gauge("forecast_interval_level", "What the coverage should be.", model.predictor.levels[0])
    yield _gauge("forecast_outcomes_awaited", "Steps forecast, outcome not known yet.", outcomes.pending)


def _training(figures: MetricsSnapshot, jobs: TrainingJobs) -> Iterator[Metric]:
    """Trainings of this server, and every decision on the champion, whoever took it."""
    from prometheus_client.core import CounterMetricFamily

    text = "Trainings that this server started and that came to an end."
    trainings = CounterMetricFamily("forecast_trainings", text, labels=("kind", "state"))
    for kind, state in product(get_args(Kind), get_args(State)):
        if state != "running":  # a counter that begins at 1 has not increased, for Prometheus: 0 is said, too
            trainings.add_metric((kind, state), figures.trainings.get((kind, state), 0))
    yield trainings
    yield _gauge("forecast_training_running", "Whether one is at work.", float(jobs.current() is not None))
    text = "Decisions on the champion that its log holds."
    decisions = CounterMetricFamily("forecast_decisions", text, labels=("decision",))
    found, newest = Counter[str](), None
    for line in ChampionStore(jobs.champion).decisions():
        found[line["decision"]] += 1
        if line["decision"] != "refused":
            newest = datetime.fromisoformat(line["at"])
    for decision in ("promoted", "refused", "rolled back"):
        decisions.add_metric((decision.replace(" ", "_"),), found[decision])
    yield decisions
    if newest is not None:
        text = "When the champion was last promoted or rolled back."
        yield _gauge("forecast_champion_changed_timestamp_seconds", text, newest.timestamp())


def _processes(figures: MetricsSnapshot) -> Iterator[Metric]:
    """Memory, processor time and open files of each process that answers or computes, by its number (Linux)."""
    from prometheus_client import Metric, ProcessCollector

    merged: dict[str, Metric] = {}
    for process in figures.processes:
        for family in ProcessCollector(pid=lambda: process.pid, registry=None).collect():  # noqa: B023 - at once
            own = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                own.add_sample(sample.name, {**sample.labels, "pid": str(process.pid)}, sample.value)
    yield from merged.values()


@cache
def _build() -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    facts = {"version": package_version(), "python": platform.python_version(), "torch": version("torch")}
    family = GaugeMetricFamily("forecast_build_info", "What answers here.", labels=tuple(facts))
    family.add_metric(tuple(facts.values()), 1.0)
    return family


def _gauge(
    name: str, text: str, value: float | dict[str, float | None] | None, *, label: str | None = None
) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    if not isinstance(value, dict):
        return GaugeMetricFamily(name, text, value=value)
    family = GaugeMetricFamily(name, text, labels=[label or ""])
    for key, own in value.items():
        if own is not None:
            family.add_metric([key], own)
    return family
