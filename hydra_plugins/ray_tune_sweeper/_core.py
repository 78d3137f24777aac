"""A sweep from its arguments to its outcomes."""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.singleton import Singleton
from hydra.core.utils import configure_log
from omegaconf import OmegaConf
from ray import tune
from ray.tune.error import TuneError
from ray.tune.schedulers import FIFOScheduler

from hydra_plugins.ray_tune_sweeper import _space
from hydra_plugins.ray_tune_sweeper._cluster import connect, own_environment, slots
from hydra_plugins.ray_tune_sweeper._composing import Composer
from hydra_plugins.ray_tune_sweeper._errors import SweepError
from hydra_plugins.ray_tune_sweeper._job import Jobs
from hydra_plugins.ray_tune_sweeper._outcomes import Outcomes, TrialReturn
from hydra_plugins.ray_tune_sweeper._searching import Listed, Numbered
from hydra_plugins.ray_tune_sweeper._settings import Settings
from hydra_plugins.ray_tune_sweeper._space import Space
from hydra_plugins.ray_tune_sweeper._state import clean_state
from hydra_plugins.ray_tune_sweeper._stopping import CleanStops
from hydra_plugins.ray_tune_sweeper._trial import Asked, HydraTrial
from hydra_plugins.ray_tune_sweeper.ray_tune_sweeper import RayTuneSweeper

log = logging.getLogger(__name__)


def sweep(sweeper: RayTuneSweeper, arguments: Sequence[str]) -> Any:
    """Run every trial of a sweep.

    Args:
        sweeper: set up by Hydra.
        arguments: overrides as typed, sweeps among them.

    Returns:
        one batch of job returns, in the order of their numbers.

    Raises:
        SweepError: it cannot be run as asked; nothing was.
        TrialsFailed: it ran, and some trials failed or none succeeded.
    """
    config, context, task = sweeper.config, sweeper.hydra_context, sweeper.task_function
    assert config is not None
    assert context is not None
    assert task is not None
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    settings = Settings.of(sweeper, config)
    space = _space.read(sweeper.params or {}, arguments, context.config_loader, name=settings.name("params"))
    if not space.axes and settings.empty_space == "error":
        raise SweepError(
            f"{settings.name('params')}: the space is empty, nothing varies; name a key and what to try: "
            "key=choice(a,b), key=range(1,5) or key=interval(0,1)"
        )
    search, total = settings.built_search(space)
    scheduler = settings.built_scheduler()
    callbacks = settings.built_callbacks()
    composer = Composer(context.config_loader, config)
    _compose_some(space, composer, context.config_loader)

    folder = Path(config.hydra.sweep.dir)
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, folder / "multirun.yaml")
    jobs = Jobs(
        hydra_context=context, task_function=task, config=config, composer=composer,
        singletons=Singleton.get_state(), folder=os.getcwd(), seed=settings.seed,
    )  # fmt: skip
    with clean_state(settings.seed):
        connect(settings.init, cpus=settings.cpus, gpus=settings.gpus, names=settings.names)
        outcomes = _run(jobs, space, settings, search, total, scheduler, callbacks)
    outcomes.check(metric=settings.metric)
    return [[TrialReturn(outcome, jobs) for outcome in outcomes.all()]]


def _compose_some(space: Space, composer: Composer, loader: ConfigLoader) -> None:
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


def _run(
    jobs: Jobs,
    space: Space,
    settings: Settings,
    search: Any,
    total: int,
    scheduler: Any,
    callbacks: list[Any],
) -> Outcomes:
    """Every trial, from the first to the last."""
    room = slots(settings.cpus, settings.gpus)
    at_once = min(room, settings.max_concurrent or room)
    deadline = None if settings.time_budget_s is None else time.time() + settings.time_budget_s
    fifo: Any = FIFOScheduler  # untyped
    stops = CleanStops(scheduler or fifo(), name=settings.name("scheduler"))
    outcomes = Outcomes()
    asked = Asked(metric=settings.metric, mode=settings.mode, needed=settings.needed, deadline=deadline)
    # A list is handed out at leisure; an algorithm that learns is asked only when there is room for its answer.
    limit = settings.max_concurrent if isinstance(search, Listed) else at_once
    numbered = Numbered(search, space=space, deadline=deadline)
    numbered.set_search_properties(
        settings.metric, settings.mode, None
    )  # Tune would only with a space of its own
    log.info("%s trials, up to %s at once: %s", total, at_once, jobs.config.hydra.sweep.dir)
    with tempfile.TemporaryDirectory(prefix="ray_tune_sweeper_") as scratch, _around_tune(settings, at_once):
        try:
            analysis = tune.run(
                tune.with_parameters(HydraTrial, jobs=jobs, asked=asked),
                name="sweep",
                storage_path=scratch,
                trial_dirname_creator=_name,
                metric=settings.metric,
                mode=settings.mode,
                search_alg=numbered,
                scheduler=stops,
                num_samples=total,
                max_concurrent_trials=limit,
                resources_per_trial={"cpu": settings.cpus, "gpu": settings.gpus},
                reuse_actors=True,
                max_failures=settings.retries,
                raise_on_failed_trial=False,
                callbacks=[outcomes, *callbacks],
                verbose=2 if settings.verbose else 0,
            )
        except TuneError as error:
            if stops.refused:
                raise SweepError(stops.refused) from error
            raise
    if len(outcomes.by_number) < len(analysis.trials):
        raise KeyboardInterrupt
    return outcomes


def _name(trial: Any) -> str:
    """Short: Tune's own names hold every override."""
    return str(trial.trial_id)


@contextmanager
def _around_tune(settings: Settings, at_once: int) -> Iterator[None]:
    """What Ray Tune reads from the environment, and the signal handlers it leaves behind."""
    variables = {
        "TUNE_MAX_PENDING_TRIALS_PG": str(at_once),  # else workers start one after the other
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # CSV, JSON and TensorBoard files for every trial
        "TUNE_GLOBAL_CHECKPOINT_S": str(10**9),  # its own record of the sweep, from which it is never resumed
        "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # would end the sweep at the first result without the metric
        "TUNE_PRINT_ALL_TRIAL_ERRORS": str(int(settings.verbose)),
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
    }
    signals = [signal.SIGINT, signal.SIGUSR1]
    handlers = [signal.getsignal(number) for number in signals]
    quiet = logging.getLogger("ray.tune")
    level = quiet.level
    quiet.setLevel(level if settings.verbose else logging.CRITICAL)
    try:
        with own_environment(variables):
            yield
    finally:
        quiet.setLevel(level)
        for number, handler in zip(signals, handlers, strict=True):
            signal.signal(number, handler)
