"""A newcomer against the champion: both forecast the same newest validation rows, which neither was trained on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from forecast.data.market import MarketData

SPLIT = "val"  # the test split is opened once, and never to choose
_BY_DEFAULT = ("val_rmse", "min")
_MUST_AGREE = ("columns", "lookback", "horizon", "scope")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two models on the same rows.

    Args:
        metric: of validation.
        mode: `min` or `max`.
        newcomer: its figure.
        champion: the other's.
        naive_rmse: of "tomorrow = today" there, in price units.
        rows: forecasts compared.
        first_day: of them, YYYY-MM-DD.
        last_day: likewise.
    """

    metric: str
    mode: str
    newcomer: float | None
    champion: float | None
    naive_rmse: float | None
    rows: int
    first_day: str
    last_day: str

    @property
    def holds(self) -> bool:
        """Whether the newcomer does not do worse."""
        if self.newcomer is None or self.champion is None:
            return self.champion is None
        if self.mode == "min":
            return self.newcomer <= self.champion
        return self.newcomer >= self.champion

    @property
    def text(self) -> str:
        """Both figures in words."""
        newcomer, champion = (_shown(value) for value in (self.newcomer, self.champion))
        return (
            f"{self.metric} {newcomer}, the champion's {champion}, on the same {self.rows:,} validation rows, "
            f"{self.first_day} to {self.last_day}"
        )

    @property
    def told(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {**asdict(self), "text": self.text}


def compare(config: DictConfig, *, newcomer: Path, champion: Path) -> Comparison | str:
    """Hold a newcomer against the champion.

    The rows are the newcomer's validation rows later than the champion's own training days; where there are none,
    all its validation rows.

    Args:
        config: of the newcomer's run.
        newcomer: its run directory.
        champion: run directory of the other.

    Returns:
        the comparison, or why there can be none.

    Raises:
        UserError: one of them is not whole, or the bars cannot be had again.
    """
    from forecast.config import build
    from forecast.evaluate.folds import Holdout
    from forecast.pipeline import make_trainer
    from forecast.runlog import logged

    facts = [_json(directory / "scaler.json") for directory in (newcomer, champion)]
    differing = [name for name in _MUST_AGREE if facts[0].get(name) != facts[1].get(name)]
    if differing:
        return f"{champion} became champion meanwhile, and cannot be compared with (another {', '.join(differing)})"
    with logged(), make_trainer(config).pinned():
        data = build(config.data, source=build(config.source))
        data.load()
        if data.fingerprint_ != _json(newcomer / "data.json")["fingerprint"]:
            return "the bars changed while it was trained; ask again"
        evaluation = build(config.get("evaluation")) or Holdout()
        data.divide(evaluation.folds(data)[-1].stretches)
        return _compared(config, data, newcomer, champion)


def _compared(config: DictConfig, data: MarketData, newcomer: Path, champion: Path) -> Comparison:
    import numpy as np

    from forecast import bundle
    from forecast.data.record import calendar_day
    from forecast.evaluate.forecasts import pieces
    from forecast.evaluate.metrics import Tally

    after = _last_trained(champion)
    first, last = data.stretches_[SPLIT]
    since = max(first, after + 1) if after < last else first
    tallies = [Tally(horizon=data.horizon) for _ in range(2)]
    days: list[int] = []  # of the rows compared
    forecasters = [bundle.load(directory).forecaster for directory in (newcomer, champion)]
    for both in zip(*(pieces(forecaster, data, SPLIT) for forecaster in forecasters), strict=True):
        for piece, tally in zip(both, tallies, strict=True):
            rows = piece.rows
            kept = rows.days >= since
            scale = np.asarray(data.naive_scale_, np.float64)[rows.series]
            tally.add(rows.actual[kept], rows.forecast[kept], rows.naive[kept], scale[kept])
        days += rows.days[kept][[0, -1]].tolist() if kept.any() else []
    new, old = (tally.result(SPLIT) for tally in tallies)
    metric, mode = str(config.objective.metric), str(config.objective.mode)
    if metric not in new:
        metric, mode = _BY_DEFAULT
    return Comparison(
        metric=metric,
        mode=mode,
        newcomer=new[metric],
        champion=old[metric],
        naive_rmse=new["val_naive_rmse"],
        rows=int(new["val_rows"] or 0),
        first_day=calendar_day(min(days)),
        last_day=calendar_day(max(days)),
    )


def _last_trained(champion: Path) -> int:
    """The last day a champion was trained on, since 1970-01-01."""
    folds = _json(champion / "evaluation.json")["folds"]
    last = max(fold["train"][1] for fold in folds if fold["refit"])
    return (date.fromisoformat(last) - date(1970, 1, 1)).days


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.6g}"
