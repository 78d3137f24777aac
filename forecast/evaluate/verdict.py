"""What the figures say in words, the table of them, and which are too good or too lazy to be believed."""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from forecast.evaluate.findings import (
    Comparison,
    TargetWords,
    alpha,
    best_baseline,
    coverage_warnings,
    sentences,
)
from forecast.evaluate.summary import SPLITS, align, number, ratio_text

Metrics = Mapping[str, float | None]

LONGEST = 20  # letters of a baseline's name
HEADER = ("", "", "RMSE", "MAE", "MAPE %", "MASE", "ratio", "skill %", "direction %", "R2 %")
# Daily data: published R2 of returns out of sample, and right signs, stay below.
CEILINGS = {"r2_oos": 0.02, "direction": 0.57, "ic": 0.10}
ENOUGH = 100  # test rows of a ticker, from which the ceiling of a ratio is believed without a test
POWER = 0.8  # chance with which a gain of the size named would have been found
SEE_FEATURES = ("ridge", "trees")  # baselines that a leaking feature reaches
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
    def words(self) -> TargetWords:
        """What was forecast."""
        return TargetWords.of(self.evaluation or {})

    @property
    def cells(self) -> list[list[str]]:
        """Texts of the table, header first."""
        best = best_baseline(self.evaluation or {})
        if self.words.price:
            return cells(self.metrics, together=self._together, best=best)
        return cells_of_target(self.metrics, self.evaluation or {}, best=best)

    @property
    def table(self) -> str:
        """Val and test, model above naive, in aligned plain ASCII."""
        return align(self.cells, words=(0, 1))

    @property
    def sentence(self) -> str:
        """Whether the model beats the best baseline by validation on test, claiming no more than the figures show.

        Beside it stands the forecast that needs no model; what is not beaten comes first.
        """
        evaluation, words = self.evaluation or {}, self.words
        clauses = [self._beside_naive()]
        best = best_baseline(evaluation)
        if clauses[0].startswith("no verdict: the test split") or not evaluation.get("target"):
            return clauses[0]
        if best is not None:
            named = f"{best[0]}, the best baseline by validation,"
            clause = Comparison.of(evaluation, best[0]).clause(named, words.error)
            clauses.insert(1 if words.price else 0, clause)
        starts = ("beats", "does not clearly")
        return "; ".join(sorted(clauses, key=lambda clause: [*map(clause.startswith, starts)]))

    def _beside_naive(self) -> str:
        """Whether the model beats the naive forecast on test."""
        words, naive = self.words, self.words.naive
        if not self._figure("test", "rows") and self._figure("test", "rmse") is None:
            return "no verdict: the test split has no rows"
        if words.loss != "squared":
            return Comparison.of(self.evaluation or {}, "naive").clause(naive, words.error)
        ratio, gain = self._figure("test", "theil_u"), self._figure("test", "r2_oos")
        if ratio is None:
            if self._figure("test", "naive_rmse") == 0:
                return f"does not beat {naive} on test: the price never moved, so {naive} is never wrong"
            return f"no verdict: the RMSE ratio to {naive} on test is undefined"
        if ratio >= 1:
            return f"does not beat {naive} on test: RMSE ratio {ratio_text(ratio)}"
        test = Comparison.of(self.evaluation or {}, "naive")
        if test.p is not None:
            return replace(test, ratio=ratio).clause(naive, "RMSE", tested_in="in shares of the last price")
        error = self._gain_error("test")
        if error is None or gain is None:
            shown = f"RMSE ratio {ratio_text(ratio)}, standard error unknown"
            return f"does not clearly beat {naive} on test: {shown}"
        # 1 - ratio = R2 / (1 + ratio), and so are their errors: both lie as many errors from "no better".
        spread = f"RMSE ratio {ratio_text(ratio)}, standard error {_short(error / (1 + ratio))}"
        if gain > 2 * error:
            return f"beats {naive} on test: {spread}"
        return f"does not clearly beat {naive} on test: {spread}, within noise"

    @property
    def findings(self) -> list[str]:
        """What the tests, intervals and folds say, a sentence each, and what gain they could have seen."""
        found = sentences(self.evaluation or {})
        seen = self._detectable()
        return [*found, seen] if seen and not self.sentence.startswith("beats") else found

    @property
    def warnings(self) -> list[str]:
        """A sentence each: a suspected leak, covariates that nothing shows to have been known, a copy of the last
        price, a forecast that trails it, intervals that do not hold."""
        lazy = [self._copy(), self._steady(), self._trailing()] if self.words.price else []
        found = [self._leak(), *lazy]
        held = coverage_warnings((self.evaluation or {}).get("intervals") or {}, bar=self.bar)
        risk = (self.evaluation or {}).get("risk") or {}
        unproved = (self.evaluation or {}).get("unproved") or []
        return [*(warning for warning in found if warning), *unproved, *held, *(risk.get("warnings") or [])]

    @property
    def legend(self) -> list[str]:
        """What the table's words mean, one sentence each."""
        words = self.words
        ahead = f"the next {self.bar} is" if self.horizon == 1 else f"each coming {self.bar} is"
        if words.price:
            lines = [
                f'naive: "{words.naive}", {ahead} forecast as the last known price',
                "ratio: RMSE of model / RMSE of naive (Theil's U), below 1 beats naive; skill: 100 (1 - ratio)",
                f"MASE: mean error / mean one-{self.bar} naive error in train; "
                "R2: 1 - squared error of model / of naive",
                f"direction: right signs of move, flat {self.bar}s left out, +/- one standard error",
            ]
        else:
            lines = [
                f'{words.name}, in {words.unit}; naive: "{words.naive}"',
                f"ratio: {words.error} of model / {words.error} of naive, below 1 beats naive; skill: 100 (1 - ratio)",
            ]
        lines.append("val chose the weights that are kept, so only test judges them")
        best = best_baseline(self.evaluation or {})
        if best is not None:
            chosen = (self.evaluation or {})["baselines"].get("selected_on")
            lines.append(f"{best[0]}: the best baseline" + (f", chosen by {chosen}" if chosen else ""))
        if self.horizon > 1:
            lines.append(
                "windows overlap, so standard errors may be too small for forecasts that change slowly"
            )
        if len(self.tickers) > 1:
            dear = "dear shares weigh most in RMSE and MAE; " if words.price else ""
            lines.append(f"{dear}standard errors count a {self.bar}'s tickers as one")
        return lines

    @property
    def text(self) -> str:
        """All of it for a terminal."""
        indented = [textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in self.legend]
        verdict = textwrap.fill(f"Verdict: {self.sentence}", WIDTH, subsequent_indent="  ")
        found = [textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in self.findings]
        warned = [textwrap.fill(f"Warning: {line}", WIDTH, subsequent_indent="  ") for line in self.warnings]
        return "\n".join([self.subject, "", self.table, "", *indented, "", verdict, *found, *warned])

    def _figure(self, split: str, name: str) -> float | None:
        return self.metrics.get(f"{split}_{name}")

    def _gain_error(self, split: str) -> float | None:
        error = self._figure(split, "r2_oos_se")
        return None if error is None else error * math.sqrt(self._together(split))

    def _together(self, split: str) -> float:
        """Tickers that are forecast on one bar, in the mean: as one observation they count. Some may have ended."""
        known = ((self.evaluation or {}).get("target") or {}).get("tickers_together") or {}
        return number(known.get(split)) or max(len(self.tickers), 1)

    def _detectable(self) -> str | None:
        """The gain that this test would have seen: below it, nothing found is no proof of nothing there.

        A forecast that explains a share R of the reference's squared errors gains R with a standard error of
        2 sqrt(R / n) of n independent rows, so it is significant where sqrt(n R) / 2 exceeds the quantiles of the
        test's level and of its power (Cohen 1988, Statistical Power Analysis for the Behavioral Sciences).
        """
        evaluation, words = self.evaluation or {}, self.words
        tests = ((evaluation.get("significance") or {}).get("against") or {}).get("naive") or {}
        test = (tests.get(words.loss) or {}).get("overall") or {}
        if (
            not evaluation.get("target")
            or not test.get("origins")
            or Comparison.of(evaluation, "naive").flawless
        ):
            return None
        ends = statistics.NormalDist()
        needed = ends.inv_cdf(1 - alpha(evaluation) / 2) + ends.inv_cdf(POWER)
        bars = test["origins"] / (test["lags"] + 1)  # those that overlap count as one
        share = 4 * needed**2 / bars
        if share >= 1:
            return f"{self._figure('test', 'rows'):,.0f} test rows are too few to tell any gain from chance"
        reference = "the best baseline" if best_baseline(evaluation) else words.naive
        error = "squared error" + " of logs" * (words.loss in ("log", "qlike"))
        apart = "that do not overlap " if test["lags"] else ""
        return (
            f"what it could have seen: of {bars:,.0f} test {self.bar}s {apart}a gain of {100 * share:.1f} % in {error} "
            f"on {reference} (ratio {ratio_text(math.sqrt(1 - share))}) would be seen {100 * POWER:.0f} times in 100; "
            "a smaller one may be there unseen"
        )

    def _leak(self) -> str | None:
        found = []
        record = (self.evaluation or {}).get("target") or {}
        ceilings: Mapping[str, float] = record.get("suspect_above", CEILINGS)
        for split in SPLITS:
            gain, error = self._figure(split, "r2_oos"), self._gain_error(split)
            most = ceilings.get("r2_oos", math.inf)
            if gain is not None and gain > most and gain > 2 * (error or 0.0):
                found.append(f"{split} R2 {100 * gain:.1f} % (ceiling {100 * most:.0f} %)")
            most = ceilings.get("direction", math.inf)
            if self._too_right(split, most):
                share, noise = self._figure(split, "direction"), self._figure(split, "direction_se")
                text = direction_text(share, noise, together=self._together(split))
                found.append(f"{split} direction {text} % (ceiling {100 * most:.0f} %)")
        if self.evaluation and "ic" in ceilings:
            from forecast.evaluate.skill import suspicions

            found += suspicions(self.metrics, ceiling=ceilings["ic"])
        errors: Mapping[str, float | None] = (record.get("errors") or {}).get("test") or {}
        # What is made of past prices alone cannot know the future: how far it gets, the data allow.
        honest = [number(error) for name, error in errors.items() if name not in ("model", *SEE_FEATURES)]
        rows = (self._figure("test", "rows") or 0.0) / self._together("test")
        least_honest = min((error for error in honest if error is not None), default=math.inf)
        for name, least in (record.get("suspect_below") or {}).items():
            test = Comparison.of(self.evaluation or {}, name)
            if (errors.get("model") or 0.0) >= least * least_honest:
                continue
            # Against a reference that was not tested, a share of few rows is chance.
            sure = test.beats if test.p is not None else rows >= ENOUGH
            if test.ratio is not None and test.ratio < least and sure:
                found.append(
                    f"test {self.words.error} {test.ratio:.3f} times that of {name} (no less than {least:g})"
                )
        if not found:
            return None
        return (
            f"suspect a leak: {', '.join(found)} is more than {self._bars} allow; "
            f"check that no feature knows the {self.bar} being forecast, that scalers are fitted on train only, that "
            "no bars are stale"
        )

    @property
    def _bars(self) -> str:
        what = "prices" if self.words.price else "data"
        return f"daily {what}" if self.bar == "day" else f"{what} of {self.bar}s"

    def _too_right(self, split: str, most: float) -> bool:
        share, rows = self._figure(split, "direction"), self._figure(split, "rows")
        if share is None or not most < 1:
            return False
        error = self._figure(split, "direction_se") or 0.0
        if (
            rows
        ):  # all of five bars right has an error of 0 by the formula: the ceiling's own error still counts
            error = max(error, math.sqrt(most * (1 - most) * self.horizon / rows))
        return share - most > 2 * error * math.sqrt(self._together(split))

    def _split(self) -> str:
        return "test" if self._figure("test", "move_ratio") is not None else "val"

    def _copy(self) -> str | None:
        split = self._split()
        moves = self._figure(split, "move_ratio")
        if moves is None or moves >= COPY:
            return None
        if moves == 0:
            return (
                f"the forecast is identical to {self.words.naive} on {split}: "
                "the model adds nothing to the last price"
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
            f"{100 * (ratio - 1):.0f} % more than {self.words.naive}, as models of raw levels do (data.anchor=none)"
        )


