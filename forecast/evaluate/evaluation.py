"""All windows of a run forecast, written down, and evaluated beside the naive forecast and the baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.data.split import SPLITS
from forecast.evaluate.findings import beats_best
from forecast.evaluate.intervals.coverage import Coverage, FoldIntervals
from forecast.evaluate.metrics import Metrics
from forecast.evaluate.returns import origins
from forecast.evaluate.scores import calibration, mean_error, of_quantiles
from forecast.evaluate.skill import skill
from forecast.evaluate.summary import LOSS_WORDS, SPLITS as EVALUATED, Figures, Summary, prefixed
from forecast.evaluate.table import ForecastTable, forecast_pieces, join, release_memory, table_of
from forecast.evaluate.writer import ForecastWriter
from forecast.model.forecaster import error_variance
from forecast.model.intervals import columns as bound_columns
from forecast.model.spread import Spread

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.evaluate.folds import Fold
    from forecast.evaluate.intervals.conformal import Intervals
    from forecast.evaluate.risk import Risk
    from forecast.evaluate.significance import Significance
    from forecast.evaluate.trading_rule import TradingRule
    from forecast.model.baselines import Baselines
    from forecast.model.forecaster import Forecaster, TrainingResult
    from forecast.model.intervals import IntervalState

    Column = NDArray[np.float64]

NAIVE = "naive"
# Of each baseline in metrics.json, beside that of the target's main loss; all its figures stand in evaluation.json.
_FLAT = ("rmse", "mae", "theil_u")


class Evaluator:
    """Forecasts fold by fold, written to `forecasts.parquet`, `baselines.parquet` and `risk.parquet`; figures.

    Args:
        directory: of the run; a file appears there whole when the evaluator is left, or not at all.
        data: loaded.
        folds: how many there will be; of more than one, rows say which fold they belong to.
        metrics: of validation and test.
        fit_baselines: takes the baselines, the data as a fold splits it and, as `fold`, its number.
        baselines: fitted to each fold that is fitted anew, and evaluated on the same rows; None = naive alone.
        intervals: fitted to the validation rows of each fold; None = no intervals.
        significance: tests; None = none.
        trading_rule: on the test rows; None = none.
        risk: value at risk of the test rows; None = none.
    """

    def __init__(
        self,
        directory: Path,
        data: MarketData,
        *,
        folds: int,
        metrics: Metrics,
        fit_baselines: Callable[..., None],
        baselines: Baselines | None = None,
        intervals: Intervals | None = None,
        significance: Significance | None = None,
        trading_rule: TradingRule | None = None,
        risk: Risk | None = None,
    ) -> None:
        self.names = data.panel_.names
        self.target = data.target
        self.folded = folds > 1
        self.num_folds = folds
        self.metrics = metrics
        self.baselines = baselines
        self.fit_baselines = fit_baselines
        self.intervals = intervals
        self.significance = significance
        self.trading_rule = trading_rule
        self._risk = None if risk is None else risk.follow(names=self.names, horizon=data.horizon)
        self._bar = data.bars.label
        self.folds: list[dict[str, Any]] = []
        self.history: list[dict[str, float]] = []  # of all folds that were fitted anew
        self._losses: list[dict[str, float]] = []
        self._tables: dict[str, list[ForecastTable]] = {split: [] for split in EVALUATED}
        self._ranking: list[str] = []
        self._metrics: dict[str, Figures] = {}  # of each split, once all its rows are there
        self._baseline_figures: dict[str, dict[str, Figures]] = {}
        self._parts: dict[str, Summary] = {}
        self._errors: dict[str, Figures] = {}  # split -> model and baselines, in the main loss
        self._together: Figures = {}  # split -> tickers that are forecast on one bar, in the mean
        self._coverage: list[Coverage] = []
        self._spread: Spread | None = None
        self._shown: list[pd.DataFrame] = []
        self._bounds = bound_columns(intervals.levels) if intervals is not None else []

        def writer(name: str, columns: list[str]) -> ForecastWriter:
            times = data.panel_.calendar
            return ForecastWriter(
                directory / name, names=self.names, times=times, columns=columns, folded=self.folded
            )

        self._forecasts = writer("forecasts.parquet", ["actual", "forecast", "naive", *self._bounds])
        self._others = None if baselines is None else writer("baselines.parquet", baselines.names)
        self._risks = None if risk is None else writer("risk.parquet", risk.columns)

    def __enter__(self) -> Evaluator:
        with ExitStack() as stack:
            for table in filter(None, (self._forecasts, self._others, self._risks)):
                stack.enter_context(table)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def add(self, fold: Fold, forecaster: Forecaster, data: MarketData, fit: TrainingResult) -> Figures:
        """Forecast a fold; the figures of its validation and test rows.

        Training rows are written for the first fold alone: those of the others are mostly the same.

        Args:
            fold: which.
            forecaster: fitted to it, or to an earlier one.
            data: split as the fold says.
            fit: how the training went.
        """
        release_memory(data.panel_)
        if fold.number == 0:
            self._scale = data.naive_scale_  # one scale for all folds, so that their MASE can be compared
            self._write_all((piece for _, piece in forecast_pieces(forecaster, data, "train")), fold.number)
        if fold.refit:
            self.last_fit = fit
            self._losses.append(fit.history[fit.best_epoch])
            self.history += [
                {"fold": fold.number, **epoch} if self.folded else epoch for epoch in fit.history
            ]
            if self.baselines is not None:
                self.fit_baselines(self.baselines, data, fold=fold.number)
            if self._risk is not None or self._scaled:
                self._spread = Spread.fit(data)
            release_memory(data.panel_)
        val = self._forecast(forecaster, data, "val", fold.number)
        if self.intervals is not None:
            self._fitted = FoldIntervals(self.intervals, val, quantile_levels=forecaster.quantile_levels)
        if self._risk is not None:
            self._risk.known(val)
        self._write_all(val.blocks(), fold.number)
        if fold.number == 0:
            # In a walk-forward the validation rows of a later fold are test rows of an earlier one: what is chosen
            # before the first test row has seen none.
            self._ranking = rank_baselines(val)
        figures, ratios = self._keep(val), {"val": self._ratio(val)}
        del val
        release_memory(data.panel_)
        test = self._forecast(forecaster, data, "test", fold.number)
        covered = self._write_test(test, fold.number)
        release_memory(data.panel_)
        figures = self._keep(test) | figures | covered
        ratios["test"] = self._ratio(test)
        del test
        release_memory(data.panel_)
        self.folds.append(_described(fold, data, fit, figures, ratios))
        return figures

    @property
    def losses(self) -> dict[str, float]:
        """Training and validation loss of the kept epochs, the mean over the folds that were fitted."""
        return {
            name: float(np.mean([best[name] for best in self._losses])) for name in ("train_loss", "val_loss")
        }

    @property
    def interval_state(self) -> IntervalState | None:
        """What a bundle needs to put intervals around new forecasts."""
        if self.intervals is None:
            return None
        return replace(self._fitted.state(), spread=self._spread if self._scaled else None)

    @property
    def _scaled(self) -> bool:
        """Whether intervals want a volatility forecast; those of one's own may know of none."""
        return bool(getattr(self.intervals, "scaled", False))

    @property
    def shown(self) -> pd.DataFrame:
        """The validation and test rows of the first ticker, as forecasts.parquet has them."""
        import pandas as pd

        return pd.concat(self._shown, ignore_index=True)

    def so_far(self, split: str) -> dict[str, float]:
        """The defined figures of all rows of a split in the folds so far."""
        figures = self._metrics.get(split) or self.metrics.of(join(self._tables[split]).ordered())
        return {name: value for name, value in figures.items() if value is not None}

    def result(self) -> tuple[Figures, dict[str, Any]]:
        """Flat figures for metrics.json, and the nested ones for evaluation.json."""
        metrics = self._metrics["val"] | self._metrics["test"]
        record: dict[str, Any] = {}
        if self.baselines is not None:
            failed = self._failed
            figures = {name: found for name, found in self._baseline_figures.items() if name not in failed}
            metrics |= _flat_figures(figures, LOSS_WORDS[self.target.losses[0]][0])
            record["baselines"] = {
                "best": self._best,
                "selected_on": selected_on(self.target.losses[0]),
                "figures": figures,
                "failed": dict(failed),
                "seconds": {name: round(spent, 3) for name, spent in self.baselines.seconds.items()},
            }
        metrics |= {f"{split}_skill_best": self._skill_best(split) for split in EVALUATED}
        record["target"] = {
            "name": self.target.name,
            "unit": self.target.unit,
            "naive": self.target.naive_name,
            "loss": self.target.losses[0],
            "errors": self._errors,
            "tickers_together": self._together,
            "suspect_above": dict(self.target.suspect_above),
            "suspect_below": dict(self.target.suspect_below),
        }
        for name, part in self._parts.items():
            metrics |= part.metrics
            if part.record["split"] == "test":
                record[name] = part.record
        if self._coverage:
            total = sum(self._coverage[1:], start=self._coverage[0])
            metrics |= total.metrics("test")
            record["intervals"] = {
                "method": type(self.intervals).__name__,
                "notes": self._fitted.notes,
                **total.record(),
            }
        if self._risk is not None:
            risk = self._risk.summary(bar=self._bar)
            metrics |= risk.metrics
            record["risk"] = risk.record
        metrics["test_beats_best"] = beats_best(record)
        return metrics, {**record, "folds": self.folds}

    @property
    def _failed(self) -> Mapping[str, str]:
        """Baselines that failed, and why."""
        return {} if self.baselines is None else self.baselines.failed

    @property
    def _best(self) -> str:
        """The best baseline that has not failed."""
        return next((name for name in self._ranking if name not in self._failed), NAIVE)

    def _skill_best(self, split: str) -> float | None:
        """Percent by which the error in the main loss lies below that of the best baseline."""
        errors = self._errors[split]
        own, beside = errors.get("model"), errors.get(self._best)
        return None if own is None or not beside else 100 * (1 - own / beside)

    def _ratio(self, table: ForecastTable) -> float | None:
        """The error in the main loss over naive's; None where naive is never wrong."""
        own, beside = (mean_error(one, self.target.losses[0]) for one in (table, table.of(NAIVE)))
        return own / beside if own is not None and beside else None

    def _keep(self, table: ForecastTable) -> Figures:
        """Keep the rows of a fold, or evaluate the split when these are its last; the figures of the fold.

        A validation row that several folds share counts once, as the last of them forecast it.
        """
        figures = self.metrics.of(table)
        tables = self._tables[table.split]
        tables.append(replace(table, spread=None))
        if len(tables) == self.num_folds:
            # Rows that have been evaluated are let go before others are forecast, so that memory holds one split.
            self._evaluate(join(tables).ordered())
            tables.clear()
        return figures

    def _evaluate(self, table: ForecastTable) -> None:
        """All figures of the rows of a split."""
        split, loss = table.split, table.losses[0]
        self._metrics[split] = self.metrics.of(table)
        self._together[split] = len(table) / max(origins(table) * table.horizon, 1)
        if table.quantiles is not None:
            self._metrics[split] |= prefixed(split, of_quantiles(table, distribution=self.intervals is None))
            table = replace(table, quantiles=None, quantile_levels=None)
        kept = {name: values for name, values in table.baselines.items() if name not in self._failed}
        table = replace(table, baselines=kept)
        self._errors[split] = {"model": mean_error(table, loss)}
        for name in (NAIVE, *kept):
            beside = table.of(name)
            self._errors[split][name] = mean_error(beside, loss)
            if self.baselines is not None:
                self._baseline_figures.setdefault(name, {})[split] = self.metrics.figures(beside)
        best = None if self._best == NAIVE else self._best
        if split == "test":
            if self.target.has_risk:  # R2 and IC of returns
                self._parts["field"] = skill(table)
            if "log_loss" in table.losses:
                found = calibration(table)
                self._parts["calibration"] = Summary(record=found | {"lines": []}, metrics={})
        if self.significance is not None:
            # What a choice among many runs is corrected with stands on val; the record is on test alone.
            name = "significance" if split == "test" else f"significance_{split}"
            self._parts[name] = self.significance.summary(table, best=best)
        if split == "test" and self.trading_rule is not None:
            self._parts["economics"] = self.trading_rule.summary(table)

    def _forecast(self, forecaster: Forecaster, data: MarketData, split: str, fold: int) -> ForecastTable:
        """Forecasts of a split by the model and the baselines."""
        windows, horizon = data.windows_[split], data.horizon
        forecast = np.empty((len(windows), horizon))
        rows = np.empty(len(windows), np.int32)
        quantiles: Column | None = None
        baselines: dict[str, Column] = {}
        spread = None if self._spread is None else np.empty((len(windows), horizon), np.float32)
        start = 0
        for batch, piece in forecast_pieces(forecaster, data, split):
            some = slice(start, start + len(batch.rows))
            rows[some] = batch.rows
            if spread is not None and self._spread is not None:
                spread[some] = self._spread(batch.windows)[:, None]
            forecast[some] = piece.forecast.reshape(-1, horizon)
            if piece.quantiles is not None:
                if quantiles is None:
                    quantiles = np.empty((len(windows), horizon, piece.quantiles.shape[1]))
                quantiles[some] = piece.quantiles.reshape(len(batch.rows), horizon, -1)
            if self.baselines is not None:
                for name, values in self.baselines.forecast(batch).items():
                    if name != NAIVE:
                        column = baselines.setdefault(name, np.full((len(windows), horizon), np.nan))
                        variance = error_variance(self.baselines.members[name])
                        column[some] = data.target.forecast_in_unit(values, variance)
            start = some.stop
        table = table_of(
            data,
            split,
            rows=rows,
            forecast=forecast,
            quantiles=quantiles,
            fold=fold if self.folded else None,
            baselines=baselines,
        )
        levels = None if quantiles is None else forecaster.quantile_levels
        kept = None if spread is None else spread.reshape(-1)
        return replace(table, scale=self._scale, spread=kept, quantile_levels=levels)

    def _write_all(self, blocks: Iterable[ForecastTable], fold: int) -> None:
        # A function of its own: a block left in a caller's variable would hold the columns of the whole table.
        for block in blocks:
            self._write(block, fold)

    def _write(self, block: ForecastTable, fold: int, bounds: Mapping[str, Column] | None = None) -> None:
        values = {"actual": block.actual, "forecast": block.forecast, "naive": block.naive, **(bounds or {})}
        self._forecasts.write(block, values, fold=fold)
        if block.split == "train":
            return
        if self._others is not None:
            self._others.write(block, {NAIVE: block.naive, **block.baselines}, fold=fold)
        self._show(block, values)

    def _write_test(self, test: ForecastTable, fold: int) -> Figures:
        """Write the test rows of a fold with their bounds; the figures of these."""
        covered: list[Coverage] = []
        for block in test.blocks():
            bounds: dict[str, Column] = {}
            if self.intervals is not None:
                found, did = self._fitted.bounds(block)  # (levels, 2, rows)
                bounds = dict(zip(self._bounds, found.reshape(-1, len(block)), strict=True))
                covered.append(did)
            self._write(block, fold, bounds)
            if self._risk is not None and self._risks is not None:
                more = fold + 1 < self.num_folds
                self._risks.write(block, self._risk.columns(block, keep=more), fold=fold)
        if not covered:
            return {}
        total = sum(covered[1:], start=covered[0])
        self._coverage.append(total)
        return total.metrics("test")

    def _show(self, block: ForecastTable, values: Mapping[str, Column]) -> None:
        """Keep the rows of the first ticker for the report."""
        import pandas as pd

        mine = np.flatnonzero(block.series == 0)
        if not len(mine) and self._shown:
            return
        columns: dict[str, Any] = {
            "ticker": self.names[0],
            "date": self._forecasts.times[block.time[mine]],
            "split": block.split,
            "step": block.step[mine],
        }
        unknown = np.full(len(mine), np.nan)
        columns |= {
            name: values[name][mine] if name in values else unknown for name in self._forecasts.columns
        }
        self._shown.append(pd.DataFrame(columns))


