"""The tests of a split, pooled, by step and by ticker, against naive and the best baseline; and many tests at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Gt, Lt

from forecast.evaluate.returns import Returns, group_means, loss_differential, sums_by_origin, usable
from forecast.evaluate.significance import diebold_mariano, direction
from forecast.evaluate.significance.confidence_set import confidence_set, line_of
from forecast.evaluate.significance.diebold_mariano import Comparison, clark_west, compare
from forecast.evaluate.significance.direction import Directions, pooled_directions, ticker_directions
from forecast.evaluate.summary import Summary, column, figure, p_text, prefixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.evaluate.returns import Selected
    from forecast.evaluate.table import ForecastTable

    Column = NDArray[np.float64]

_SHORT = {"absolute": "abs"}  # in names of figures
# A baseline that forecast fewer of the rows than this share is not called the best.
_COVERED = 0.9


class Significance:
    """Tests whether the model errs less than the references, and whether it knows the direction.

    Args:
        alpha: level of the tests; intervals have confidence 1 - alpha.
        confidence_set: share of cases in which the best may be missing from the model confidence set of the test rows;
            None = no such set.
    """

    def __init__(
        self,
        *,
        alpha: Annotated[float, Gt(0), Lt(1)] = 0.05,
        confidence_set: Annotated[float, Gt(0), Lt(1)] | None = None,
    ) -> None:
        self.alpha = alpha
        self.confidence_set = confidence_set

    def summary(self, table: ForecastTable, *, best: str | None = None) -> Summary:
        """Test the rows of a split.

        Args:
            table: with the baselines' forecasts.
            best: the baseline to test against besides naive; None = see best_baseline.

        Raises:
            ValueError: no such baseline.
        """
        if best not in (None, *table.baselines):
            raise ValueError(f"best={best!r} is none of {list(table.baselines)}")
        table, left_out = usable(table)
        # Where naive is the best by validation, the one that is hardest to beat in hindsight stands beside it.
        best_words = " (the best baseline)" if best else " (the best other baseline in hindsight)"
        best = best or best_baseline(table)
        references = ["naive"] if best is None else ["naive", best]
        columns = {
            f"{reference} {loss}": partial(Returns.gain, name=reference, loss=loss)
            for reference in references
            for loss in table.losses
        }
        sums = sums_by_origin(table, columns | {"nested": _nested})

        def tested(name: str, test: Callable[..., dict[str, Any]]) -> dict[str, Any]:
            """The test of all steps together, and of each step."""
            steps: tuple[int | None, ...] = (None, *range(1, table.horizon + 1))
            return _by_step(test(sums.means(name, step), horizon=table.overlap(step)) for step in steps)

        against: dict[str, Any] = {
            reference: {loss: tested(f"{reference} {loss}", _diebold_mariano) for loss in table.losses}
            for reference in references
        }
        nested = tested("nested", clark_west)
        signs = _by_step(one.record() for one in pooled_directions(table, alpha=self.alpha))
        tickers, counts = self._tickers(table, references)
        overall = (nested["overall"], signs["overall"], counts)
        lines = self._lines(table, against, best, best_words, *overall)
        kept = None
        if self.confidence_set is not None and table.split == "test":
            kept = confidence_set(table, size=self.confidence_set)
            lines.append(line_of(kept))
        record: dict[str, Any] = {
            "split": table.split,
            "alpha": self.alpha,
            "units": table.units,
            "losses": list(table.losses),
            "rows": len(table),
            "rows_left_out": left_out,
            "best_baseline": best,
            "best_why": None if best else "no baseline besides naive",
            "against": against,
            "clark_west": nested,
            "direction": signs,
            "tickers": tickers,
            "holm": counts,
            "confidence_set": kept,
            "lines": lines,
        }
        figures = _figures(table.losses, against, best, *overall)
        return Summary(record=record, metrics=prefixed(table.split, figures))

    def _tickers(self, table: ForecastTable, references: list[str]) -> tuple[dict[str, Any], dict[str, int]]:
        """Columns, one entry a ticker, and how many pass after Holm's correction."""
        columns: dict[str, Any] = {"ticker": list(table.names)}
        main = table.losses[0]
        found = compare_tickers(table, references)
        for reference in references:
            short = "dm" if reference == "naive" else "dm_best"
            for loss in table.losses:
                test = found[reference, loss]
                name = short if loss == main else f"{short}_{_SHORT.get(loss, loss)}"
                if loss == main:
                    columns.setdefault("origins", test.count.tolist())
                    columns[f"{name}_stat"] = column(test.stat)
                columns[f"{name}_p"] = column(test.p)
                columns[f"{name}_p_holm"] = column(holm(test.p))
        signs = ticker_directions(table, alpha=self.alpha)
        columns |= {
            "direction": column(signs.share),
            "direction_low": column(signs.low),
            "direction_high": column(signs.high),
            "pt_stat": column(signs.stat),
            "pt_p": column(signs.p),
            "pt_p_holm": column(holm(signs.p)),
            "why": _reasons({name: found[name, main] for name in references}, signs),
        }
        beside = found["naive", main]
        passed = holm(beside.p) < self.alpha
        counts = {
            "tested": int((~np.isnan(beside.p)).sum()),
            "better": int((passed & (beside.stat > 0)).sum()),
            "worse": int((passed & (beside.stat < 0)).sum()),
            "right_direction": int((holm(signs.p) < self.alpha).sum()),
        }
        return columns, counts

    def _lines(
        self,
        table: ForecastTable,
        against: dict[str, Any],
        best: str | None,
        best_words: str,
        nested: dict[str, Any],
        signs: dict[str, Any],
        counts: dict[str, int],
    ) -> list[str]:
        lines = []
        for name, tests in against.items():
            test = tests[table.losses[0]]["overall"]
            line = f"Diebold-Mariano against {name}{best_words if name == best else ''}: "
            if test["p"] is None:
                line += f"undefined, {test['why']}"
            elif test["p"] >= self.alpha:
                line += f"{p_text(test['p'])}, the difference may be chance"
            else:
                line += f"{p_text(test['p'])}, the model errs {'less' if test['stat'] > 0 else 'more'}"
            lines.append(line)
        if nested["p_better"] is not None:
            found = "skill" if nested["p_better"] < self.alpha else "no skill that chance could not bring"
            lines.append(
                f"Clark-West against naive, which is nested in the model: {p_text(nested['p_better'])}, {found}"
            )
        lines.append(self._direction_line(signs))
        if len(table.names) > 1:
            lines.append(
                f"{counts['tested']:,} ticker{'s' * (counts['tested'] != 1)} tested one by one against naive, after "
                f"Holm's correction: {counts['better']:,} better, {counts['worse']:,} worse"
            )
        return lines

    def _direction_line(self, signs: dict[str, Any]) -> str:
        if signs["share"] is None:
            return f"direction: undefined, {signs['why']}"
        low, high = 100 * signs["low"], 100 * signs["high"]
        tested = f"undefined, {signs['pt_why']}" if signs["pt_p"] is None else p_text(signs["pt_p"])
        return (
            f"direction: {100 * signs['share']:.1f} % right, {100 * (1 - self.alpha):g} % interval "
            f"{low:.1f} to {high:.1f}; Pesaran-Timmermann: {tested}"
        )


