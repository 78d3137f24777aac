"""The average of unlike forecasters, fitted, saved and served as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import MinLen

from forecast.errors import UserError
from forecast.model.forecaster import Forecast, Forecaster, OnEpoch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.normaliser import WindowNormaliser
    from forecast.data.windows import WindowBatch


class Average:
    """Mean of the values that its members forecast: of logs, so that it is a geometric mean of variances.

    Each member is fitted by itself, as if it stood alone: a network with the `trainer` node's settings and its own
    choice of epoch. Errors of unlike forecasters partly cancel (Bates and Granger 1969, The combination of forecasts,
    Operational Research Quarterly 20); equal weights are hard to beat by estimated ones (Smith and Wallis 2009, A
    simple explanation of the forecast combination puzzle, Oxford Bulletin of Economics and Statistics 71).

    Args:
        members: name -> node of a model, as in conf/model; None leaves one out.
        make: builds a forecaster from such a node; whoever builds the run gives it.

    Raises:
        UserError: no member is left.
    """

    quantile_levels: tuple[float, ...] | None = None

    def __init__(
        self,
        *,
        members: Annotated[Mapping[str, Mapping[str, Any] | None], MinLen(1)],
        make: Callable[[Mapping[str, Any]], Forecaster],
    ) -> None:
        self.members: dict[str, Forecaster] = {
            name: make(node) for name, node in members.items() if node is not None
        }
        if not self.members:
            raise UserError("model.members: leaves nothing to average; name at least one model")

    @property
    def history(self) -> int | None:
        """See Forecaster: of the member that looks furthest back."""
        lengths = [member.history for member in self.members.values()]
        known = [length for length in lengths if length is not None]
        return max(known) if len(known) == len(lengths) else None

    @property
    def normaliser(self) -> WindowNormaliser | None:
        """See Forecaster: of the members that see windows, which all see the same."""
        found = [member.normaliser for member in self.members.values()]
        return next((one for one in found if one is not None), None)

    def fit(self, data: MarketData, *, on_epoch: OnEpoch | None = None) -> None:  # noqa: ARG002
        """See Forecaster: the members' epochs are not those of the average, which is evaluated once, at the end."""
        for member in self.members.values():
            member.fit(data)

    def forecast(self, batch: WindowBatch) -> Forecast:
        """See Forecaster."""
        values = [member.forecast(batch).values for member in self.members.values()]
        return Forecast(np.mean(values, axis=0))

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See Forecaster: each member's arrays under its name."""
        arrays: dict[str, NDArray[Any]] = {}
        facts: dict[str, Any] = {}
        for name, member in self.members.items():
            own, facts[name] = member.state()
            arrays |= {f"{name}/{key}": value for key, value in own.items()}
        return arrays, {"members": facts}

    def restore(self, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        """See Forecaster."""
        for name, member in self.members.items():
            mine = f"{name}/"
            own = {key.removeprefix(mine): value for key, value in arrays.items() if key.startswith(mine)}
            member.restore(own, {**facts, **facts["members"][name]})

    def to(self, device: str) -> None:
        """Have the networks among them compute on another device."""
        for member in self.members.values():
            if (move := getattr(member, "to", None)) is not None:
                move(device)