def _flat_figures(figures: Mapping[str, Mapping[str, Figures]], main: str) -> Figures:
    """Those figures of each baseline that metrics.json has: `<split>_<baseline>_<figure>`.

    Args:
        figures: baseline -> split -> figures.
        main: the metric of the target's main loss.
    """
    return {
        f"{split}_{name}_{figure}": by[split][figure]
        for name, by in figures.items()
        if name != NAIVE
        for split in EVALUATED
        for figure in dict.fromkeys((*_FLAT, main))
        if figure in by[split]
    }


def rank_baselines(table: ForecastTable) -> list[str]:
    """Names of the baselines and `naive`, the best on these rows first.

    By the error in the target's main loss, of squared errors beside naive's; a tie goes to naive, then to the one
    named first. Where the value never moved there is no such figure, and `naive` alone is ranked.

    Args:
        table: validation rows.
    """
    loss, theil_u = table.losses[0], Metrics(names=["theil_u"])
    errors = {}
    for name in (NAIVE, *table.baselines):
        beside = table.of(name)
        errors[name] = theil_u.figures(beside)["theil_u"] if loss == "squared" else mean_error(beside, loss)
    # One that failed before it was counted has no figure.
    known = {name: error for name, error in errors.items() if error is not None}
    return sorted(known, key=lambda name: known[name]) or [NAIVE]


def selected_on(loss: str) -> str:
    """The figure by which the best baseline is chosen; of squared errors one that has no unit."""
    return "val_theil_u" if loss == "squared" else f"val_{LOSS_WORDS[loss][0]}"


def _described(
    fold: Fold, data: MarketData, fit: TrainingResult, figures: Figures, ratios: Figures
) -> dict[str, Any]:
    def dates(ends: Sequence[int]) -> list[str]:
        return [str(data.panel_.time_of(end))[:10] for end in ends]

    return {
        "fold": fold.number,
        **{split: dates(fold.ranges[split]) for split in SPLITS},
        "refit": fold.refit,
        "epochs": len(fit.history) if fold.refit else 0,
        "seconds": round(fit.seconds, 3) if fold.refit else 0.0,
        "ratios": ratios,
        "metrics": figures,
    }