def _short(error: float) -> str:
    return f"{error:.3f}" if error >= 0.0005 else f"{error:.1g}"


def cells(
    metrics: Metrics,
    *,
    together: Callable[[str], float],
    best: tuple[str, Mapping[str, Metrics]] | None = None,
) -> list[list[str]]:
    """Texts of the table, header first, two rows a split; `-`: undefined, "": says nothing of the naive row.

    Args:
        metrics: flat, as Metrics names them.
        together: how many tickers are forecast on one bar of a split; standard errors count them as one observation.
        best: name of a baseline and its figures by split, for a third row.
    """
    prices = {name: _price_format(metrics, name) for name in ("rmse", "mae")}
    rows = [list(HEADER)]
    for split in SPLITS:

        def figure(name: str, split: str = split) -> float | None:
            return metrics.get(f"{split}_{name}")

        rows.append([split, "model", *_model_cells(figure, prices, together=together(split))])
        naive = [_text(figure(f"naive_{name}"), prices[name]) for name in ("rmse", "mae")]
        rows.append(["", "naive", *naive, _text(figure("naive_mape"), "{:.3f}"), "", "", "", "", ""])
        if best is not None and best[1].get(split):
            own = best[1][split]
            rows.append(["", best[0][:LONGEST], *_model_cells(own.get, prices, together=together(split))])
    return rows


