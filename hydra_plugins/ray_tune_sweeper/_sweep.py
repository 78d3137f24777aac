"""A sweep on Ray Tune, from its settings to its results: search, scheduler, trials, and how each trial ended."""

from __future__ import annotations

import copy
import logging
import math
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra import version
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from ray import tune
from ray.tune import Callback, schedulers
from ray.tune.error import TuneError
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from hydra_plugins.ray_tune_sweeper._cluster import connect, slots
from hydra_plugins.ray_tune_sweeper._job import Composer, Job, Jobs, clean_state
from hydra_plugins.ray_tune_sweeper._settings import (
    Failed,
    Point,
    Settings,
    Space,
    SweepError,
    TrialsFailed,
    plain,
    read_space,
)
from hydra_plugins.ray_tune_sweeper._trial import FAILED, FINISHED, SKIPPED, STOPPED, Goal, HydraTrial

log = logging.getLogger(__name__)


def sweep(
    settings: Settings,
    arguments: Sequence[str],
    config: DictConfig,
    context: HydraContext,
    task: TaskFunction,
) -> Any:
    """Run every trial of a sweep.

    Returns:
        one batch of job returns, in the order of their numbers.

    Raises:
        SweepError: it cannot be run as asked; nothing was.
        TrialsFailed: it ran, and some trials failed or none succeeded.
        KeyboardInterrupt: it was interrupted.
    """
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    loader = context.config_loader
    composer = Composer(loader, config)
    space = read_space(settings.params, arguments, loader, name=settings.name("params"))
    space = space.fitting(composer, tell=log.warning)
    if not space.axes and settings.empty_space == "error":
        raise SweepError(
            f"{settings.name('params')}: the space is empty, nothing varies; name a key and what to try: "
            "key=choice(a,b), key=range(1,5) or key=interval(0,1)"
        )
    search = built_search(settings, space)
    scheduler = built_scheduler(settings)
    callbacks = [settings.built(f"callbacks.{name}", node) for name, node in settings.callbacks.items()]
    _check_overrides(space, composer, loader)

    folder = Path(config.hydra.sweep.dir)
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, folder / "multirun.yaml")
    jobs = Jobs(
        hydra_context=context, task_function=task, config=config, composer=composer,
        singletons=Singleton.get_state(), folder=os.getcwd(), seed=settings.seed,
    )  # fmt: skip
    with clean_state(settings.seed):
        connect(settings.init, cpus=settings.cpus, gpus=settings.gpus, names=settings.names)
        results = _run(jobs, space, settings, search, scheduler, callbacks)
    results.check(metric=settings.metric)
    return [[TrialReturn(result, jobs) for result in results.all()]]


def _check_overrides(space: Space, composer: Composer, loader: ConfigLoader) -> None:
    """Have Hydra refuse unknown keys and options before anything is started.

    One job stands for all, and one more for each option that its group does not have.
    """
    first = [axis.values[0] if isinstance(axis.values, tuple) else axis.values.low for axis in space.axes]
    composer.compose(space.overrides(first))
    for at, axis in enumerate(space.axes):
        options = loader.get_group_options(axis.key.lstrip("+").partition("@")[0])
        for value in axis.values if options and isinstance(axis.values, tuple) else ():
            if value not in options:
                composer.compose(space.overrides([*first[:at], value, *first[at + 1 :]]))


def built_search(settings: Settings, space: Space) -> Any:
    """Where the points come from: a list of them, or an algorithm of Ray Tune.

    Raises:
        SweepError: it is no search, or a grid of an interval.
    """
    if not space.axes:
        return [()]
    if settings.search == "grid":
        return space.grid()
    if settings.search == "random":
        return space.sample(settings.num_samples, seed=settings.seed)
    search = settings.built("search", settings.search)
    if not isinstance(search, Searcher):
        raise SweepError(
            f"{settings.name('search')}: {settings.search['_target_']} is no ray.tune.search.Searcher"
        )
    return search


def built_scheduler(settings: Settings) -> Any:
    """What ends trials early; None where nothing does.

    Raises:
        SweepError: it is no scheduler, or one that pauses trials.
    """
    if settings.scheduler is None:
        return None
    scheduler = settings.built("scheduler", settings.scheduler)
    name = settings.name("scheduler")
    if not isinstance(scheduler, schedulers.TrialScheduler):
        raise SweepError(f"{name}: {settings.scheduler['_target_']} is no ray.tune scheduler")
    pausing = (
        schedulers.HyperBandScheduler,
        schedulers.PopulationBasedTraining,
        schedulers.ResourceChangingScheduler,
    )
    if isinstance(scheduler, pausing):
        raise SweepError(_pauses(name, scheduler))
    return scheduler