def best_baseline(table: ForecastTable) -> str | None:
    """The baseline besides naive with the least mean squared error on these rows: the hardest to beat in hindsight.

    Args:
        table: usable rows.
    """
    totals = {name: np.zeros(2) for name in table.baselines}  # gain on naive, rows that were forecast
    for block in table.blocks():
        returns = Returns(block)
        for name, total in totals.items():
            reference = returns.reference(name)
            known = np.isfinite(reference)
            # Beside naive on the same rows, so that rows it did not forecast favour nobody.
            gain = loss_differential(returns.actual[known], reference[known], np.zeros(int(known.sum())))
            with np.errstate(over="ignore", invalid="ignore"):
                total += gain.sum(), len(gain)
    gains = {
        name: gain / count if math.isfinite(gain) else -math.inf
        for name, (gain, count) in totals.items()
        if count and count >= _COVERED * len(table)
    }
    return max(gains, key=lambda name: gains[name]) if gains else None


def compare_tickers(table: ForecastTable, references: Sequence[str]) -> dict[tuple[str, str], Comparison]:
    """Diebold and Mariano's test ticker by ticker: (reference, loss) -> a group a ticker.

    Args:
        table: usable rows.
        references: baselines, or `naive`.
    """
    groups, horizon = len(table.names), table.overlap()
    found = {
        (reference, loss): compare(np.empty(0), np.empty(0, np.int64), groups, horizon=horizon)
        for reference in references
        for loss in table.losses
    }
    for block in table.blocks():
        returns, mine = Returns(block), np.unique(block.series)
        series = returns.window_series
        for (reference, loss), whole in found.items():
            gain, known = returns.gain(reference, loss=loss)
            window = returns.window if known is None else returns.window[known]
            values, present = group_means(gain, window, len(series))
            some = compare(values, series[present], groups, horizon=horizon)
            for item in fields(Comparison):
                getattr(whole, item.name)[mine] = getattr(some, item.name)[mine]
    return found


def holm(p: Column) -> Column:
    """P-values corrected so that the chance of even one false alarm among all stays below the level.

    Valid however the tests hang together. The smallest is multiplied by the number of tests, the next by one less,
    and so on, never falling below the one before.

    Args:
        p: (tests,); NaN = no test, not counted, NaN again.

    Source: Holm (1979), Scandinavian Journal of Statistics 6.
    """
    adjusted = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted


def expected_best(trials: int) -> float:
    """The largest of that many independent standard normal draws, on average: what luck alone makes of the best.

    Args:
        trials: >= 1.

    Source: Bailey and Lopez de Prado (2014), The deflated Sharpe ratio, Journal of Portfolio Management 40.
    """
    if trials <= 1:
        return 0.0
    from scipy.special import ndtri

    return float(
        (1 - np.euler_gamma) * ndtri(1 - 1 / trials) + np.euler_gamma * ndtri(1 - 1 / (trials * math.e))
    )


