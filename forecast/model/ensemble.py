"""Several networks served as one."""

from __future__ import annotations

from typing import Annotated, Any

from annotated_types import Ge, Le, Lt, MinLen
from torch import Tensor, nn

from forecast.model.network import LayeredNetwork


class Ensemble(nn.Module):
    """Networks alike but for their first weights; the forecast is the mean of theirs.

    Each is trained on its own loss, as if it stood alone, and all are kept from the epoch that was best for their mean.
    The mean varies less from seed to seed than a single network does (Lakshminarayanan, Pritzel and Blundell 2017,
    https://arxiv.org/abs/1612.01474).

    First weights are drawn one network after the other, so those of the k-th depend on the run's seed and on k, not
    on how many follow it; the first is the network that stands alone under `model=lstm`.

    Args:
        input_size: features a step.
        lookback: steps a window.
        output_size: horizon, times the number of quantiles where the network answers with those.
        layer_config: the layers of each, first to last, as of LayeredNetwork.
        hidden_size: width of every layer that does not say its own.
        num_layers: of every recurrent or TCN layer that does not say its own.
        dropout: of every Dropout, recurrent or TCN layer that does not say its own.
        members: how many.

    Raises:
        UserError: see LayeredNetwork.
    """

    def __init__(
        self,
        *,
        input_size: int,
        lookback: int,
        output_size: int,
        layer_config: Annotated[list[str | dict[str, Any]], MinLen(1)],
        hidden_size: Annotated[int, Ge(1)] = 32,
        num_layers: Annotated[int, Ge(1)] = 1,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
        members: Annotated[int, Ge(1), Le(100)] = 5,
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            LayeredNetwork(
                input_size=input_size,
                lookback=lookback,
                output_size=output_size,
                layer_config=layer_config,
                hidden_size=hidden_size,
                num_layers=num_layers,
                dropout=dropout,
            )
            for _ in range(members)
        )

    def forward(self, windows: Tensor) -> Tensor:
        """(batch, lookback, features) -> (batch, outputs), the mean of all members."""
        # One after the other: a reduction may round otherwise in another batch.
        total: Tensor = self.members[0](windows)
        for member in self.members[1:]:
            total = total + member(windows)
        return total / len(self.members)