def _run(
    jobs: Jobs, space: Space, settings: Settings, search: Any, scheduler: Any, callbacks: list[Any]
) -> Results:
    """Every trial, from the first to the last."""
    total = space.trials(settings.search, settings.num_samples)
    if settings.search == "random" and total < settings.num_samples:
        log.warning(
            "%s=%s: the space has %s distinct points, each is tried once",
            settings.name("num_samples"), settings.num_samples, total,
        )  # fmt: skip
    most = slots(settings.cpus, settings.gpus)
    at_once = min(most, settings.max_concurrent or most)
    deadline = None if settings.time_budget_s is None else time.time() + settings.time_budget_s
    fifo: Any = schedulers.FIFOScheduler  # untyped
    stops = CleanStops(scheduler or fifo(), name=settings.name("scheduler"))
    results = Results()
    goal = Goal(metric=settings.metric, mode=settings.mode, needed=settings.needed, deadline=deadline)
    # A list is handed out as it comes; an algorithm that learns is asked only when its answer can run at once.
    limit = at_once if isinstance(search, Searcher) else settings.max_concurrent
    searcher = JobSearcher(search, space=space, deadline=deadline)
    # Tune itself would call this only with a space of its own.
    searcher.set_search_properties(settings.metric, settings.mode, None)
    log.info("%s trials, up to %s at once: %s", total, at_once, jobs.config.hydra.sweep.dir)
    trainable = tune.with_parameters(HydraTrial, jobs=jobs, goal=goal)
    with _around_tune(settings, at_once):
        try:
            trials = _tune(
                trainable,
                settings,
                search_alg=searcher,
                scheduler=stops,
                num_samples=total,
                max_concurrent_trials=limit,
                callbacks=[results, *callbacks],
            )
        except TuneError as error:
            if stops.refused:
                raise SweepError(stops.refused) from error
            raise
    if results.interrupted:
        raise KeyboardInterrupt
    results.add_lost(trials)
    return results


def _tune(trainable: Any, settings: Settings, **of_sweep: Any) -> Iterable[Any]:
    """Have Ray Tune run all trials, and keep none of its files; the trials."""
    with tempfile.TemporaryDirectory(prefix="ray_tune_sweeper_") as scratch:
        analysis = tune.run(
            trainable,
            name="sweep",
            storage_path=scratch,
            trial_dirname_creator=lambda trial: str(trial.trial_id),  # Tune's own names hold every override
            metric=settings.metric,
            mode=settings.mode,
            resources_per_trial={"cpu": settings.cpus, "gpu": settings.gpus},
            reuse_actors=True,
            max_failures=settings.retries,
            raise_on_failed_trial=False,
            verbose=2 if settings.verbose else 0,
            **of_sweep,
        )
        trials: Iterable[Any] = analysis.trials
    return trials


@contextmanager
def _around_tune(settings: Settings, at_once: int) -> Iterator[None]:
    """Set what Ray Tune reads from the environment; put back the signal handlers it replaces."""
    variables = {
        "TUNE_MAX_PENDING_TRIALS_PG": str(at_once),  # else workers start one after the other
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # CSV, JSON and TensorBoard files for every trial
        "TUNE_GLOBAL_CHECKPOINT_S": str(10**9),  # its own record of the sweep, from which it is never resumed
        "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # would end the sweep at the first result without the metric
        "TUNE_PRINT_ALL_TRIAL_ERRORS": str(int(settings.verbose)),
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
    }
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    environment = {name: os.environ.get(name) for name in variables}
    quiet = logging.getLogger("ray.tune")
    level = quiet.level
    quiet.setLevel(level if settings.verbose else logging.CRITICAL)
    os.environ.update(variables)
    try:
        yield
    finally:
        quiet.setLevel(level)
        for name, value in environment.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


_SIGNALS = (signal.SIGINT, signal.SIGUSR1)  # those that end a run of Tune


