"""How much of a signal the default network finds: python -m benchmarks.power [--seeds 10] [--forms price ...]

Markets in which a signal of known size is planted, forecast with the defaults of this project. A verdict of "nothing"
is worth what the network would have seen had there been something.

price        one ticker; each return follows the one before (an autoregression of order one)
panel        four such tickers, pooled
volatility   one ticker; the log of a bar's variance moves on as it moved before (naive: it stays)
reverting    one ticker; the log of a bar's variance follows the one before, around its mean (naive: the mean)

R2 is the planted share of the variance of what is forecast. `possible` is the RMSE of the planted mean itself, in units
of the naive forecast's, and `reached` that of the forecaster, mean over the seeds. The mean and the noise are known, so
what a forecaster misses of the mean is measured by itself: reached^2 = (missed^2 + noise^2) / (signal^2 + noise^2), in
which the luck of some hundred test bars has no part. `share` is the share of the possible gain in squared error. The
limits that are held to: a share of at least 50 % at an R2 of 1 %, and a ratio of at most 1.002 where nothing is there.
"""

from __future__ import annotations

import argparse
import functools
import time
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from omegaconf import open_dict

from forecast.config import build, compose
from forecast.data import MarketData
from forecast.data.sources import SyntheticSource
from forecast.evaluate.metrics import Metrics
from forecast.model.building import build_forecaster, make_trainer, train

Values = NDArray[np.float64]

SHARES = (0.0, 0.005, 0.01, 0.05)
MODELS = ("lstm", "ridge")
BARS = 3270  # as many as AAPL's in the embedded data
FORMS = {
    "price": ("no_processing_single", "close", 1),
    "panel": ("no_processing_panel", "close", 4),
    "volatility": ("volatility_single", "volatility", 1),
    "reverting": ("volatility_single", "volatility", 1),
}
_STEP, _SPREAD = 0.03, 0.6  # of the log variance: of its moves, and around its mean


class Planted:
    """A source whose next value has a known mean.

    Args:
        form: see above.
        share: of the variance, that is forecast by the planted mean.
        seed: of the market.
        tickers: how many.
    """

    def __init__(self, form: str, *, share: float, seed: int, tickers: int) -> None:
        self.form = form
        self.follow = float(np.sqrt(share))
        self.seed = seed
        self.market = SyntheticSource(num_tickers=tickers, num_bars=BARS, seed=seed)
        self.means: dict[str, pd.Series] = {}  # ticker -> of each bar, given the bars before

    def tickers(self) -> list[str]:
        """As the synthetic source calls them."""
        return self.market.tickers()

    def bars(self, ticker: str) -> pd.DataFrame:
        """Bars of one ticker, with the means kept."""
        bars = self.market.bars(ticker)
        if self.form in ("price", "panel"):
            return self._prices(ticker, bars)
        return self._variances(ticker, bars)

    def _prices(self, ticker: str, bars: pd.DataFrame) -> pd.DataFrame:
        """The synthetic market's bars, their returns chained anew so that each follows the one before."""
        close = bars["Close"].to_numpy(np.float64)
        noise = np.diff(np.log(close)) * np.sqrt(1 - self.follow**2)
        returns, means = np.zeros((2, len(close)))
        for bar in range(1, len(close)):
            means[bar] = self.follow * returns[bar - 1]
            returns[bar] = means[bar] + noise[bar - 1]
        chained = close[0] * np.exp(np.cumsum(returns))
        self.means[ticker] = pd.Series(means, bars.index)
        return bars.assign(**{
            name: bars[name] / close * chained for name in ("Open", "High", "Low", "Close")
        })  # fmt: skip

    def _variances(self, ticker: str, bars: pd.DataFrame) -> pd.DataFrame:
        """Bars whose Garman-Klass variance is a planted one to the last digit."""
        count = len(bars)
        rng = np.random.default_rng((self.seed, self.tickers().index(ticker)))
        noise = rng.normal(size=count) * np.sqrt(1 - self.follow**2)
        logs, means = np.zeros((2, count))
        move = 0.0
        for bar in range(1, count):
            if self.form == "volatility":
                means[bar] = logs[bar - 1] + self.follow * move
                move = self.follow * move + _STEP * noise[bar]
                logs[bar] = logs[bar - 1] + move
            else:
                means[bar] = self.follow * logs[bar - 1]
                logs[bar] = means[bar] + _SPREAD * noise[bar]
        usual = np.log(0.02**2)
        variance = np.exp(logs + usual)
        spread = np.sqrt(variance)
        day = np.clip(rng.normal(size=count), -2, 2) * spread
        night = 0.3 * rng.normal(size=count) * spread
        opened = 3.0 + np.cumsum(night) + np.concatenate(([0.0], np.cumsum(day)[:-1]))
        closed = opened + day
        # Garman and Klass: variance = log(High / Low)^2 / 2 - (2 ln 2 - 1) log(Close / Open)^2
        wide = np.sqrt(2 * (variance + (2 * np.log(2) - 1) * day**2))
        above = rng.random(count) * (wide - np.abs(day))
        high = np.maximum(opened, closed) + above
        self.means[ticker] = pd.Series(means + usual, bars.index)
        table = {"Open": opened, "High": high, "Low": high - wide, "Close": closed}
        drift = np.linspace(0.0, closed[-1] - closed[0], count)  # a price of any size, whatever the seed
        volume = np.ceil(1e6 * np.exp(rng.normal(0, 0.3, count)))
        return pd.DataFrame(
            {name: np.exp(values - drift) for name, values in table.items()} | {"Volume": volume},
            index=bars.index,
        )


