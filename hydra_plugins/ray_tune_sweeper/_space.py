"""The space of a sweep: what varies and what is fixed, read from Hydra's own sweep grammar, and its points."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.ray_tune_sweeper._messages import SweepError, key_of

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

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The keys that vary."""
        return tuple(entry for entry in self.entries if isinstance(entry, Axis))

    def overrides(self, values: Sequence[Any]) -> list[str]:
        """Those of one job.

        Args:
            values: of each axis, in order.
        """
        chosen = iter(values)
        return [entry.override(next(chosen)) if isinstance(entry, Axis) else entry for entry in self.entries]

    def size(self) -> float:
        """How many points there are; infinite with a continuous axis."""
        return math.prod(axis.size() for axis in self.axes)

    def trials(self, search: Any, num_samples: int) -> int:
        """How many trials a search makes of it, at most.

        Args:
            search: `grid`, `random`, or an algorithm.
            num_samples: of every search but grid.
        """
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
            seed: same seed, same points.
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

    Args:
        config: with Hydra's own node, and this sweeper in it.
        arguments: overrides as typed.
        loader: knows the options of config groups.

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
    return space.trials(sweeper.search, samples)


def read_space(
    params: Mapping[str, Any], arguments: Sequence[str], loader: ConfigLoader, *, name: str
) -> Space:
    """The space of a config and a command line; the command line wins.

    Args:
        params: key -> sweep grammar as text, or a plain value, which is fixed.
        arguments: overrides as typed.
        loader: knows the options of config groups.
        name: of the key that holds `params`.

    Raises:
        SweepError: an entry of `params` is no text, number or truth value, or an axis is empty.
    """
    parser = OverridesParser.create(config_loader=loader)
    typed = parser.parse_overrides(list(arguments))
    for override in typed:
        # A space given as a whole replaces the config's: Hydra would add its keys to those.
        value: Any = override.value()
        if override.key_or_group == name and isinstance(value, dict) and not override.is_delete():
            params = value
    for key, value in params.items():
        if isinstance(value, list | dict):
            raise SweepError(f"{name}.{key}={value}: must be text such as choice(1,2) or interval(0,1)")
    lines = [f"{key}={'null' if value is None else value}" for key, value in params.items()]
    entries: dict[str, Axis | str] = {}
    for override in [*parser.parse_overrides(lines), *typed]:
        # +a and a are one key: the last value counts, at the place of the first.
        entries[override.get_key_element().lstrip("+")] = _entry(override)
    return Space(tuple(entries.values()))


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