class JobSearcher(Searcher):
    """Jobs, numbered as they come: the points of a list, or those that a search algorithm suggests.

    Args:
        source: a list of points, a value for each axis; or an algorithm of Ray Tune.
        deadline: time.time() after which there are no more trials.
    """

    def __init__(self, source: Iterable[Point] | Searcher, *, space: Space, deadline: float | None) -> None:
        super().__init__()
        self._search = source if isinstance(source, Searcher) else None
        self._points = iter(()) if isinstance(source, Searcher) else iter(source)
        self._space, self._deadline = space, deadline
        self._goal: str | None = None
        self._count = 0

    @property
    def metric(self) -> Any:
        """The search's own."""
        return self._goal if self._search is None else self._search.metric

    def set_search_properties(self, metric: str | None, mode: str | None, config: Any, **spec: Any) -> bool:
        """Pass the space on, under names that every algorithm takes."""
        del config
        self._goal = metric
        domains = dict(zip(self._names(), (axis.domain() for axis in self._space.axes), strict=True))
        return self._search is None or bool(self._search.set_search_properties(metric, mode, domains, **spec))

    def suggest(self, trial_id: str) -> Any:
        """The next job, None where the search waits for results, or FINISHED."""
        if self._deadline is not None and time.time() > self._deadline:
            return self.FINISHED
        if self._search is None:
            point = next(self._points, None)
            if point is None:
                return self.FINISHED
        else:
            values: Any = self._search.suggest(trial_id)
            if values is None or values == self.FINISHED:
                return values
            point = tuple(plain(values[name]) for name in self._names())
        self._count += 1
        return {"number": self._count - 1, "overrides": self._space.overrides(point)}

    def _names(self) -> list[str]:
        return [f"axis_{number}" for number in range(len(self._space.axes))]

    def on_trial_result(self, trial_id: str, result: Any) -> None:
        """Pass it on."""
        if self._search is not None:
            self._search.on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Pass it on."""
        if self._search is not None:
            self._search.on_trial_complete(trial_id, result, error)

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        """Pass it on."""
        return self._search is not None and bool(self._search.set_max_concurrency(max_concurrent))

    def save(self, checkpoint_path: str) -> None:
        """A sweep begins anew; finished jobs are for the task to recognise."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was kept."""


class CleanStops(schedulers.TrialScheduler):
    """A scheduler whose decision to stop reaches the task before Tune takes the worker away from it.

    Tune's own way to stop a class Trainable leaves it some ten seconds, and drops its last result.
    """

    def __init__(self, scheduler: schedulers.TrialScheduler, *, name: str) -> None:
        begin: Any = super().__init__  # untyped
        begin()
        self._scheduler, self._name = scheduler, name
        self.refused: str | None = None  # why the sweep cannot go on with this scheduler
        for method in (
            *("set_search_properties", "on_trial_add", "on_trial_complete", "on_trial_remove"),
            *("on_trial_error", "choose_trial_to_run", "debug_string"),
        ):
            setattr(self, method, getattr(scheduler, method))

    @property
    def metric(self) -> Any:
        """The scheduler's own."""
        return self._scheduler.metric

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """The scheduler's decision; to stop is passed on to the task, which then ends the trial."""
        decision = str(self._scheduler.on_trial_result(tune_controller, trial, result))
        if decision == self.PAUSE:
            self.refused = _pauses(self._name, self._scheduler)
            raise RuntimeError(self.refused)
        if decision == self.STOP:
            worker: Any = trial.temporary_state.ray_actor
            worker.request_stop.remote()  # an actor's calls keep their order: before the next step
            return str(self.CONTINUE)
        return decision


def _pauses(name: str, scheduler: schedulers.TrialScheduler) -> str:
    return (
        f"{name}: {type(scheduler).__name__} pauses trials to go on with them elsewhere, and a half-finished job "
        "cannot be moved; choose one that only stops them, such as AsyncHyperBandScheduler"
    )


@dataclass(frozen=True)
class TrialResult:
    """How one trial ended."""

    job: Job
    status: str  # finished, stopped, skipped or failed
    value: float | str | None  # of the metric, None where undefined; or what the task returned
    error: str | None  # one line