@functools.lru_cache(maxsize=1)
def prepared(form: str, share: float, seed: int) -> tuple[MarketData, Planted]:
    """Data of a planted market with this project's defaults."""
    strategy, target, tickers = FORMS[form]
    config = compose(f"data={strategy}", f"target={target}", f"seed={seed}")
    source = Planted(form, share=share, seed=seed, tickers=tickers)
    with open_dict(config):
        config.data.tickers = source.tickers()
    data: MarketData = build(config.data, source=source, target=build(config.target))
    data.prepare()
    return data, source


def fitted(model: str, data: MarketData, *, form: str, seed: int) -> Any:
    """A model with this project's defaults, fitted."""
    strategy, target, _ = FORMS[form]
    config = compose(
        f"data={strategy}", f"target={target}", f"model={model}", f"seed={seed}", "trainer.progress=off"
    )
    score = Metrics(names=data.target.metrics)
    with make_trainer(config).pinned():
        forecaster = build_forecaster(config, data.facts, score=score)
    train(forecaster, data, score=score)
    return forecaster


def ratios(forecaster: Any, data: MarketData, source: Planted, *, form: str) -> tuple[float, float, float]:
    """Squares of the RMSE ratios to naive: possible, reached, and reached with the luck of the test bars."""
    windows = data.windows_["test"]
    batch = windows.take(np.arange(len(windows)))
    last, came = batch.history[:, -1], batch.outcome[:, 0]
    times = data.panel_.time_of(batch.ahead[:, 0])
    mean = np.empty(len(came))
    for number, name in enumerate(data.panel_.names):
        own = batch.series == number
        mean[own] = source.means[name].reindex(times[own]).to_numpy()
    answer = forecaster.forecast(batch).values[:, 0]
    naive = last
    if form in ("price", "panel"):
        came, answer, mean, naive = came / last - 1, answer / last - 1, np.expm1(mean), np.zeros(len(last))
    elif form == "reverting":
        train_windows = data.windows_["train"]
        naive = np.full(len(last), train_windows.take(np.arange(len(train_windows))).outcome.mean())
    noise = float(np.square(came - mean).sum())

    def error(forecast: Values) -> float:
        return float(np.square(forecast - mean).sum()) + noise

    whole = error(naive)
    return (
        noise / whole,
        error(answer) / whole,
        float(np.square(answer - came).sum() / np.square(naive - came).sum()),
    )


def main() -> None:
    """Print a row a form, size of the signal and model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--forms", nargs="+", choices=list(FORMS), default=list(FORMS))
    parser.add_argument("--shares", nargs="+", type=float, default=list(SHARES))
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    args = parser.parse_args()
    print(
        "| form | R2 planted | model | possible | reached | worst seed | share of the gain | on test bars | seconds |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for form in args.forms:
        for share in args.shares:
            found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in args.models}
            seconds = dict.fromkeys(args.models, 0.0)
            for seed in range(args.seeds):
                for name in args.models:
                    data, source = prepared(form, share, seed)
                    began = time.perf_counter()
                    forecaster = fitted(name, data, form=form, seed=seed)
                    seconds[name] += time.perf_counter() - began
                    found[name].append(ratios(forecaster, data, source, form=form))
            for name, rows in found.items():
                table = np.asarray(rows)
                possible, reached, came = np.sqrt(table.mean(axis=0))
                gained = 1 - table.mean(axis=0)
                part = f"{100 * gained[1] / gained[0]:.0f} %" if share else "-"
                print(
                    f"| {form} | {100 * share:g} % | {name} | {possible:.4f} | {reached:.4f} | "
                    f"{np.sqrt(table[:, 1].max()):.4f} | {part} | {came:.4f} | {seconds[name] / args.seeds:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
