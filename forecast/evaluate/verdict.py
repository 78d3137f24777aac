"""What the figures say in words, and which of them are too good or too lazy to be believed."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from forecast.evaluate import evidence
from forecast.evaluate.findings import p_text
from forecast.evaluate.metrics import SPLITS
from forecast.evaluate.table import Metrics, align, cells, direction_text, ratio_text

NAIVE = "tomorrow = today"
R2_CEILING = 0.02  # daily data: published R2 of returns out of sample stay below
DIRECTION_CEILING = 0.57  # and right signs
STEADY = 0.25  # spread of the moves forecast / their mean, below which the window hardly matters
COPY = 0.1  # RMS move of the forecast / of the market, below which a chart cannot tell it from the last price
TRAILING = 1.05  # RMSE ratio from which a forecast that hugs the last price is worse than repeating it
WIDTH = 100  # columns of a terminal
NAMED = 5  # tickers


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The judgement on one run, made of its metrics and, where there are any, the records of its evaluation.

    Args:
        metrics: flat, as Tally.result names them, for val and test.
        tickers: those whose prices are forecast (one for `single` and `multiple`, all for `panel`).
        strategy: its name, such as range_single.
        horizon: steps forecast at once, >= 1.
        evaluation: the content of evaluation.json: baselines, significance, intervals, folds; each may be missing.
    """

    metrics: Metrics
    tickers: Sequence[str]
    strategy: str
    horizon: int
    evaluation: Mapping[str, Any] | None = None

    @property
    def subject(self) -> str:
        """What was forecast, in one line."""
        named = ", ".join(self.tickers[:NAMED])
        if len(self.tickers) > NAMED:
            named += f" and {len(self.tickers) - NAMED:,} more"
        days = "1 day" if self.horizon == 1 else f"1 to {self.horizon} days"
        rows = ", ".join(f"{self._figure(split, 'rows') or 0:,.0f} {split}" for split in SPLITS)
        return f"{named}, {self.strategy}, {days} ahead; rows: {rows}"

    @property
    def cells(self) -> list[list[str]]:
        """Texts of the table, header first."""
        return cells(self.metrics, tickers=len(self.tickers), rival=evidence.rival(self.evaluation or {}))

    @property
    def table(self) -> str:
        """Val and test, model above naive, in aligned plain ASCII."""
        return align(self.cells)

    @property
    def sentence(self) -> str:
        """Whether the model beats "tomorrow = today" on test, claiming no more than the figures show."""
        if not self._figure("test", "rows") and self._figure("test", "rmse") is None:
            return "no verdict: the test split has no rows"
        ratio, gain = self._figure("test", "theil_u"), self._figure("test", "r2_oos")
        if ratio is None:
            if self._figure("test", "naive_rmse") == 0:
                return f"does not beat {NAIVE} on test: the price never moved, so {NAIVE} is never wrong"
            return f"no verdict: the RMSE ratio to {NAIVE} on test is undefined"
        if ratio >= 1:
            return f"does not beat {NAIVE} on test: RMSE ratio {ratio_text(ratio)}"
        test = evidence.against_naive(self.evaluation or {})
        if test is not None:
            return self._tested(ratio, *test)
        error = self._gain_error("test")
        if error is None or gain is None:
            shown = f"RMSE ratio {ratio_text(ratio)}, standard error unknown"
            return f"does not clearly beat {NAIVE} on test: {shown}"
        # 1 - ratio = R2 / (1 + ratio), and so are their errors: both lie as many errors from "no better".
        spread = f"RMSE ratio {ratio_text(ratio)}, standard error {_short(error / (1 + ratio))}"
        if gain > 2 * error:
            return f"beats {NAIVE} on test: {spread}"
        return f"does not clearly beat {NAIVE} on test: {spread}, within noise"

    @property
    def findings(self) -> list[str]:
        """What the tests, intervals and folds say, a sentence each."""
        return evidence.findings(self.evaluation or {})

    @property
    def warnings(self) -> list[str]:
        """Suspicions, a sentence each: a leak, a copy of the last price, a forecast that trails the price."""
        found = [self._leak(), self._copy(), self._steady(), self._trailing()]
        return [warning for warning in found if warning]

    @property
    def legend(self) -> list[str]:
        """What the table's words mean, one sentence each."""
        ahead = "the next day is" if self.horizon == 1 else "each coming day is"
        lines = [
            f'naive: "{NAIVE}", {ahead} forecast as the last known price',
            "ratio: RMSE of model / RMSE of naive (Theil's U), below 1 beats naive; skill: 100 (1 - ratio)",
            "MASE: mean error / mean one-day naive error in train; R2: 1 - squared error of model / of naive",
            "direction: right signs of move, flat days left out, +/- one standard error",
            "val chose the weights that are kept, so only test judges them",
        ]
        rival = evidence.rival(self.evaluation or {})
        if rival is not None:
            chosen = (self.evaluation or {})["baselines"].get("selected_on")
            lines.append(f"{rival[0]}: the best baseline" + (f", chosen by {chosen}" if chosen else ""))
        if self.horizon > 1:
            lines.append(
                "windows overlap, so standard errors may be too small for forecasts that change slowly"
            )
        if len(self.tickers) > 1:
            lines.append(
                "dear shares weigh most in RMSE and MAE; standard errors count a day's tickers as one"
            )
        return lines

    @property
    def text(self) -> str:
        """All of it for a terminal."""
        indented = [textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in self.legend]
        verdict = textwrap.fill(f"Verdict: {self.sentence}", WIDTH, subsequent_indent="  ")
        found = [textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in self.findings]
        warned = [textwrap.fill(f"Warning: {line}", WIDTH, subsequent_indent="  ") for line in self.warnings]
        return "\n".join([self.subject, "", self.table, "", *indented, "", verdict, *found, *warned])

    def _tested(self, ratio: float, p: float, better: bool) -> str:
        """The sentence on a ratio below 1 that was tested."""
        told = f"RMSE ratio {ratio_text(ratio)}, Diebold-Mariano {p_text(p)}"
        if not better:
            # Prices of dear shares rule the ratio, the test counts every ticker's moves alike.
            return f"does not clearly beat {NAIVE} on test: {told} the other way, in shares of the last price"
        if p < evidence.alpha(self.evaluation or {}):
            return f"beats {NAIVE} on test: {told}"
        return f"does not clearly beat {NAIVE} on test: {told}, within noise"

    def _figure(self, split: str, name: str) -> float | None:
        return self.metrics.get(f"{split}_{name}")

    def _gain_error(self, split: str) -> float | None:
        error = self._figure(split, "r2_oos_se")
        return None if error is None else error * math.sqrt(max(len(self.tickers), 1))

    def _leak(self) -> str | None:
        found = []
        for split in SPLITS:
            gain, error = self._figure(split, "r2_oos"), self._gain_error(split)
            if gain is not None and gain > R2_CEILING and gain > 2 * (error or 0.0):
                found.append(f"{split} R2 {100 * gain:.1f} % (ceiling {100 * R2_CEILING:.0f} %)")
            if self._too_right(split):
                share, noise = self._figure(split, "direction"), self._figure(split, "direction_se")
                text = direction_text(share, noise, tickers=len(self.tickers))
                found.append(f"{split} direction {text} % (ceiling {100 * DIRECTION_CEILING:.0f} %)")
        if self.evaluation:
            from forecast.evaluate.field import suspicions

            found += suspicions(self.metrics)
        if not found:
            return None
        return (
            f"suspect a leak: {', '.join(found)} is more than daily prices allow; check that no feature "
            "knows the day being forecast, that scalers are fitted on train only, that no bars are stale"
        )

    def _too_right(self, split: str) -> bool:
        share, rows = self._figure(split, "direction"), self._figure(split, "rows")
        if share is None:
            return False
        error = self._figure(split, "direction_se") or 0.0
        if (
            rows
        ):  # all of five days right has an error of 0 by the formula: the ceiling's own error still counts
            error = max(error, math.sqrt(DIRECTION_CEILING * (1 - DIRECTION_CEILING) * self.horizon / rows))
        return share - DIRECTION_CEILING > 2 * error * math.sqrt(max(len(self.tickers), 1))

    def _judged(self) -> str:
        return "test" if self._figure("test", "move_ratio") is not None else "val"

    def _copy(self) -> str | None:
        split = self._judged()
        moves = self._figure(split, "move_ratio")
        if moves is None or moves >= COPY:
            return None
        if moves == 0:
            return (
                f"the forecast is identical to {NAIVE} on {split}: the model adds nothing to the last price"
            )
        return (
            f"near copy of the last price (lag 1): on {split} the forecast moves {100 * moves:.2g} % as far "
            "as the market, so on a chart it looks right and comes one step late"
        )

    def _steady(self) -> str | None:
        split = self._judged()
        mean, spread = self._figure(split, "move_mean"), self._figure(split, "move_sd")
        if not mean or spread is None or spread >= STEADY * abs(mean):
            return None
        return (
            f"hardly looks at the window: on {split} it forecasts about the same move every day "
            f"({100 * mean:+.2g} %, give or take {100 * spread:.1g} %), so it has learnt the training years' drift, "
            "nothing more"
        )

    def _trailing(self) -> str | None:
        split = self._judged()
        ratio, moves = self._figure(split, "theil_u"), self._figure(split, "move_ratio")
        if ratio is None or moves is None or ratio <= TRAILING or moves >= ratio:
            return None
        return (
            f"trails the price: on {split} the forecast is closer to the last known price than to the one it "
            f"forecasts ({moves:.2f} against {ratio:.2f} times the market's usual move) and errs "
            f"{100 * (ratio - 1):.0f} % more than {NAIVE}, as models of raw levels do (data.anchor=none)"
        )


def _short(error: float) -> str:
    return f"{error:.3f}" if error >= 0.0005 else f"{error:.1g}"