class Results(Callback):
    """Records how every trial ended."""

    def __init__(self) -> None:
        self.interrupted = False  # by a signal
        self._by_number: dict[int, TrialResult] = {}

    def setup(
        self, stop: Any = None, num_samples: Any = None, total_num_samples: Any = None, **_: Any
    ) -> None:
        """Called when Tune has set its signal handlers, which end the run and say so to nobody."""
        del stop, num_samples, total_num_samples
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            signal.signal(number, self._interrupting(signal.getsignal(number)))

    def _interrupting(self, handler: Any) -> Any:
        def interrupt(number: int, frame: Any) -> None:
            self.interrupted = True
            if callable(handler):
                handler(number, frame)

        return interrupt

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """It ended by itself."""
        del iteration, trials, info
        ended: Mapping[str, Any] | None = trial.last_result.get("ended")
        if ended is None:
            return  # Tune ended it
        if ended["details"]:
            log.error("trial %s failed\n%s", trial.config["number"], ended["details"])
        self._add(trial, ended["status"], ended["value"], ended["error"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Its worker died, or never started, and retries are used up."""
        del iteration, trials, info
        self._add(trial, FAILED, None, _why_lost(trial))

    def add_lost(self, trials: Iterable[Any]) -> None:
        """Record as failed what Tune gave up without a result, though nobody interrupted it."""
        for trial in trials:
            if int(trial.config["number"]) not in self._by_number:
                status = str(trial.status).lower()
                self._add(trial, FAILED, None, f"lost: Ray Tune left it {status}, without a result")

    def _add(self, trial: Any, status: str, value: float | str | None, error: str | None) -> None:
        number = int(trial.config["number"])
        job = Job(number, tuple(trial.config["overrides"]), trial.trial_id)
        undefined = isinstance(value, float) and not math.isfinite(value)
        self._by_number[number] = TrialResult(job, status, None if undefined else value, error)

    def all(self) -> list[TrialResult]:
        """By number."""
        return [result for _, result in sorted(self._by_number.items())]

    def check(self, *, metric: str) -> None:
        """Raise what must be said of failures.

        Raises:
            TrialsFailed: a trial failed, or none gave a value.
        """
        results = self.all()
        failed = [
            Failed(result.job.number, result.job.overrides, str(result.error))
            for result in results
            if result.status == FAILED
        ]
        if failed:
            summary = f"{len(failed)} of {len(results)} trials failed:"
            if len(failed) == len(results) and len({trial.error for trial in failed}) == 1:
                summary = f"every trial failed ({len(failed)} of them; {metric} is what they were asked for):"
        elif not results:
            summary = "no trial was run: the time budget was used up before the first"
        elif not any(result.status in (FINISHED, STOPPED) for result in results):
            reasons = {str(result.error) for result in results if result.status == SKIPPED}
            why = f": {'; '.join(sorted(reasons)[:3])}" if reasons else ""
            summary = f"none of {len(results)} trials was run{why}"
        else:
            return
        raise TrialsFailed(failed, summary=summary)


def _why_lost(trial: Any) -> str:
    written = Path(trial.error_file or os.devnull).read_text("utf-8")
    lines = [line.strip() for line in written.splitlines() if line.strip()]
    if any("creation task" in line for line in lines):
        return f"its worker could not be started: {lines[-1]}"
    return f"its worker died {trial.num_failures} times; out of memory or killed?"


class TrialReturn(JobReturn):
    """Hydra's record of a job; its configs are composed when they are read."""

    def __init__(self, result: TrialResult, jobs: Jobs) -> None:
        self.overrides = list(result.job.overrides)
        self.status = JobStatus.FAILED if result.status == FAILED else JobStatus.COMPLETED
        self.return_value = result.value
        self.task_name = jobs.config.hydra.job.name
        self.result = result
        self._jobs = jobs

    @cached_property
    def hydra_cfg(self) -> DictConfig:  # type: ignore[override]
        """The whole config of the job."""
        config = self._jobs.compose(self.result.job)
        HydraConfig.instance().set_config(config)  # the folder may be named after the job
        folder = Path(self._jobs.folder, config.hydra.sweep.dir, config.hydra.sweep.subdir)
        with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = str(folder)
        return config

    @cached_property
    def cfg(self) -> DictConfig:  # type: ignore[override]
        """The task's own config."""
        config = copy.deepcopy(self.hydra_cfg)
        with read_write(config), open_dict(config):
            del config["hydra"]
        return config

    @cached_property
    def working_dir(self) -> str:  # type: ignore[override]
        """Where the task was run."""
        node = self.hydra_cfg.hydra
        changed = node.job.chdir
        if changed is None:
            changed = not version.base_at_least("1.2")
        return str(node.runtime.output_dir if changed else self._jobs.folder)