_FIGURES = {"rmse": "RMSE", "mae": "MAE", "rmse_log": "RMSE of logs", "qlike": "QLIKE", "brier": "Brier"}
_FIGURES |= {"log_loss": "log loss"}


def cells_of_target(
    metrics: Metrics, evaluation: Mapping[str, Any], *, best: tuple[str, Mapping[str, Metrics]] | None
) -> list[list[str]]:
    """The same for a target other than a price: its own metrics, and the error in the loss that it is compared in.

    Args:
        metrics: flat.
        evaluation: the content of evaluation.json.
        best: name of a baseline and its figures by split, for a third row.
    """
    shown = [name for name in _FIGURES if any(f"{split}_{name}" in metrics for split in SPLITS)]
    right = any(f"{split}_direction" in metrics for split in SPLITS)
    rows = [["", "", *(_FIGURES[name] for name in shown), "ratio", "skill %", *(["direction %"] * right)]]
    figures = (evaluation.get("baselines") or {}).get("figures") or {}
    for split in SPLITS:
        errors = ((evaluation.get("target") or {}).get("errors") or {}).get(split) or {}
        beside = {name: metrics.get(f"{split}_naive_{name}") for name in ("rmse", "mae")}
        sides: dict[str, Metrics] = {
            "model": {name: metrics.get(f"{split}_{name}") for name in (*shown, "direction")},
            "naive": beside | ((figures.get("naive") or {}).get(split) or {}),
        }
        if best is not None:
            sides[best[0]] = best[1].get(split) or {}
        for place, (name, own) in enumerate(sides.items()):
            error, naive = number(errors.get(name)), number(errors.get("naive"))
            ratio = None if error is None or not naive or name == "naive" else error / naive
            texts = [_digits(own.get(figure)) for figure in shown]
            last = ["", ""] if name == "naive" else [ratio_text(ratio), _signed(_percent(ratio, 1.0))]
            signs = ["" if name == "naive" else _text(_percent(own.get("direction")), "{:.1f}")] * right
            rows.append(["" if place else split, name[:LONGEST], *texts, *last, *signs])
    return rows


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def direction_text(share: float | None, error: float | None, *, together: float) -> str:
    """Percent with its standard error, tickers of one bar counted as one observation."""
    if share is None:
        return "-"
    if error is None:
        return f"{100 * share:.1f}"
    return f"{100 * share:.1f} +/- {100 * error * math.sqrt(together):.1f}"


def _model_cells(
    figure: Callable[[str], float | None], prices: Mapping[str, str], *, together: float
) -> list[str]:
    ratio = figure("theil_u")
    return [
        *(_text(figure(name), prices[name]) for name in ("rmse", "mae")),
        _text(figure("mape"), "{:.3f}"),
        _text(figure("mase"), "{:.3f}"),
        ratio_text(ratio),
        _signed(None if ratio is None else 100 * (1 - ratio)),
        direction_text(figure("direction"), figure("direction_se"), together=together),
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


def _percent(value: float | None, less_than: float | None = None) -> float | None:
    """Percent, or how many percent a value lies below another."""
    if value is None:
        return None
    return 100 * value if less_than is None else 100 * (less_than - value)


def _signed(value: float | None) -> str:
    # + 0.0 turns -0.0 into 0.0
    return "-" if value is None else f"{round(value, 2) + 0.0:+.2f}"
