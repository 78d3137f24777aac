"""What the figures say in words, the table of them, and which are too good or too lazy to be believed."""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from forecast.evaluate.summary import SPLITS, p_text

Metrics = Mapping[str, float | None]

LONGEST = 20  # letters of a baseline's name
HEADER = ("", "", "RMSE", "MAE", "MAPE %", "MASE", "ratio", "skill %", "direction %", "R2 %")
Evaluation = Mapping[str, Any]

FAILED_NAMED = 3  # baselines that failed, by name
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
    """The verdict on one run, made of its metrics and, where there are any, the records of its evaluation.

    Args:
        metrics: flat, as Metrics names them, for val and test.
        tickers: those whose prices are forecast (one for `single` and `multiple`, all for `panel`).
        strategy: its name, such as range_single.
        horizon: steps forecast at once, >= 1.
        evaluation: the content of evaluation.json: baselines, significance, intervals, folds; each may be missing.
        bar: what a bar is called.
    """

    metrics: Metrics
    tickers: Sequence[str]
    strategy: str
    horizon: int
    evaluation: Mapping[str, Any] | None = None
    bar: str = "day"

    @property
    def subject(self) -> str:
        """What was forecast, in one line."""
        named = ", ".join(self.tickers[:NAMED])
        if len(self.tickers) > NAMED:
            named += f" and {len(self.tickers) - NAMED:,} more"
        ahead = f"1 {self.bar}" if self.horizon == 1 else f"1 to {self.horizon} {self.bar}s"
        rows = ", ".join(f"{self._figure(split, 'rows') or 0:,.0f} {split}" for split in SPLITS)
        return f"{named}, {self.strategy}, {ahead} ahead; rows: {rows}"

    @property
    def cells(self) -> list[list[str]]:
        """Texts of the table, header first."""
        return cells(self.metrics, tickers=len(self.tickers), best=best_baseline(self.evaluation or {}))

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
        test = p_against_naive(self.evaluation or {})
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
        return sentences(self.evaluation or {})

    @property
    def warnings(self) -> list[str]:
        """Suspicions, a sentence each: a leak, a copy of the last price, a forecast that trails the price."""
        found = [self._leak(), self._copy(), self._steady(), self._trailing()]
        return [warning for warning in found if warning]

    @property
    def legend(self) -> list[str]:
        """What the table's words mean, one sentence each."""
        ahead = f"the next {self.bar} is" if self.horizon == 1 else f"each coming {self.bar} is"
        lines = [
            f'naive: "{NAIVE}", {ahead} forecast as the last known price',
            "ratio: RMSE of model / RMSE of naive (Theil's U), below 1 beats naive; skill: 100 (1 - ratio)",
            f"MASE: mean error / mean one-{self.bar} naive error in train; R2: 1 - squared error of model / of naive",
            f"direction: right signs of move, flat {self.bar}s left out, +/- one standard error",
            "val chose the weights that are kept, so only test judges them",
        ]
        best = best_baseline(self.evaluation or {})
        if best is not None:
            chosen = (self.evaluation or {})["baselines"].get("selected_on")
            lines.append(f"{best[0]}: the best baseline" + (f", chosen by {chosen}" if chosen else ""))
        if self.horizon > 1:
            lines.append(
                "windows overlap, so standard errors may be too small for forecasts that change slowly"
            )
        if len(self.tickers) > 1:
            lines.append(
                f"dear shares weigh most in RMSE and MAE; standard errors count a {self.bar}'s tickers as one"
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
        shown = f"RMSE ratio {ratio_text(ratio)}, Diebold-Mariano {p_text(p)}"
        if not better:
            # Prices of dear shares rule the ratio, the test counts every ticker's moves alike.
            return (
                f"does not clearly beat {NAIVE} on test: {shown} the other way, in shares of the last price"
            )
        if p < alpha(self.evaluation or {}):
            return f"beats {NAIVE} on test: {shown}"
        return f"does not clearly beat {NAIVE} on test: {shown}, within noise"

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
            from forecast.evaluate.skill import suspicions

            found += suspicions(self.metrics)
        if not found:
            return None
        return (
            f"suspect a leak: {', '.join(found)} is more than daily prices allow; check that no feature "
            f"knows the {self.bar} being forecast, that scalers are fitted on train only, that no bars are stale"
        )

    def _too_right(self, split: str) -> bool:
        share, rows = self._figure(split, "direction"), self._figure(split, "rows")
        if share is None:
            return False
        error = self._figure(split, "direction_se") or 0.0
        if (
            rows
        ):  # all of five bars right has an error of 0 by the formula: the ceiling's own error still counts
            error = max(error, math.sqrt(DIRECTION_CEILING * (1 - DIRECTION_CEILING) * self.horizon / rows))
        return share - DIRECTION_CEILING > 2 * error * math.sqrt(max(len(self.tickers), 1))

    def _split(self) -> str:
        return "test" if self._figure("test", "move_ratio") is not None else "val"

    def _copy(self) -> str | None:
        split = self._split()
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
        split = self._split()
        mean, spread = self._figure(split, "move_mean"), self._figure(split, "move_sd")
        if not mean or spread is None or spread >= STEADY * abs(mean):
            return None
        return (
            f"hardly looks at the window: on {split} it forecasts about the same move every {self.bar} "
            f"({100 * mean:+.2g} %, give or take {100 * spread:.1g} %), so it has learnt the training years' drift, "
            "nothing more"
        )

    def _trailing(self) -> str | None:
        split = self._split()
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


def cells(
    metrics: Metrics, *, tickers: int, best: tuple[str, Mapping[str, Metrics]] | None = None
) -> list[list[str]]:
    """Texts of the table, header first, two rows a split; `-`: undefined, "": says nothing of the naive row.

    Args:
        metrics: flat, as Metrics names them.
        tickers: how many are forecast; the standard error counts those of one bar as one observation.
        best: name of a baseline and its figures by split, for a third row.
    """
    prices = {name: _price_format(metrics, name) for name in ("rmse", "mae")}
    rows = [list(HEADER)]
    for split in SPLITS:

        def figure(name: str, split: str = split) -> float | None:
            return metrics.get(f"{split}_{name}")

        rows.append([split, "model", *_model_cells(figure, prices, tickers=tickers)])
        naive = [_text(figure(f"naive_{name}"), prices[name]) for name in ("rmse", "mae")]
        rows.append(["", "naive", *naive, _text(figure("naive_mape"), "{:.3f}"), "", "", "", "", ""])
        if best is not None and best[1].get(split):
            own = best[1][split]
            rows.append(["", best[0][:LONGEST], *_model_cells(own.get, prices, tickers=tickers)])
    return rows


def align(rows: Sequence[Sequence[str]]) -> str:
    """Columns under each other, the two of labels to the left and the figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        texts = [
            text.ljust(width) if place < 2 else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(texts).rstrip())
    return "\n".join(lines)


def ratio_text(ratio: float | None) -> str:
    """Three decimals, and as many more as it takes to see on which side of 1 the ratio lies."""
    if ratio is None:
        return "-"
    decimals = 3
    while ratio != 1 and decimals < 6 and float(f"{ratio:.{decimals}f}") == 1:
        decimals += 1
    return f"{ratio:.{decimals}f}"


def direction_text(share: float | None, error: float | None, *, tickers: int) -> str:
    """Percent with its standard error, tickers of one bar counted as one observation."""
    if share is None:
        return "-"
    if error is None:
        return f"{100 * share:.1f}"
    return f"{100 * share:.1f} +/- {100 * error * math.sqrt(max(tickers, 1)):.1f}"


def _model_cells(
    figure: Callable[[str], float | None], prices: Mapping[str, str], *, tickers: int
) -> list[str]:
    ratio = figure("theil_u")
    return [
        *(_text(figure(name), prices[name]) for name in ("rmse", "mae")),
        _text(figure("mape"), "{:.3f}"),
        _text(figure("mase"), "{:.3f}"),
        ratio_text(ratio),
        _signed(None if ratio is None else 100 * (1 - ratio)),
        direction_text(figure("direction"), figure("direction_se"), tickers=tickers),
        _signed(_percent(figure("r2_oos"))),
    ]


def _price_format(metrics: Metrics, name: str) -> str:
    # One number of decimals a column, so that model and naive compare at a glance: 4 digits of the smallest.
    values = [metrics.get(f"{split}_{kind}{name}") for split in SPLITS for kind in ("", "naive_")]
    sizes = [abs(value) for value in values if value]
    if not sizes:
        return "{:.2f}"
    if min(sizes) < 1e-6 or max(sizes) >= 1e9:
        return "{:.3e}"
    return f"{{:.{max(2, 3 - math.floor(math.log10(min(sizes))))}f}}"


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _signed(value: float | None) -> str:
    # + 0.0 turns -0.0 into 0.0
    return "-" if value is None else f"{round(value, 2) + 0.0:+.2f}"


def best_baseline(evaluation: Evaluation) -> tuple[str, Mapping[str, Metrics]] | None:
    """Name and figures by split of the best baseline; None where there is none besides naive."""
    record = evaluation.get("baselines") or {}
    name = record.get("best")
    figures = (record.get("figures") or {}).get(name)
    return (str(name), figures) if figures and name != "naive" else None


def p_against_naive(evaluation: Evaluation) -> tuple[float, bool] | None:
    """Two-sided p of Diebold and Mariano's test against naive, and whether the model's loss is the smaller one.

    None where there was no test, or an undefined one.
    """
    tests = (evaluation.get("significance") or {}).get("against") or {}
    test = ((tests.get("naive") or {}).get("squared") or {}).get("overall") or {}
    p, better = number(test.get("p")), number(test.get("stat"))
    return None if p is None or better is None else (p, better > 0)


def alpha(evaluation: Evaluation) -> float:
    """Level of the tests."""
    return number((evaluation.get("significance") or {}).get("alpha")) or 0.05


def sentences(evaluation: Evaluation) -> list[str]:
    """A sentence each: the tests' own, the intervals', the folds', and which baselines failed."""
    found = [*lines(evaluation.get("significance")), *interval_lines(evaluation.get("intervals") or {})]
    spread = fold_spread(evaluation.get("folds") or [])
    failed = (evaluation.get("baselines") or {}).get("failed") or {}
    if failed:
        named = ", ".join(list(failed)[:FAILED_NAMED]) + (", ..." if len(failed) > FAILED_NAMED else "")
        found.append(f"baselines left out: {named}; the report has the reasons")
    return [*found, *([spread] if spread else [])]


def lines(record: object) -> list[str]:
    """The sentences that a record brings with it."""
    found = record.get("lines") if isinstance(record, Mapping) else None
    return [line for line in found if isinstance(line, str)] if isinstance(found, list | tuple) else []


def interval_lines(record: Mapping[str, Any]) -> list[str]:
    """How many outcomes the widest intervals held, beside those around "tomorrow = today"."""
    levels, pooled = record.get("levels") or [], record.get("pooled") or {}
    if not levels:
        return []
    key = f"{100 * levels[0]:g}"
    entry = pooled.get(key) or {}
    held, naive = number(entry.get("coverage")), number(entry.get("naive_coverage"))
    if held is None:
        return [f"{key} % intervals: none on test"]
    found = f"{key} % intervals held {100 * held:.1f} % of test outcomes"
    if naive is not None:
        found += f" (around tomorrow = today: {100 * naive:.1f} %)"
    score, naive_score = number(entry.get("winkler")), number(entry.get("naive_winkler"))
    if score is not None and naive_score:
        found += f"; Winkler score {ratio_text(score / naive_score)} times that of tomorrow = today"
    return [found]


def fold_spread(folds: Sequence[Mapping[str, Any]]) -> str:
    """One sentence on how the ratio differs from fold to fold; "" where fewer than two folds have one."""
    found = (number((fold.get("metrics") or {}).get("test_theil_u")) for fold in folds)
    ratios = [ratio for ratio in found if ratio is not None]
    if len(ratios) < 2:
        return ""
    return (
        f"{len(ratios)} folds: RMSE ratio {ratio_text(min(ratios))} to {ratio_text(max(ratios))}, "
        f"mean {ratio_text(statistics.fmean(ratios))}, standard deviation {statistics.stdev(ratios):.2g}; "
        f"below 1 in {sum(ratio < 1 for ratio in ratios)} of {len(ratios)}"
    )


def number(value: object) -> float | None:
    """A finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