def after_trials(
    p_values: Sequence[float | None], *, chosen: int, epochs: Sequence[int | None] | None = None
) -> dict[str, Any]:
    """What the p-value of a sweep's winner is worth, given all that was tried.

    Each trial kept the best of its epochs on the rows that the test is of, so every epoch of every trial was tried.
    The p-values of epochs that were not kept are unknown and count as 1, which is the safe side.

    Args:
        p_values: one a trial, of one and the same test (`val_dm_p_better`, say); None, a trial that has none, counts
            as 1: it was tried all the same.
        chosen: the winner's place.
        epochs: of each trial; None = unknown, and the correction is said to be partial.

    Returns:
        trials: their number. tried: trials and epochs; None where the epochs are unknown. p, p_holm: the winner's,
        before and after Holm's correction. luck: the z-score that the best of that many trials reaches without any
        skill. line: all of it in one sentence. why: a reason where p is None.
    """
    trials = len(p_values)
    known = epochs is not None and len(epochs) == trials and all(count for count in epochs)
    tried = sum(int(count or 1) for count in epochs) if known and epochs is not None else None
    counted = np.ones(max(tried or 0, trials))
    counted[:trials] = [1.0 if p is None else p for p in p_values]
    p, adjusted = p_values[chosen], figure(holm(counted)[chosen])
    luck = expected_best(trials)
    found: dict[str, Any] = {"trials": trials, "tried": tried, "p": p, "luck": luck}
    if p is None:
        line, why = f"best of {trials:,} trials; its test is undefined", "the winner's test is undefined"
        return found | {"p_holm": None, "line": line, "why": why}
    number = (
        "their number (partial: the epochs that each of them chose from are not counted)"
        if tried is None
        else f"the {tried:,} epochs of all of them"
    )
    line = (
        f"best of {trials:,} trials: {p_text(p)}, {p_text(adjusted or 0.0)} after Holm's correction for {number}; "
        f"without any skill the best of {trials:,} lies {luck:.1f} standard errors up"
    )
    return found | {"p_holm": adjusted, "line": line, "why": None}


def _by_step(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The record of all steps together, which comes first, and those of each."""
    overall, *steps = records
    return {
        "overall": overall,
        "steps": [{"step": step, **found} for step, found in enumerate(steps, start=1)],
    }


def _diebold_mariano(differential: Column, *, horizon: int) -> dict[str, Any]:
    return compare(differential, horizon=horizon).record(horizon=horizon)


def _nested(returns: Returns) -> Selected:
    """Gain on naive, which forecasts no move, relieved of the squared move that the model forecasts."""
    gain, known = returns.gain("naive", loss="log" if returns.table.logs else "squared")
    with np.errstate(over="ignore", invalid="ignore"):
        return gain + returns.forecast**2, known


def _figures(
    losses: Sequence[str],
    against: dict[str, Any],
    best: str | None,
    nested: dict[str, Any],
    signs: dict[str, Any],
    counts: dict[str, int],
) -> dict[str, float | None]:
    main, *further = losses

    def test(reference: str | None, loss: str, *names: str) -> dict[str, float | None]:
        """Some of a test's figures under the name of the reference and of every loss but the main one."""
        found = against[reference][loss]["overall"] if reference else {}
        prefix = "dm" if reference == "naive" else "dm_best"
        prefix += "" if loss == main else f"_{_SHORT.get(loss, loss)}"
        return {f"{prefix}_{name}": found.get(name) for name in names}

    others: dict[str, float | None] = {}
    for loss in further:
        others |= test("naive", loss, "p")
        if loss != "absolute":
            others |= test(best, loss, "stat", "p")
    return {
        **test("naive", main, "stat", "p", "p_better"),
        **others,
        **test(best, main, "stat", "p", "p_better"),
        "cw_stat": nested["stat"],
        "cw_p_better": nested["p_better"],
        "pt_stat": signs["pt_stat"],
        "pt_p": signs["pt_p"],
        "direction_low": signs["low"],
        "direction_high": signs["high"],
        "tickers_tested": counts["tested"],
        "tickers_better": counts["better"],
        "tickers_worse": counts["worse"],
    }


def _reasons(tests: dict[str, Comparison], signs: Directions) -> list[str | None]:
    """Why figures of a ticker are undefined; None where all are defined."""
    sources = [(f"against {name}", diebold_mariano.REASONS, test.reason) for name, test in tests.items()]
    sources.append(("direction", direction.REASONS, signs.reason))
    found: list[str | None] = []
    for place, count in enumerate(tests["naive"].count):
        texts = [
            f"{name}: {reasons[reason[place]]}" for name, reasons, reason in sources if reasons[reason[place]]
        ]
        found.append("; ".join(texts) or None if count else "no rows in this split")
    return found
