"""The settings of a sweep: the keys of `hydra/sweeper=ray_tune`, the space in Hydra's own grammar, their errors."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import CompactHydraException, HydraException
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.ray_tune_sweeper._job import Composer

ABOVE = "hydra.sweeper"  # where the sweeper's own keys are
RETURNED = "objective"  # the metric's name where the task returns it and the config names none


class SweepError(CompactHydraException):
    """The sweep as asked for cannot be run; the text names the key, the rule and the way out, in one line."""


class Failed(NamedTuple):
    """A trial that failed."""

    number: int
    overrides: tuple[str, ...]
    error: str  # one line

    def __str__(self) -> str:
        return f"trial {self.number} ({' '.join(self.overrides) or 'no overrides'}): {self.error}"


class TrialsFailed(SweepError):  # noqa: N818 - the sweep is over, its trials failed
    """Some trials failed, or none succeeded; raised when all others have ended."""

    def __init__(self, failed: Sequence[Failed], *, summary: str) -> None:
        super().__init__("\n".join([summary, *(f"  {trial}" for trial in failed)]))
        self.failed = tuple(failed)


def key_of(node: Any, key: str, *, above: str) -> str:
    """Name a key as a user would set it: where it is an interpolation of another key, that other."""
    parts = key.split(".")
    value: Any = OmegaConf.to_container(node, resolve=False) if isinstance(node, DictConfig) else node
    for at, part in enumerate(parts):
        value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, str) and value.startswith("${") and value.endswith("}"):
            return ".".join([value[2:-1], *parts[at + 1 :]])
    return f"{above}.{key}"


def number(name: str, value: Any, *, least: float, whole: bool = False) -> float:
    """Check a number against its lower bound.

    Raises:
        SweepError: it is no number, or too small.
    """
    kind = "a whole number" if whole else "a number"
    wrong = isinstance(value, bool) or not isinstance(value, int if whole else int | float)
    if wrong or not math.isfinite(value) or value < least:
        raise SweepError(f"{name}={value}: must be {kind} >= {least:g}")
    return float(value)


@dataclass
class Resources:
    """What one trial occupies while it runs."""

    cpus: float = 1.0  # cores; fractions share one
    gpus: float = 0.0  # devices; fractions share one


@dataclass
class RayTuneSweeperConf:
    """Keys of `hydra.sweeper`."""

    _target_: str = "hydra_plugins.ray_tune_sweeper.ray_tune_sweeper.RayTuneSweeper"
    _recursive_: bool = False  # nodes below are built when the sweep starts, so that bad overrides stay cheap
    _convert_: str = "all"
    # the space: key -> Hydra's sweep grammar, as text
    params: dict[str, Any] | None = field(default_factory=dict)
    search: Any = "random"  # grid, random, or a node with the _target_ of a ray.tune.search algorithm
    # a node with the _target_ of a ray.tune scheduler; null = every trial runs to its end
    scheduler: Any = None
    metric: str | None = None  # what trials report; null = what the task returns
    mode: str = "min"  # min or max
    num_samples: Any = 10  # trials of every search but grid, >= 1
    max_concurrent: Any = None  # trials at once, >= 1; null = as many as the cluster can run
    # seconds (> 0) after which no trial starts and running ones stop at their next report
    time_budget_s: Any = None
    resources: Resources = field(default_factory=Resources)
    seed: int = 0  # of random search, and of the generators of each job
    retries: int = 1  # how often a trial whose worker died is started again, >= 0
    empty_space: str = "error"  # error, or once: run the single job there is
    callbacks: Any = None  # name -> node with the _target_ of a ray.tune.Callback
    init: Any = None  # arguments of ray.init; null = hydra.launcher.ray.init where there is one
    verbose: bool = False  # show what Ray Tune prints


ConfigStore.instance().store(
    group="hydra/sweeper", name="ray_tune", node=RayTuneSweeperConf, provider="ray_tune_sweeper"
)


@dataclass(kw_only=True)
class Settings(RayTuneSweeperConf):
    """The keys of a sweeper, checked."""

    node: Any  # hydra.sweeper, interpolations in place
    params: dict[str, Any]
    metric: str  # reported or returned
    needed: bool  # a trial that does not give the metric failed
    cpus: float
    gpus: float
    names: dict[str, str]  # for `connect`: what the user calls its arguments

    @classmethod
    def of(cls, keys: Mapping[str, Any], config: DictConfig) -> Settings:
        """Those of a sweeper.

        Raises:
            SweepError: a value is not what its key takes; the text names the key the user set.
        """
        node: Any = config.hydra.sweeper
        name = partial(key_of, node, above=ABOVE)
        _check_choices(keys, name)
        search, metric = keys["search"], keys["metric"]

        def whole(key: str, least: int) -> int:
            return int(number(name(key), keys[key], whole=True, least=least))

        init, address = keys["init"], name("init.address")
        if init is None and OmegaConf.select(config, "hydra.launcher.ray.init") is not None:
            init = config.hydra.launcher.ray.init
            address = key_of(config.hydra.launcher, "ray.init.address", above="hydra.launcher")
        if isinstance(init, DictConfig):
            init = OmegaConf.to_container(init, resolve=True)
        names = {"cpus": name("resources.cpus"), "gpus": name("resources.gpus"), "address": address}
        checked = {
            "params": keys["params"] or {},
            "metric": metric or RETURNED,
            "num_samples": 1 if search == "grid" else whole("num_samples", 1),
            "max_concurrent": None if keys["max_concurrent"] is None else whole("max_concurrent", 1),
            "retries": whole("retries", 0),
            "callbacks": keys["callbacks"] or {},
            "init": {str(key): value for key, value in dict(init or {}).items()},
        }
        return cls(
            **{**keys, **checked},
            node=node,
            needed=metric is not None or _has_target(search),
            cpus=number(names["cpus"], keys["resources"]["cpus"], least=0),
            gpus=number(names["gpus"], keys["resources"]["gpus"], least=0),
            names=names,
        )

    def name(self, key: str) -> str:
        """The key a user would set."""
        return key_of(self.node, key, above=ABOVE)

    def built(self, key: str, node: Any) -> Any:
        """The object of a node with a `_target_`.

        Raises:
            SweepError: it cannot be built.
        """
        from hydra.errors import InstantiationException
        from hydra.utils import instantiate

        try:
            return instantiate(node, _convert_="all")
        except InstantiationException as error:
            cause = error.__cause__ or error
            reason = " ".join(str(cause).split()) or type(cause).__name__
            raise SweepError(f"{self.name(key)}: {node['_target_']} cannot be made: {reason}") from error


def _check_choices(keys: Mapping[str, Any], name: Callable[[str], str]) -> None:
    """Refuse what is none of the options of its key, or does not go with another key."""
    search, scheduler, metric = keys["search"], keys["scheduler"], keys["metric"]
    if search not in ("grid", "random") and not _has_target(search):
        raise SweepError(
            f"{name('search')}={search}: must be grid, random or a node with the _target_ of a search algorithm"
        )
    if scheduler is not None and not _has_target(scheduler):
        raise SweepError(f"{name('scheduler')}={scheduler}: must be null or a node with a _target_")
    for key, options in {"mode": ("min", "max"), "empty_space": ("error", "once")}.items():
        if keys[key] not in options:
            raise SweepError(f"{name(key)}={keys[key]}: must be {' or '.join(options)}")
    if scheduler is not None and metric is None:
        raise SweepError(f"{name('metric')}=null: a scheduler compares trials by what they report; name it")
    budget = keys["time_budget_s"]
    if budget is not None and (
        isinstance(budget, bool) or not isinstance(budget, int | float) or not 0 < budget < math.inf
    ):
        raise SweepError(f"{name('time_budget_s')}={budget}: must be a number of seconds > 0, or null")


def _has_target(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("_target_"), str)


Point = tuple[Any, ...]  # a value for each axis


@dataclass(frozen=True)
class Interval:
    """Any number between two; whole ones include both ends."""

    low: float
    high: float
    log: bool
    whole: bool


@dataclass(frozen=True)
class Axis:
    """One key of the space."""

    key: str  # with the + of an added key
    values: tuple[str, ...] | Interval  # distinct, as they are written in an override

    def override(self, value: Any) -> str:
        """This key set to one value."""
        return f"{self.key}={value!r}" if isinstance(value, float) else f"{self.key}={value}"

    def size(self) -> float:
        """How many values there are; infinite for a continuous interval."""
        if not isinstance(self.values, Interval):
            return len(self.values)
        return self.values.high - self.values.low + 1 if self.values.whole else math.inf

    def domain(self) -> Any:
        """The same for Ray Tune."""
        from ray import tune

        if not isinstance(self.values, Interval):
            return tune.choice(list(self.values))
        low, high = self.values.low, self.values.high
        if self.values.whole:
            draw = tune.lograndint if self.values.log else tune.randint
            return draw(int(low), int(high) + 1)
        return (tune.loguniform if self.values.log else tune.uniform)(low, high)


@dataclass(frozen=True)
class Space:
    """All that a sweep may try: axes in order, each at its place among the overrides that are fixed."""

    entries: tuple[Axis | str, ...]
    # Keys of the config's own space below a node that the command line chose, such as model.hidden_size of model=trees.
    unsure: tuple[str, ...] = ()

    def fitting(self, composer: Composer, *, tell: Callable[[str], None] | None = None) -> Space:
        """The space without those of the config's own keys that one of the chosen options lacks.

        Args:
            tell: called with a sentence that names them.
        """
        fixed = [entry for entry in self.entries if isinstance(entry, str)]
        options = {
            axis.key: [axis.override(value) for value in axis.values]
            for axis in self.axes
            if not isinstance(axis.values, Interval)
        }

        def known(key: str) -> bool:
            tried = [[*fixed, line] for line in options.get(key.partition(".")[0], [])] or [fixed]
            configs = map(composer.compose, tried)
            return all(OmegaConf.select(config, key, default=Ellipsis) is not Ellipsis for config in configs)

        try:
            unknown = [key for key in self.unsure if not known(key)]
        except HydraException:  # which the sweep will say in words
            return self
        if unknown and tell:
            tell(f"{', '.join(unknown)}: not tried, for not every chosen option has such a key")
        return Space(tuple(e for e in self.entries if not isinstance(e, Axis) or e.key not in unknown))

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The keys that vary."""
        return tuple(entry for entry in self.entries if isinstance(entry, Axis))

    def overrides(self, values: Sequence[Any]) -> list[str]:
        """Those of one job."""
        chosen = iter(values)
        return [entry.override(next(chosen)) if isinstance(entry, Axis) else entry for entry in self.entries]

    def size(self) -> float:
        """How many points there are; infinite with a continuous axis."""
        return math.prod(axis.size() for axis in self.axes)

    def trials(self, search: Any, num_samples: int) -> int:
        """How many trials a search makes of it, at most."""
        if not self.axes:
            return 1
        if search == "grid":
            return int(self.size())
        return int(min(num_samples, self.size())) if search == "random" else num_samples

    def grid(self) -> Iterator[Point]:
        """Every point, the last axis turning fastest.

        Raises:
            SweepError: an axis is an interval.
        """
        for axis in self.axes:
            if isinstance(axis.values, Interval):
                raise SweepError(
                    f"{axis.key}: an interval has no end of points, so a grid cannot try them all; "
                    "write choice(...) or range(...), or search at random"
                )
        return self._points()

    def sample(self, num_samples: int, *, seed: int) -> list[Point]:
        """Points at random, none of them twice.

        Args:
            num_samples: how many; fewer where the space has no more.
        """
        import numpy as np

        count = self.trials("random", num_samples)
        if 2 * count > self.size():  # drawing until the last one turns up would take long
            return random.Random(seed).sample(list(self._points()), count)
        points: dict[Point, None] = {}
        generator = np.random.RandomState(seed)
        domains = [axis.domain() for axis in self.axes]
        while len(points) < count:
            points[tuple(plain(domain.sample(random_state=generator)) for domain in domains)] = None
        return list(points)

    def _points(self) -> Iterator[Point]:
        values = [axis.values for axis in self.axes]
        listed = [
            range(int(item.low), int(item.high) + 1) if isinstance(item, Interval) else item
            for item in values
        ]
        return itertools.product(*listed)


