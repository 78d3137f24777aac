"""Where trials come from: a list made beforehand, or a search algorithm of Ray Tune; numbered as they come."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from typing import Any

from ray.tune.search import Searcher

from hydra_plugins.ray_tune_sweeper._space import Axis, Interval, Space

Point = tuple[Any, ...]


def draw(space: Space, *, num_samples: int, seed: int) -> list[Point]:
    """Points at random, none of them twice.

    Args:
        num_samples: how many; fewer where the space has no more.
        seed: same seed, same points.
    """
    import numpy as np

    points: dict[Point, None] = {}
    generator = np.random.RandomState(seed)
    domains = [axis.domain() for axis in space.axes]
    wanted = space.trials("random", num_samples)
    if 2 * wanted > space.size():  # drawing until the last one turns up would take long
        everything = list(_everything(space))
        return random.Random(seed).sample(everything, wanted)
    while len(points) < wanted:
        points[tuple(_plain(domain.sample(random_state=generator)) for domain in domains)] = None
    return list(points)


def _everything(space: Space) -> Iterator[Point]:
    import itertools

    return itertools.product(*(_values(axis) for axis in space.axes))


def _values(axis: Axis) -> Iterable[Any]:
    if isinstance(axis.values, Interval):
        return range(int(axis.values.low), int(axis.values.high) + 1)
    return axis.values


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


class Listed(Searcher):
    """Hands out points in order.

    Args:
        points: a value for each axis.
    """

    def __init__(self, points: Iterable[Point]) -> None:
        super().__init__()
        self._points = iter(points)

    def set_search_properties(self, metric: str | None, mode: str | None, config: Any, **_: Any) -> bool:
        """It asks for nothing."""
        del mode, config
        self._metric = metric
        return True

    def suggest(self, trial_id: str) -> Any:
        """The next point."""
        del trial_id
        point = next(self._points, None)
        return self.FINISHED if point is None else dict(zip(_names(len(point)), point, strict=True))

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """It learns nothing."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to keep."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was kept."""


class Numbered(Searcher):
    """Turns what a search suggests into a job's number and overrides.

    Args:
        search: an algorithm of Ray Tune, or `Listed`.
        space: what its points mean.
        deadline: time.time() after which there are no more trials.
    """

    def __init__(self, search: Searcher, *, space: Space, deadline: float | None) -> None:
        super().__init__()
        self._search = search
        self._space = space
        self._deadline = deadline
        self._count = 0

    @property
    def metric(self) -> Any:
        """The search's own."""
        return self._search.metric

    def set_search_properties(self, metric: str | None, mode: str | None, config: Any, **spec: Any) -> bool:
        """Tell the search its space, under names that no algorithm stumbles over."""
        del config
        axes = self._space.axes
        domains = {name: axis.domain() for name, axis in zip(_names(len(axes)), axes, strict=True)}
        return bool(self._search.set_search_properties(metric, mode, domains, **spec))

    def suggest(self, trial_id: str) -> Any:
        """The next job, None where the search waits for results, or FINISHED."""
        if self._deadline is not None and time.time() > self._deadline:
            return self.FINISHED
        values: Any = self._search.suggest(trial_id)
        if values is None or values == self.FINISHED:
            return values
        point = [_plain(values[name]) for name in _names(len(self._space.axes))]
        self._count += 1
        return {"number": self._count - 1, "overrides": self._space.overrides(point)}

    def on_trial_result(self, trial_id: str, result: Any) -> None:
        """Tell the search."""
        self._search.on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Tell the search."""
        self._search.on_trial_complete(trial_id, result, error)

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        """Tell the search."""
        return bool(self._search.set_max_concurrency(max_concurrent))

    def save(self, checkpoint_path: str) -> None:
        """A sweep begins anew; finished jobs are for the task to recognise."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was kept."""


def _names(count: int) -> list[str]:
    return [f"axis_{number}" for number in range(count)]
