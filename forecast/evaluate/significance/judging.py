"""The tests of a split: pooled, by step and by ticker, against naive and the best baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Gt, Lt

if TYPE_CHECKING:
    from forecast.evaluate.findings import Findings
    from forecast.evaluate.significance.diebold_mariano import Comparison
    from forecast.evaluate.significance.direction import Directions
    from forecast.evaluate.significance.moves import Moves

LOSSES = ("squared", "absolute")


class Significance:
    """Tests whether the model errs less than the references, and whether it knows the direction.

    Args:
        alpha: level of the tests; intervals have confidence 1 - alpha.
    """

    def __init__(self, *, alpha: Annotated[float, Gt(0), Lt(1)] = 0.05) -> None:
        self.alpha = alpha

    def findings(self, moves: Moves, *, split: str = "test", best: str | None = None) -> Findings:
        """Test the rows of a split.

        Args:
            moves: its rows, with the baselines' forecasts of the same rows.
            split: the prefix of the flat figures.
            best: the baseline to test against besides naive; None = see best_baseline.

        Raises:
            ValueError: no such baseline.
        """
        from forecast.evaluate.findings import Findings, prefixed
        from forecast.evaluate.significance.against import best_baseline, pooled
        from forecast.evaluate.significance.direction import directions

        if best not in (None, *moves.baselines):
            raise ValueError(f"best={best!r} is none of {list(moves.baselines)}")
        best = best or best_baseline(moves)
        references = ["naive"] if best is None else ["naive", best]
        steps = range(1, moves.horizon + 1)
        against: dict[str, Any] = {
            reference: {
                loss: {
                    "overall": pooled(moves, reference, loss, None),
                    "steps": [{"step": step, **pooled(moves, reference, loss, step)} for step in steps],
                }
                for loss in LOSSES
            }
            for reference in references
        }
        overall = directions(moves, step=None, pooled=True, alpha=self.alpha).record()
        tickers, counts = self._tickers(moves, references)
        record: dict[str, Any] = {
            "split": split,
            "alpha": self.alpha,
            "units": "share of the last close",
            "rows": len(moves),
            "rows_left_out": moves.left_out,
            "best_baseline": best,
            "best_why": None if best else "no baseline besides naive",
            "against": against,
            "direction": {
                "overall": overall,
                "steps": [
                    {"step": step, **directions(moves, step=step, pooled=True, alpha=self.alpha).record()}
                    for step in steps
                ],
            },
            "tickers": tickers,
            "holm": counts,
        }
        squared = against["naive"]["squared"]["overall"]
        beside = against[best]["squared"]["overall"] if best else {"stat": None, "p": None, "p_better": None}
        figures = {
            "dm_stat": squared["stat"],
            "dm_p": squared["p"],
            "dm_p_better": squared["p_better"],
            "dm_abs_p": against["naive"]["absolute"]["overall"]["p"],
            "dm_best_stat": beside["stat"],
            "dm_best_p": beside["p"],
            "dm_best_p_better": beside["p_better"],
            "pt_stat": overall["pt_stat"],
            "pt_p": overall["pt_p"],
            "direction_low": overall["low"],
            "direction_high": overall["high"],
            "tickers_tested": counts["tested"],
            "tickers_better": counts["better"],
            "tickers_worse": counts["worse"],
        }
        lines = [
            self._line(name, against[name]["squared"]["overall"], best=name == best) for name in references
        ]
        lines.append(self._direction_line(overall))
        if len(moves.names) > 1:
            lines.append(
                f"{counts['tested']:,} tickers tested one by one against naive, after Holm's correction: "
                f"{counts['better']:,} better, {counts['worse']:,} worse"
            )
        record["lines"] = lines
        return Findings(record=record, metrics=prefixed(split, figures), lines=lines)

    def _tickers(self, moves: Moves, references: list[str]) -> tuple[dict[str, Any], dict[str, int]]:
        """Columns, one entry a ticker, and how many pass after Holm's correction."""
        import numpy as np

        from forecast.evaluate.findings import column
        from forecast.evaluate.significance.against import by_ticker
        from forecast.evaluate.significance.direction import directions
        from forecast.evaluate.significance.trials import holm

        columns: dict[str, Any] = {"ticker": list(moves.names)}
        found: dict[tuple[str, str], Comparison] = {}
        for reference in references:
            short = "dm" if reference == "naive" else "dm_best"
            for loss in LOSSES:
                test = found[reference, loss] = by_ticker(moves, reference, loss)
                name = short if loss == "squared" else f"{short}_abs"
                if loss == "squared":
                    columns.setdefault("origins", test.count.tolist())
                    columns[f"{name}_stat"] = column(test.stat)
                columns[f"{name}_p"] = column(test.p)
                columns[f"{name}_p_holm"] = column(holm(test.p))
        signs = directions(moves, step=None, pooled=False, alpha=self.alpha)
        columns |= {
            "direction": column(signs.share),
            "direction_low": column(signs.low),
            "direction_high": column(signs.high),
            "pt_stat": column(signs.stat),
            "pt_p": column(signs.p),
            "pt_p_holm": column(holm(signs.p)),
            "why": _reasons({name: found[name, "squared"] for name in references}, signs),
        }
        main = found["naive", "squared"]
        passed = holm(main.p) < self.alpha
        counts = {
            "tested": int((~np.isnan(main.p)).sum()),
            "better": int((passed & (main.stat > 0)).sum()),
            "worse": int((passed & (main.stat < 0)).sum()),
            "right_direction": int((holm(signs.p) < self.alpha).sum()),
        }
        return columns, counts

    def _line(self, name: str, test: dict[str, Any], *, best: bool) -> str:
        from forecast.evaluate.findings import p_text

        told = f"Diebold-Mariano against {name}{' (the best baseline)' if best else ''}: "
        if test["p"] is None:
            return f"{told}undefined, {test['why']}"
        if test["p"] >= self.alpha:
            return f"{told}{p_text(test['p'])}, the difference may be chance"
        return f"{told}{p_text(test['p'])}, the model errs {'less' if test['stat'] > 0 else 'more'}"

    def _direction_line(self, signs: dict[str, Any]) -> str:
        from forecast.evaluate.findings import p_text

        if signs["share"] is None:
            return f"direction: undefined, {signs['why']}"
        low, high = 100 * signs["low"], 100 * signs["high"]
        told = (
            f"direction: {100 * signs['share']:.1f} % right, {100 * (1 - self.alpha):g} % interval "
            f"{low:.1f} to {high:.1f}; Pesaran-Timmermann: "
        )
        return told + (f"undefined, {signs['pt_why']}" if signs["pt_p"] is None else p_text(signs["pt_p"]))


def _reasons(tests: dict[str, Comparison], signs: Directions) -> list[str | None]:
    """Why figures of a ticker are undefined; None where all are defined."""
    from forecast.evaluate.significance import diebold_mariano, direction

    sources = [(f"against {name}", diebold_mariano.REASONS, test.reason) for name, test in tests.items()]
    sources.append(("direction", direction.REASONS, signs.reason))
    told: list[str | None] = []
    for place, count in enumerate(tests["naive"].count):
        texts = [
            f"{name}: {reasons[reason[place]]}" for name, reasons, reason in sources if reasons[reason[place]]
        ]
        told.append("; ".join(texts) or None if count else "no rows in this split")
    return told
