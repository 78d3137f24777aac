"""From raw windows to what the network sees, and from what it answers to values: one rule for training,
evaluation and serving.

With `anchor="last"` every window is given relative to its own last bar and the network forecasts the move from
the last value, so that a price level never seen in training is nothing new (the idea of NLinear, Zeng et al. 2023,
https://arxiv.org/abs/2205.13504, and of Qlib's Alpha360). With `anchor="none"` it sees and forecasts raw levels.

With `instance_norm` a window is, after that, given in units of its own spread, and so is the move that is forecast
(`standardised` below): calm and stormy years look alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from forecast.data.features import Relation
from forecast.data.scaler import TimeSeriesScaler
from forecast.data.target import Relation as TargetRelation

if TYPE_CHECKING:
    from forecast.data.layout import Layout
    from forecast.data.windows import WindowIndex

Anchor = Literal["last", "none"]

# A value that moved less than a basis point is no measure of moves to come.
_LEAST_SHARE = 1e-4
# Enough windows for stable statistics; more would only cost time on a large panel.
_MOST_WINDOWS, _MOST_ROWS = 16_384, 1_048_576


class WindowNormaliser(nn.Module):
    """Anchor and scale windows; undo both for forecasts.

    Args:
        anchor: `last` or `none`.
        instance_norm: each window less its own mean, in units of its own spread.
        relations: of each network input, in panel order.
        closes: for each network input, the panel column of the price it is measured by.
        target: panel column of what is forecast.
        scaler: fitted on anchored training windows (`last`) or raw training rows (`none`); None = no scaling.
        target_scaler: fitted on training moves (`last`) or raw training values (`none`); None = no scaling.
        target_relation: see Target.relation.
        kept: network inputs that `instance_norm` leaves as they are: those of covariates, whose level matters, which
            within a window may not change at all.
        fill_amounts: an amount of 0, such as the Volume of a bar whose trade is not known, counts as the window's usual
            one, not as a fall to nothing; False in runs saved before this was so.
    """

    _offset: Tensor
    _closes: Tensor
    _input_mean: Tensor
    _input_scale: Tensor
    _target_mean: Tensor
    _target_scale: Tensor
    _value_mean: Tensor
    _value_scale: Tensor

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
        kept: list[int] | None = None,
        fill_amounts: bool = False,
    ) -> None:
        super().__init__()
        self.fill_amounts = fill_amounts
        self.kept = list(kept or [])
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
        # Nearly always there is one such price: a view of it costs a tenth of picking it once for each input.
        self._one_close = slice(closes[0], closes[0] + 1) if len(set(closes)) == 1 else None
        offset = torch.tensor([1.0 if name == "price" else 0.0 for name in relations])
        self.register_buffer("_offset", offset, persistent=False)
        self.register_buffer("_closes", torch.tensor(closes, dtype=torch.long), persistent=False)
        for name, fitted in (("input", scaler), ("target", target_scaler)):
            mean = torch.zeros(1) if fitted is None else torch.tensor(fitted.mean_, dtype=torch.float32)
            scale = torch.ones(1) if fitted is None else torch.tensor(fitted.scale_, dtype=torch.float32)
            self.register_buffer(f"_{name}_mean", mean, persistent=False)
            self.register_buffer(f"_{name}_scale", scale, persistent=False)
        for name in ("mean", "scale"):  # values are given in double precision
            self.register_buffer(
                f"_value_{name}", getattr(self, f"_target_{name}").double(), persistent=False
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
        relative = self._relative(windows)
        if not self.instance_norm:
            return relative
        own = standardised(relative)
        if self.kept:
            own[..., self.kept] = relative[..., self.kept]
        return own

    def _relative(self, windows: Tensor) -> Tensor:
        """Windows relative to their last bar: (B, L, C) -> (B, L, F)."""
        inputs = windows[..., : len(self.relations)]  # (B, L, C) -> (B, L, F)
        if self.anchor == "none":
            return inputs
        beside = self._closes if self._one_close is None else self._one_close
        last_close = windows[:, -1:, beside]  # (B, 1, F), or (B, 1, 1)
        anchored = inputs / last_close - self._offset
        if self._amounts is not None:
            logs = torch.log1p(inputs[..., self._amounts])
            if self.fill_amounts and int(logs.count_nonzero()) < logs.numel():
                usual = logs.sum(dim=1, keepdim=True) / (logs != 0).sum(dim=1, keepdim=True).clamp(min=1)
                logs = torch.where(logs == 0, usual, logs)
            anchored[..., self._amounts] = logs - logs[:, -1:]
        if self._free is not None:
            anchored[..., self._free] = inputs[..., self._free]
        return anchored

    def inputs(self, windows: Tensor) -> Tensor:
        """What the network sees: (batch, lookback, columns) raw -> (batch, lookback, features)."""
        return (self.anchored(windows) - self._input_mean) / self._input_scale

    def moves(self, windows: Tensor, future: Tensor) -> Tensor:
        """What is forecast, before scaling: move since the last value, or the level (see Target.relation);
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
        scale, mean = self._value_scale, self._value_mean
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

    def to_json(self) -> dict[str, Any]:
        """Everything needed to rebuild this, without weights."""
        return {
            "anchor": self.anchor,
            "instance_norm": self.instance_norm,
            "relations": self.relations,
            "closes": self.closes,
            "target": self.target,
            "target_relation": self.target_relation,
            **({"kept": self.kept} if self.kept else {}),
            **({"fill_amounts": True} if self.fill_amounts else {}),
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
            kept=state.get("kept"),
            fill_amounts=bool(state.get("fill_amounts", False)),
            **scalers,
        )