def plain(value: Any) -> Any:
    """A number of NumPy's as one of Python's."""
    return value.item() if hasattr(value, "item") else value


def planned(config: DictConfig, arguments: Sequence[str], loader: ConfigLoader) -> int:
    """How many trials a sweep will have, at most, before it starts and without Ray.

    Raises:
        SweepError: the space cannot be read.
        HydraException: Hydra refuses an override.
        ValueError, TypeError, OverflowError: there is no such number; the sweep will say why.
    """
    sweeper = config.hydra.sweeper
    params = OmegaConf.to_container(sweeper.params or OmegaConf.create(), resolve=True)
    assert isinstance(params, dict)
    name = key_of(sweeper, "params", above="hydra.sweeper")
    space = read_space({str(key): value for key, value in params.items()}, arguments, loader, name=name)
    samples = 0 if sweeper.search == "grid" else int(sweeper.num_samples)
    return space.fitting(Composer(loader, config)).trials(sweeper.search, samples)


def read_space(
    params: Mapping[str, Any], arguments: Sequence[str], loader: ConfigLoader, *, name: str
) -> Space:
    """The space of a config and a command line; the command line wins.

    Args:
        params: key -> sweep grammar as text, or a plain value, which is fixed.
        name: of the key that holds `params`.

    Raises:
        SweepError: an entry of `params` is no text, number or truth value, or an axis is empty.
    """
    parser = OverridesParser.create(config_loader=loader)
    typed = parser.parse_overrides(list(arguments))
    own = set(params)
    for override in typed:
        # A space given as a whole replaces the config's: Hydra would add its keys to those.
        value: Any = override.value()
        if override.key_or_group == name and isinstance(value, dict) and not override.is_delete():
            params, own = value, set()
    for key, value in params.items():
        if isinstance(value, list | dict):
            raise SweepError(f"{name}.{key}={value}: must be text such as choice(1,2) or interval(0,1)")
    lines = [f"{key}={'null' if value is None else value}" for key, value in params.items()]
    entries: dict[str, Axis | str] = {}
    for override in [*parser.parse_overrides(lines), *typed]:
        # +a and a are one key: the last value counts, at the place of the first.
        entries[override.get_key_element().lstrip("+")] = _entry(override)
    said = {override.get_key_element().lstrip("+") for override in typed}
    unsure = [key for key in entries if key in own - said and key.partition(".")[0] in said]
    return Space(tuple(entries.values()), tuple(unsure))


