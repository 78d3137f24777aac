"""What a finished run leaves: figures, verdict, plots, report."""

from __future__ import annotations

import json
import logging
import math
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast import bundle
from forecast.data.record import record

if TYPE_CHECKING:
    import pandas as pd

    from forecast.data.market import MarketData
    from forecast.evaluate.judgement import Judgement
    from forecast.evaluate.verdict import Verdict

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """What a finished run left."""

    directory: Path
    metrics: dict[str, float | None]
    history: list[dict[str, float]] = field(repr=False)
    verdict: Verdict = field(repr=False)
    figures: dict[str, Path] = field(repr=False)
    evaluation: dict[str, Any] = field(repr=False)

    @cached_property
    def forecasts(self) -> pd.DataFrame:
        """The forecast table: ticker, date, split, step, actual, forecast, naive."""
        import pandas as pd

        return pd.read_parquet(self.directory / "forecasts.parquet")

    def _repr_html_(self) -> str:
        from forecast.evaluate.page.document import framed

        return framed((self.directory / "report.html").read_text(encoding="utf-8"))


def conclude(
    directory: Path,
    data: MarketData,
    judgement: Judgement,
    *,
    strategy: str,
    config_text: str,
    began: float,
    draw: bool = True,
) -> Run:
    """Write down what came of a run whose windows have all been forecast.

    Args:
        directory: of the run.
        data: split as the first fold says.
        judgement: closed.
        strategy: its name.
        config_text: the saved config.
        began: time.monotonic() at the start of the run.
        draw: the plots as PNG files too; the report has its own.
    """
    from forecast.evaluate import report
    from forecast.evaluate.verdict import Verdict

    figures, evaluation = judgement.result()
    bundle.write_json(directory / "evaluation.json", evaluation)
    history = judgement.history
    bundle.write_json(directory / "history.json", [_finite(epoch) for epoch in history])
    metrics: dict[str, float | None] = {
        **figures,
        **_finite(judgement.losses),
        "epochs": len(history),
        "best_epoch": judgement.last_fit.best_epoch,
        "seconds": round(time.monotonic() - began, 3),
    }
    bundle.write_json(directory / "metrics.json", metrics)
    shown = data.panel_.names[0]
    forecasts = bundle.forecasts_of(directory, shown)
    verdict = Verdict(
        metrics=metrics,
        tickers=data.panel_.names,
        strategy=strategy,
        horizon=data.horizon,
        evaluation=evaluation,
    )
    log.debug("%s", verdict.text)  # for run.log; whoever called shows it
    drawn = draw_plots(directory) if draw else []
    report.write(
        directory,
        verdict=verdict,
        metrics=metrics,
        plots=drawn,
        health=record(data),
        config_text=config_text,
        reproduce=f"python run.py -cd {shlex.quote(str(directory))} -cn config",
        evaluation=evaluation,
        forecasts=forecasts,
        history=judgement.history,
    )
    return Run(
        directory=directory,
        metrics=metrics,
        history=history,
        verdict=verdict,
        figures={path.stem: path for path in drawn},
        evaluation=evaluation,
    )


def draw_plots(directory: Path) -> list[Path]:
    """Draw the plots of a run from what it wrote down; their paths.

    Args:
        directory: of the run; its tables and records are there.
    """
    from forecast.evaluate import plots

    metrics, history, facts = (
        json.loads((directory / f"{name}.json").read_text("utf-8"))
        for name in ("metrics", "history", "scaler")
    )
    ticker = facts["tickers"][0]
    last = history[-1].get("fold")
    return plots.write(
        directory / "plots",
        forecasts=bundle.forecasts_of(directory, ticker),
        history=[epoch for epoch in history if epoch.get("fold") == last],
        ticker=ticker,
        metrics=metrics,
    )


def read_back(directory: Path, data: MarketData, *, strategy: str) -> Run:
    """A run that has finished before, from its directory.

    Args:
        directory: of the run.
        data: the bars it used.
        strategy: its name.
    """
    from forecast.evaluate.verdict import Verdict

    metrics, history, evaluation = (
        json.loads((directory / f"{name}.json").read_text("utf-8"))
        for name in ("metrics", "history", "evaluation")
    )
    verdict = Verdict(
        metrics=metrics,
        tickers=data.panel_.names,
        strategy=strategy,
        horizon=data.horizon,
        evaluation=evaluation,
    )
    return Run(
        directory=directory,
        metrics=metrics,
        history=history,
        verdict=verdict,
        figures={path.stem: path for path in sorted((directory / "plots").glob("*.png"))},
        evaluation=evaluation,
    )


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: what is undefined is null."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
