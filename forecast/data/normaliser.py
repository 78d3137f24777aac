"""From raw windows to what the network sees, and from what it answers to prices: one rule for training,
evaluation and serving.

With `anchor="last"` every window is told relative to its own last bar and the network forecasts the move from
the last Close, so that a price level never seen in training is nothing new (the idea of NLinear, Zeng et al. 2023,
https://arxiv.org/abs/2205.13504, and of Qlib's Alpha360). With `anchor="none"` it sees and forecasts raw levels.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from forecast.data.features import Relation
from forecast.data.scaler import TimeSeriesScaler

Anchor = Literal["last", "none"]


class WindowNormaliser(nn.Module):
    """Anchor and scale windows; undo both for forecasts.

    Args:
        anchor: `last` or `none`.
        relations: of each network input, in panel order.
        closes: for each network input, the panel column with the Close it is a price beside.
        target: panel column of the Close that is forecast.
        scaler: fitted on anchored training windows (`last`) or raw training rows (`none`); None = no scaling.
        target_scaler: fitted on training moves (`last`) or raw training closes (`none`); None = no scaling.
    """

    _offset: Tensor
    _closes: Tensor
    _input_mean: Tensor
    _input_scale: Tensor
    _target_mean: Tensor
    _target_scale: Tensor

    def __init__(
        self,
        *,
        anchor: Anchor,
        relations: list[Relation],
        closes: list[int],
        target: int,
        scaler: TimeSeriesScaler | None = None,
        target_scaler: TimeSeriesScaler | None = None,
    ) -> None:
        super().__init__()
        self.anchor = anchor
        self.relations = relations
        self.closes = closes
        self.target = target
        self.scaler = scaler
        self.target_scaler = target_scaler
        kinds = {kind: [i for i, name in enumerate(relations) if name == kind] for kind in get_args(Relation)}
        self._amounts = kinds["amount"]
        self._free = kinds["free"]
        offset = torch.tensor([1.0 if name == "price" else 0.0 for name in relations])
        self.register_buffer("_offset", offset, persistent=False)
        self.register_buffer("_closes", torch.tensor(closes, dtype=torch.long), persistent=False)
        for name, fitted in (("input", scaler), ("target", target_scaler)):
            mean = torch.zeros(1) if fitted is None else torch.tensor(fitted.mean_, dtype=torch.float32)
            scale = torch.ones(1) if fitted is None else torch.tensor(fitted.scale_, dtype=torch.float32)
            self.register_buffer(f"_{name}_mean", mean, persistent=False)
            self.register_buffer(f"_{name}_scale", scale, persistent=False)

    def anchored(self, windows: Tensor) -> Tensor:
        """Windows in units of their last bar.

        Args:
            windows: (batch, lookback, columns) raw panel rows.

        Returns:
            (batch, lookback, features); raw levels with `anchor="none"`.
        """
        inputs = windows[..., : len(self.relations)]  # (B, L, C) -> (B, L, F)
        if self.anchor == "none":
            return inputs
        last_close = windows[:, -1:, self._closes]  # (B, 1, F)
        anchored = inputs / last_close - self._offset
        if self._amounts:
            logs = torch.log1p(inputs[..., self._amounts])
            anchored[..., self._amounts] = logs - logs[:, -1:]
        if self._free:
            anchored[..., self._free] = inputs[..., self._free]
        return anchored

    def inputs(self, windows: Tensor) -> Tensor:
        """What the network sees: (batch, lookback, columns) raw -> (batch, lookback, features)."""
        return (self.anchored(windows) - self._input_mean) / self._input_scale

    def moves(self, windows: Tensor, future: Tensor) -> Tensor:
        """What is forecast, before scaling: return since the last Close, or the level with `anchor="none"`.

        Args:
            windows: (batch, lookback, columns).
            future: (batch, horizon, columns).

        Returns:
            (batch, horizon)
        """
        closes = future[..., self.target]
        if self.anchor == "none":
            return closes
        return closes / windows[:, -1:, self.target] - 1.0

    def targets(self, windows: Tensor, future: Tensor) -> Tensor:
        """What the network is trained to answer: (batch, horizon)."""
        return (self.moves(windows, future) - self._target_mean) / self._target_scale

    def prices(self, windows: Tensor, answers: Tensor) -> Tensor:
        """Undo scaling and anchoring of the network's answers.

        Args:
            windows: (batch, lookback, columns) the raw windows that were answered.
            answers: (batch, horizon).

        Returns:
            (batch, horizon) float64 prices in the source's units.
        """
        levels = answers.double() * self._target_scale.double() + self._target_mean.double()
        if self.anchor == "none":
            return levels
        return windows[:, -1:, self.target].double() * (1.0 + levels)

    def to_json(self) -> dict[str, Any]:
        """Everything needed to rebuild this, without weights."""
        return {
            "anchor": self.anchor,
            "relations": self.relations,
            "closes": self.closes,
            "target": self.target,
            "scaler": self.scaler and self.scaler.to_json(),
            "target_scaler": self.target_scaler and self.target_scaler.to_json(),
        }

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> WindowNormaliser:
        """Restore from to_json."""
        scalers = {
            key: TimeSeriesScaler.from_json(state[key]) if state[key] else None
            for key in ("scaler", "target_scaler")
        }
        return cls(
            anchor=state["anchor"],
            relations=state["relations"],
            closes=state["closes"],
            target=state["target"],
            **scalers,
        )