def _entry(override: Override) -> Axis | str:
    line = str(override.input_line)
    if not override.is_sweep_override():
        return line
    key = override.get_key_element()
    value: Any = override.value()
    if isinstance(value, IntervalSweep):
        return Axis(key, _interval(line, value))
    if isinstance(value, RangeSweep) and not value.step:
        raise SweepError(f"{line}: a step of zero never ends")
    values = tuple(dict.fromkeys(override.sweep_string_iterator()))
    if not values:
        raise SweepError(f"{line}: nothing to choose from")
    return Axis(key, values)


def _interval(line: str, sweep: IntervalSweep) -> Interval:
    low, high = float(sweep.start or 0), float(sweep.end or 0)
    unknown = sweep.tags - {"log", "int", "float"}
    if unknown:
        raise SweepError(f"{line}: unknown tag {', '.join(sorted(unknown))}; known: log, int")
    ends: list[Any] = [sweep.start, sweep.end]  # int(interval(1,5)) makes them whole
    whole = "int" in sweep.tags or all(isinstance(end, int) for end in ends)
    if not low < high or not math.isfinite(high - low):
        raise SweepError(f"{line}: an interval must go from a lower to a higher finite number")
    if "log" in sweep.tags and low <= 0:
        raise SweepError(f"{line}: on a log scale the interval must begin above 0")
    if whole:
        low, high = math.ceil(low), math.floor(high)
        if low > high:
            raise SweepError(f"{line}: holds no whole number")
    return Interval(low, high, log="log" in sweep.tags, whole=whole)
