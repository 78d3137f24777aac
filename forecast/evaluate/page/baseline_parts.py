"""The model beside its baselines, on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forecast.evaluate.evidence import number
from forecast.evaluate.markup import grid, plain, text, tree
from forecast.evaluate.metrics import SPLITS
from forecast.evaluate.page.plot import Plot, Series
from forecast.evaluate.page.records import record_html
from forecast.evaluate.table import ratio_text

FAR = 1.2  # ratio
SHOWN = ("figures", "best", "selected_on", "failed")


def baseline_parts(record: Mapping[str, Any], metrics: Mapping[str, float | None]) -> list[str]:
    """A table a split, best ratio first, and the ratios as a plot.

    Args:
        record: best, selected_on, figures (name -> split -> rmse, mae, theil_u, direction ...), failed (name -> why).
        metrics: of the run, for the rows of the model and of naive.
    """
    figures: Mapping[str, Mapping[str, Mapping[str, Any]]] = record.get("figures") or {}
    best = record.get("best")
    parts = []
    if best is not None:
        chosen = (
            f", chosen by {record['selected_on']} before the first test day"
            if record.get("selected_on")
            else ""
        )
        parts.append(text("p", f"Best baseline: {best}{chosen}."))
    for split in reversed(SPLITS):
        rows = _rows(split, figures, metrics)
        if rows:
            parts += [text("h3", f"On {split}"), _table(rows)]
    ratios = _ratios(figures, metrics)
    if ratios is not None:
        parts.append(ratios.html())
    failed = record.get("failed") or {}
    if failed:
        parts += [
            text("h3", "Left out, with the reason"),
            tree({str(key): str(why) for key, why in failed.items()}),
        ]
    return [*parts, *record_html({key: value for key, value in record.items() if key not in SHOWN})]


def _rows(
    split: str, figures: Mapping[str, Mapping[str, Mapping[str, Any]]], metrics: Mapping[str, float | None]
) -> list[tuple[str, Mapping[str, Any]]]:
    own = {
        name: metrics.get(f"{split}_{name}")
        for name in ("rmse", "mae", "mape", "mase", "theil_u", "direction")
    }
    naive = {name: metrics.get(f"{split}_naive_{name}") for name in ("rmse", "mae", "mape")} | {
        "theil_u": 1.0
    }
    rows: list[tuple[str, Mapping[str, Any]]] = [("model", own), ("naive", naive)]
    rows += [
        (name, splits[split]) for name, splits in figures.items() if name != "naive" and splits.get(split)
    ]
    ranked = [(name, row) for name, row in rows if row.get("rmse") is not None]
    return sorted(ranked, key=lambda row: float(row[1]["rmse"]))


def _table(rows: list[tuple[str, Mapping[str, Any]]]) -> str:
    heads = ["", "RMSE", "MAE", "ratio", "direction %"]
    body = []
    for name, row in rows:
        share = row.get("direction")
        cells = [plain(row.get("rmse")), plain(row.get("mae")), ratio_text(row.get("theil_u"))]
        body.append([name, *cells, "-" if share is None else f"{100 * share:.1f}"])
    return grid([heads, *body], labels=1, sortable=True, best=0)


def _ratios(
    figures: Mapping[str, Mapping[str, Mapping[str, Any]]], metrics: Mapping[str, float | None]
) -> Plot | None:
    names = [name for name in figures if name != "naive"]
    if not names:
        return None
    # One that is far off would squeeze the others into one line.
    far = [name for name in names if _least(figures[name]) > FAR]
    if max((number(metrics.get(f"{split}_theil_u")) or 0.0) for split in SPLITS) < FAR:
        names = [name for name in names if name not in far] or names
    columns = {
        split: [
            number(metrics.get(f"{split}_theil_u")),
            *(number((figures[name].get(split) or {}).get("theil_u")) for name in names),
        ]
        for split in SPLITS
    }
    return Plot(
        title="RMSE ratio to tomorrow = today",
        names=["model", *names],
        y_label="ratio, below 1 is better",
        series=[
            Series(name="val", kind="dots", role="other", values=columns["val"]),
            Series(name="test", kind="dots", role="model", values=columns["test"]),
        ],
        levels=[(1.0, "tomorrow = today", "naive")],
        note=f"Above {FAR:g}, and not drawn: {', '.join(far)}." if far and far[0] not in names else "",
    )


def _least(splits: Mapping[str, Mapping[str, Any]]) -> float:
    ratios = [number(figures.get("theil_u")) for figures in splits.values()]
    return min((ratio for ratio in ratios if ratio is not None), default=0.0)