def _stretch(columns: list[int]) -> slice | list[int] | None:
    """Columns side by side as a slice, which copies nothing; None for no column."""
    if not columns:
        return None
    together = columns == list(range(columns[0], columns[-1] + 1))
    return slice(columns[0], columns[-1] + 1) if together else columns


def standardised(windows: Tensor) -> Tensor:
    """Each feature of each window less its mean, in units of its standard deviation; 0 where it is constant.

    Args:
        windows: (batch, lookback, features).

    Returns:
        (batch, lookback, features), each value at most sqrt(lookback - 1) from 0.
    """
    _, away, spread = _spread(windows)
    return away / torch.where(spread == 0.0, 1.0, spread)


def move_unit(closes: Tensor) -> tuple[Tensor, Tensor]:
    """What a window's own Closes say of the size of moves.

    Args:
        closes: (batch, lookback), of the target.

    Returns:
        (batch, 1) their mean less the last of them, (batch, 1) their standard deviation, at least a basis point of the
        last; 1 where that is 0.
    """
    middle, _, spread = _spread(closes)
    least = torch.maximum(spread, _LEAST_SHARE * closes[:, -1:].abs())
    return middle, torch.where(least == 0.0, 1.0, least)


def _spread(windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Along dimension 1: mean less the last value, distances from the mean, standard deviation."""
    length = windows.shape[1]
    away = windows - windows[:, -1:]  # exactly 0 where nothing moved
    middle = _sum(away) / length
    away = away - middle
    return middle, away, torch.sqrt(_sum(away * away) / length)


def _sum(windows: Tensor) -> Tensor:
    """Over dimension 1, which stays, with length 1."""
    total = windows[:, :1].clone()
    for bar in range(1, windows.shape[1]):
        total += windows[:, bar : bar + 1]
    return total


def fit_normaliser(
    train: WindowIndex,
    layout: Layout,
    *,
    anchor: Anchor,
    scaler: TimeSeriesScaler | None,
    rows: tuple[int, int],
    target_relation: TargetRelation = "ratio",
    instance_norm: bool = False,
) -> WindowNormaliser:
    """The run's normaliser, fitted.

    Args:
        train: windows of the training split.
        layout: columns of the panel.
        anchor: `last` fits on anchored windows (at most 16,384, evenly spaced), `none` on raw rows (at most
            1,048,576, likewise).
        scaler: unfitted; None = no scaling.
        rows: first and last position in the calendar of the training split.
        target_relation: see Target.relation.
        instance_norm: put each window in units of its own spread; with it both kinds are fitted on windows.
    """
    plan: dict[str, Any] = {
        "anchor": anchor,
        "instance_norm": instance_norm,
        "relations": layout.relations,
        "closes": layout.closes,
        "target": layout.target,
        "target_relation": target_relation,
        "kept": sorted(layout.covariates),
        "fill_amounts": True,
    }
    unscaled = WindowNormaliser(**plan)
    if scaler is None:
        return unscaled
    if anchor == "none" and not instance_norm:
        panel = train.panel
        training = np.flatnonzero((panel.times >= rows[0]) & (panel.times <= rows[1]))
        values = panel.values[training[:: -(-len(training) // _MOST_ROWS)]]
        inputs, targets = values[:, : len(layout.relations)], values[:, [layout.target]]
        levels = None if target_relation == "probability" else TimeSeriesScaler().fit(targets)
        return WindowNormaliser(**plan, scaler=scaler.fit(inputs), target_scaler=levels)
    batch = train.take(train.spread(_MOST_WINDOWS))
    windows, future = torch.from_numpy(batch.windows), torch.from_numpy(batch.future)
    # Not centred: an answer of zero must mean "tomorrow = today", not the training years' drift.
    moves = None
    if target_relation != "probability":
        moves = TimeSeriesScaler(center=False).fit(unscaled.moves(windows, future).numpy())
    return WindowNormaliser(
        **plan, scaler=scaler.fit(unscaled.anchored(windows).numpy()), target_scaler=moves
    )
