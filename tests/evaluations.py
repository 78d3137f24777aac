"""Records as evaluation.json holds them, of given tickers, small enough to be written by hand."""

from __future__ import annotations

import math
from typing import Any

EVIL = '<img src=x onerror="window.hit=1">\''  # a ticker that would be a tag


def evaluation(
    tickers: tuple[str, ...] = ("AAPL",),
    *,
    horizon: int = 1,
    folds: int = 1,
    p: float = 0.21,
    stat: float = 1.25,
) -> dict[str, Any]:
    """All records of a run.

    Args:
        tickers: forecast.
        horizon: steps.
        folds: of the walk-forward, 1 = none.
        p, stat: of the Diebold-Mariano test against naive.
    """
    return {
        "folds": [_fold(number) for number in range(folds)],
        "baselines": {
            "best": "drift",
            "selected_on": "val_theil_u",
            "figures": {
                name: {split: _baseline(ratio) for split in ("val", "test")}
                for name, ratio in (
                    ("naive", 1.0),
                    ("drift", 0.9991),
                    ("ridge", 1.0123),
                    ("moving_average", 1.9),
                )
            },
            "failed": {"auto_arima": "did not converge"},
            "seconds": {"drift": 0.01},
        },
        "significance": _significance(tickers, horizon, p, stat),
        "intervals": _intervals(tickers, horizon),
        "field": {
            "split": "test",
            "overall": {"r2_zero": 0.0012, "r2_zero_se": 0.003, "ic": None, "why": {"ic": "wants 3 tickers"}},
            "steps": [],
            "tickers": {
                "ticker": list(tickers),
                "r2_zero": [0.001] * len(tickers),
                "why": [None] * len(tickers),
            },
            "lines": ["R2 of returns: +0.12 % +/- 0.30 against no move"],
        },
        "economics": {
            "label": "a sketch, not a profit to be had",
            "cost_bps": 5.0,
            "strategy": {"sharpe": 0.31, "max_drawdown": 0.256, "why": None},
            "buy_and_hold": {"sharpe": 0.52, "max_drawdown": 0.31, "why": None},
        },
        "of_my_own": {"note": "A record that nobody knows.", "size": {"large": 2, "small": 1}},
    }


def _fold(number: int) -> dict[str, Any]:
    ratio = 1 + 0.004 * math.cos(3 * number)
    return {
        "fold": number,
        "train": ["2001-01-01", f"200{2 + number}-01-01"],
        "val": [f"200{2 + number}-01-02", f"200{2 + number}-06-01"],
        "test": [f"200{2 + number}-06-02", f"200{3 + number}-06-01"],
        "refit": number % 2 == 0,
        "epochs": 7,
        "seconds": 1.25,
        "metrics": {
            "test_theil_u": ratio,
            "val_theil_u": 0.999,
            "test_rmse": 1.25 * ratio,
            "test_naive_rmse": 1.25,
            "test_direction": 0.5125,
        },
    }


def _baseline(ratio: float) -> dict[str, float]:
    return {"rmse": 2 * ratio, "mae": 1.5 * ratio, "theil_u": ratio, "direction": 0.503, "direction_se": 0.02}


def _significance(tickers: tuple[str, ...], horizon: int, p: float, stat: float) -> dict[str, Any]:
    test = {"stat": stat, "p": p, "p_better": p / 2 if stat > 0 else 1 - p / 2, "origins": 491, "why": None}
    unknown = {"stat": None, "p": None, "p_better": None, "origins": 3, "why": "too few origins"}
    steps = [{"step": step, **test} for step in range(1, horizon + 1)]
    share = {
        "share": 0.513,
        "low": 0.471,
        "high": 0.556,
        "moved": 480,
        "pt_stat": 0.6,
        "pt_p": 0.27,
        "pt_why": None,
    }
    count = len(tickers)
    return {
        "split": "test",
        "alpha": 0.05,
        "against": {
            "naive": {"squared": {"overall": test, "steps": steps}},
            "drift": {"squared": {"overall": unknown, "steps": []}},
        },
        "direction": {"overall": share, "steps": [{"step": 1, **share}]},
        "tickers": {
            "ticker": list(tickers),
            "origins": [491] * count,
            "dm_stat": [stat - 0.1 * place for place in range(count)],
            "dm_p": [(place + 1) / (count + 1) for place in range(count)],
            "dm_p_holm": [1.0] * count,
            "direction": [0.5 + 0.001 * place for place in range(count)],
            "direction_low": [0.45] * count,
            "direction_high": [0.55] * count,
            "why": [None] * count,
        },
        "lines": [f"Diebold-Mariano against naive: p = {p:.2g}, the difference may be chance"],
    }


def _intervals(tickers: tuple[str, ...], horizon: int) -> dict[str, Any]:
    entry = {
        "rows": 491,
        "coverage": 0.891,
        "width_percent": 6.25,
        "winkler": 4.0,
        "naive_coverage": 0.902,
        "naive_winkler": 3.2,
    }
    return {
        "method": "Adaptive",
        "notes": ["calibrated on 120 validation residuals a step, fewer than 250"],
        "levels": [0.9, 0.5],
        "pooled": {"90": entry, "50": entry | {"coverage": 0.47}},
        "steps": {"90": [entry] * horizon, "50": [entry] * horizon},
        "tickers": {name: {"90": entry | {"coverage": 0.8 + 0.001 * n}} for n, name in enumerate(tickers)},
        "reliability": [
            {"nominal": level / 10, "empirical": level / 10 - 0.02, "naive_empirical": level / 10 + 0.01}
            for level in range(1, 10)
        ],
    }
