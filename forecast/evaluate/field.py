"""Figures of the field: R2 of returns out of sample, and for panels IC, RankIC and ICIR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forecast.evaluate.findings import Findings
    from forecast.evaluate.significance.moves import Moves

    Column = NDArray[np.float64]

IC_CEILING = 0.10  # daily data: published information coefficients stay below
MEANS = ("historical_mean", "drift")  # baselines that forecast the mean move of the past
_FEW = "a correlation across tickers wants at least 3 of them"
_STEADY = "on no date do both the forecasts and the moves vary across 3 tickers or more"


class Field:
    """R2 of relative moves against no move and against the mean move, and correlations across tickers.

    Args:
        mean: the baseline that forecasts the mean move of the past; None = the first of MEANS that ran.
    """

    def __init__(self, *, mean: str | None = None) -> None:
        self.mean = mean

    def findings(self, moves: Moves, *, split: str = "test") -> Findings:
        """Figures of the rows of a split.

        Args:
            moves: its rows, with the baselines' forecasts of the same rows.
            split: the prefix of the flat figures.

        Source: R2, Campbell and Thompson (2008), Review of Financial Studies 21; IC and ICIR, Grinold and Kahn (1999),
        Active Portfolio Management.
        """
        from forecast.evaluate.field_correlation import by_date
        from forecast.evaluate.field_r2 import ticker_columns
        from forecast.evaluate.findings import Findings, prefixed

        mean = self.mean or next((name for name in MEANS if name in moves.baselines), None)
        if mean not in moves.baselines:
            mean = None
        correlated = by_date(moves)
        overall = self._figures(moves, mean, correlated, None)
        lines = _lines(overall, mean, many=len(moves.names) > 1)
        record = {
            "split": split,
            "units": "share of the last close",
            "mean": mean,
            "overall": overall,
            "steps": [
                {"step": step, **self._figures(moves, mean, correlated, step)}
                for step in range(1, moves.horizon + 1)
            ],
            "tickers": ticker_columns(moves, mean),
            "lines": lines,
        }
        figures = {
            name: overall[name]
            for name in (
                "r2_zero", "r2_zero_se", "r2_mean", "r2_mean_se",
                "ic", "ic_se", "icir", "rank_ic", "rank_ic_se", "rank_icir",
            )
        }  # fmt: skip
        return Findings(record=record, metrics=prefixed(split, figures), lines=lines)

    def _figures(
        self, moves: Moves, mean: str | None, correlated: dict[str, Column], step: int | None
    ) -> dict[str, Any]:
        from forecast.evaluate.field_correlation import FEWEST, summary
        from forecast.evaluate.field_r2 import r2

        horizon = moves.horizon if step is None else step
        why: dict[str, str] = {}
        figures: dict[str, Any] = {}
        for name, reference in (("r2_zero", "naive"), ("r2_mean", mean)):
            figures[name], figures[f"{name}_se"], reason = (
                (None, None, "no baseline of the mean move ran")
                if reference is None
                else r2(moves, reference, step, horizon)
            )
            if reason:
                why[name] = reason
        for name, dates in correlated.items():
            told = summary(dates if step is None else dates[:, step - 1 : step], horizon)
            figures |= {f"{name}{ending}": value for ending, value in told.items()}
            if told[""] is None:
                why[name] = why[f"{name}ir"] = _FEW if len(moves.names) < FEWEST else _STEADY
        for name, value in figures.items():
            if value is None and name not in why:
                why[name] = why.get(name.removesuffix("_se"), "too few dates, or it never varies")
        return figures | {"why": why or None}


def suspicions(metrics: Mapping[str, float | None], *, split: str = "test") -> list[str]:
    """Information coefficients that daily data do not allow, each with its noise; part of the leak warning.

    R2 and direction have their ceilings in verdict.py.

    Args:
        metrics: flat, as metrics.json has them.
        split: whose.
    """
    found = []
    for name, told in (("ic", "IC"), ("rank_ic", "RankIC")):
        value, error = metrics.get(f"{split}_{name}"), metrics.get(f"{split}_{name}_se")
        # Without an error there are too few dates to suspect anything; an error of 0 is a perfect forecast.
        if value is not None and error is not None and value - IC_CEILING > 2 * error:
            found.append(f"{split} {told} {value:.3f} +/- {error:.3f} (ceiling {IC_CEILING:.2f})")
    return found


def _lines(overall: dict[str, Any], mean: str | None, *, many: bool) -> list[str]:
    def noise(value: float | None, form: str) -> str:
        return "" if value is None else f" +/- {value:{form}}"

    lines = []
    zero, beside = overall["r2_zero"], overall["r2_mean"]
    if zero is not None:
        told = f"R2 of returns: {100 * zero:+.2f} %{_percent(overall['r2_zero_se'])} against no move"
        if beside is not None:
            told += f", {100 * beside:+.2f} %{_percent(overall['r2_mean_se'])} against the mean move ({mean})"
        lines.append(told)
    if many and overall["ic"] is None:
        lines.append(f"IC: undefined, {overall['why']['ic']}")
    elif many:
        told = f"IC {overall['ic']:+.3f}{noise(overall['ic_se'], '.3f')}, RankIC {overall['rank_ic']:+.3f}"
        told += noise(overall["rank_ic_se"], ".3f")
        if overall["icir"] is not None:
            told += f", ICIR {overall['icir']:+.2f}"
        lines.append(f"{told} ({overall['ic_dates']:,} dates)")
    return lines


def _percent(error: float | None) -> str:
    return "" if error is None else f" +/- {100 * error:.2f}"
