"""From raw windows to what the network sees, and from what it answers to prices: one rule for training,
evaluation and serving.

With `anchor="last"` every window is told relative to its own last bar and the network forecasts the move from
the last Close, so that a price level never seen in training is nothing new (the idea of NLinear, Zeng et al. 2023,
https://arxiv.org/abs/2205.13504, and of Qlib's Alpha360). With `anchor="none"` it sees and forecasts raw levels.

With `instance_norm` a window is, after that, told in units of its own spread, and so is the move that is forecast
(see instance.py): calm and stormy years look alike.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from forecast.data.features import Relation
from forecast.data.instance import move_unit, standardised
from forecast.data.scaler import TimeSeriesScaler
from forecast.data.target import Relation as TargetRelation

Anchor = Literal["last", "none"]


class WindowNormaliser(nn.Module):
    """Anchor and scale windows; undo both for forecasts.

    Args:
        anchor: `last` or `none`.
        instance_norm: each window less its own mean, in units of its own spread.
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
    _price_mean: Tensor
    _price_scale: Tensor

    def __init__(
        self,
        *,
        anchor: Anchor,
        instance_norm: bool = False,
        relations: list[Relation],
        closes: list[int],
        target: int,
        scaler: TimeSeriesScaler | None = None,
        target_scaler: TimeSeriesScaler | None = None,
        target_relation: TargetRelation = "ratio",
    ) -> None:
        super().__init__()
        self.anchor = anchor
        self.instance_norm = instance_norm
        self.relations = relations
        self.closes = closes
        self.target = target
        self.scaler = scaler
        self.target_scaler = target_scaler
        self.target_relation = target_relation
        # What is forecast is a level unless it is anchored to the window's last value.
        anchored = anchor == "last" and target_relation in ("ratio", "difference")
        self._ratio = anchored and target_relation == "ratio"
        self._difference = anchored and target_relation == "difference"
        kinds = {kind: [i for i, name in enumerate(relations) if name == kind] for kind in get_args(Relation)}
        self._amounts = _stretch(kinds["amount"])
        self._free = _stretch(kinds["free"])
        # Nearly always there is one Close: a view of it costs a tenth of picking it once for each input.
        self._one_close = slice(closes[0], closes[0] + 1) if len(set(closes)) == 1 else None
        offset = torch.tensor([1.0 if name == "price" else 0.0 for name in relations])
        self.register_buffer("_offset", offset, persistent=False)
        self.register_buffer("_closes", torch.tensor(closes, dtype=torch.long), persistent=False)
        for name, fitted in (("input", scaler), ("target", target_scaler)):
            mean = torch.zeros(1) if fitted is None else torch.tensor(fitted.mean_, dtype=torch.float32)
            scale = torch.ones(1) if fitted is None else torch.tensor(fitted.scale_, dtype=torch.float32)
            self.register_buffer(f"_{name}_mean", mean, persistent=False)
            self.register_buffer(f"_{name}_scale", scale, persistent=False)
        for name in ("mean", "scale"):  # prices are told in double precision
            self.register_buffer(
                f"_price_{name}", getattr(self, f"_target_{name}").double(), persistent=False
            )

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._offset.device

    def anchored(self, windows: Tensor) -> Tensor:
        """Windows in units of their last bar, or of their own spread.

        Args:
            windows: (batch, lookback, columns) raw panel rows.

        Returns:
            (batch, lookback, features); raw levels with `anchor="none"` and no `instance_norm`.
        """
        told = self._told(windows)
        return standardised(told) if self.instance_norm else told

    def _told(self, windows: Tensor) -> Tensor:
        """Windows relative to their last bar: (B, L, C) -> (B, L, F)."""
        inputs = windows[..., : len(self.relations)]  # (B, L, C) -> (B, L, F)
        if self.anchor == "none":
            return inputs
        beside = self._closes if self._one_close is None else self._one_close
        last_close = windows[:, -1:, beside]  # (B, 1, F), or (B, 1, 1)
        anchored = inputs / last_close - self._offset
        if self._amounts is not None:
            logs = torch.log1p(inputs[..., self._amounts])
            anchored[..., self._amounts] = logs - logs[:, -1:]
        if self._free is not None:
            anchored[..., self._free] = inputs[..., self._free]
        return anchored

    def inputs(self, windows: Tensor) -> Tensor:
        """What the network sees: (batch, lookback, columns) raw -> (batch, lookback, features)."""
        return (self.anchored(windows) - self._input_mean) / self._input_scale

    def moves(self, windows: Tensor, future: Tensor) -> Tensor:
        """What is forecast, before scaling: return since the last Close, or the level with `anchor="none"`;
        with `instance_norm` in units of the window's spread.

        Args:
            windows: (batch, lookback, columns).
            future: (batch, horizon, columns).

        Returns:
            (batch, horizon)
        """
        moves = future[..., self.target]
        if self._ratio:
            moves = moves / windows[:, -1:, self.target] - 1.0
        elif self._difference:
            moves = moves - windows[:, -1:, self.target]
        if self.instance_norm:
            zero, unit = self._own_units(windows)
            moves = (moves - zero) / unit
        return moves

    def _own_units(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Which move a window calls 0 and which 1, (B, 1) each: no move stays 0 where it is anchored."""
        values = windows[..., self.target]  # (B, L, C) -> (B, L)
        if self.target_relation == "probability":
            return torch.zeros_like(values[:, :1]), torch.ones_like(values[:, :1])
        if self._ratio or self._difference:
            last = values[:, -1:]
            _, unit = move_unit(values / last if self._ratio else values - last)
            return torch.zeros_like(unit), unit
        middle, unit = move_unit(values)
        return values[:, -1:] + middle, unit

    def targets(self, windows: Tensor, future: Tensor) -> Tensor:
        """What the network is trained to answer: (batch, horizon)."""
        return (self.moves(windows, future) - self._target_mean) / self._target_scale

    def values(self, windows: Tensor, answers: Tensor) -> Tensor:
        """Undo scaling and anchoring of the network's answers.

        Args:
            windows: (batch, lookback, columns) the raw windows that were answered.
            answers: (batch, horizon), or (batch, horizon, quantiles).

        Returns:
            float64 values of the target (see target.py), in the shape of `answers`.
        """
        scale, mean = self._price_scale, self._price_mean
        last = windows[:, -1:, self.target]  # (B, 1)
        if answers.dim() > 2:  # quantiles: (h,) -> (h, 1), (B, 1) -> (B, 1, 1)
            scale, mean, last = scale[:, None], mean[:, None], last[..., None]
        levels = answers * scale + mean  # float64
        if self.instance_norm:
            zero, unit = (own.view_as(last) for own in self._own_units(windows))
            levels = levels * unit + zero
        if self._ratio:
            return last * (1.0 + levels)
        if self._difference:
            return last + levels
        return torch.sigmoid(levels) if self.target_relation == "probability" else levels

    # Deprecated name, of when prices alone could be forecast.
    prices = values

    def to_json(self) -> dict[str, Any]:
        """Everything needed to rebuild this, without weights."""
        return {
            "anchor": self.anchor,
            "instance_norm": self.instance_norm,
            "relations": self.relations,
            "closes": self.closes,
            "target": self.target,
            "target_relation": self.target_relation,
            "scaler": self.scaler and self.scaler.to_json(),
            "target_scaler": self.target_scaler and self.target_scaler.to_json(),
        }

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> WindowNormaliser:
        """Restore from to_json, of earlier versions too."""
        scalers = {
            key: TimeSeriesScaler.from_json(state[key]) if state[key] else None
            for key in ("scaler", "target_scaler")
        }
        return cls(
            anchor=state["anchor"],
            instance_norm=bool(state.get("instance_norm", False)),
            relations=state["relations"],
            closes=state["closes"],
            target=state["target"],
            target_relation=state.get("target_relation", "ratio"),
            **scalers,
        )


def _stretch(columns: list[int]) -> slice | list[int] | None:
    """Columns side by side as a slice, which copies nothing; None for no column."""
    if not columns:
        return None
    together = columns == list(range(columns[0], columns[-1] + 1))
    return slice(columns[0], columns[-1] + 1) if together else columns
