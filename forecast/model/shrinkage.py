"""A linear map of windows, shrunk as far as the evidence asks: what a network starts from, and the ridge regression.

Daily prices hold little that can be forecast (an R2 of 1 % is much), in windows of a hundred numbers. Least squares
drowns in them; a penalty chosen on held-out bars sees nothing so small; a network that starts from nothing needs more
bars than there are. Three things make small signals visible:

* what is forecast is more likely to follow what moved last than what moved long ago, and its own moves than those of
  others: coefficients are shrunk the more the further back they look (Litterman 1986, the "Minnesota prior");
* calm bars say more than stormy ones: windows weigh as the inverse of the variance of their own moves;
* how much there is to be found is not chosen but averaged over, weighted by the evidence for each amount, "nothing"
  among them (Bayesian model averaging, Hoeting, Madigan, Raftery and Volinsky 1999): where nothing is there, the answer
  is all but nothing.

Sources: Litterman (1986), Forecasting with Bayesian vector autoregressions, Journal of Business and Economic Statistics
4; Hoeting et al. (1999), Bayesian model averaging: a tutorial, Statistical Science 14; Copas (1983), Regression,
prediction and shrinkage, Journal of the Royal Statistical Society B 45. Measured by `python -m benchmarks.power`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forecast.model.forecaster import one_thread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.normaliser import WindowNormaliser
    from forecast.data.windows import WindowBatch

    Values = NDArray[np.float64]

# Shares of the variance that might be forecast, each as likely as the others before a bar was seen.
_SHARES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 0.6, 0.9)
# Odds of "nothing" against all of them together.
_NOTHING = 0.25
# Powers of the lag by which the spread of coefficients falls.
_FALLS = (1, 2, 8)
# Variances of the coefficients of other columns than the one that is forecast, in units of its own.
_OTHERS = (0.1, 0.01, 0.001)
# Correlation with what is forecast from which a column counts as its own, and with its own last value from which it
# is looked at as moves.
_SAME, _PERSISTENT = 0.9, 0.95
# Errors are no normal ones and one year is not like the next: the evidence counts a fifth.
_TEMPER = 0.2
# What a fit gains on the bars it was made of, it loses a part of on others, by the parameters it used (Copas 1983); so
# many times over, because years differ.
_COPAS = 1.5
# Spreads of the target beyond which it is cut off, and the least spread of a window's moves, of the usual one.
_CLIP, _LEAST = 3.0, 0.3
# Columns at most: of longer windows, the newest bars.
_MOST_COLUMNS = 512
# Windows at most, and at once; and multiplications at most.
_MOST_WINDOWS, _CHUNK, _MOST_PRODUCTS = 65_536, 4_096, 2e10
# Fewer would teach nothing, however wide they are.
_FEWEST_WINDOWS = 100
# Variance below which a column is constant.
_CONSTANT = 1e-8


@dataclass(frozen=True)
class LinearMap:
    """Answers, in normalised units, as a linear map of the normalised windows a network sees.

    Args:
        coefficients: (lookback * features, horizon).
        intercept: (horizon,).
        nothing: (horizon,) the probability, after all bars were seen, that nothing can be forecast.
    """

    coefficients: Values
    intercept: Values
    nothing: Values


def fit_linear(data: MarketData, *, max_values: int | None = None) -> LinearMap | None:
    """Fit to the training windows, all series pooled.

    A step's windows overlap, and series move together: windows that end together, or whose forecast bars overlap,
    count as so many as their targets vary like.

    Args:
        data: prepared.
        max_values: numbers to learn from, windows x lookback x features; of more, evenly spaced windows are taken.

    Returns:
        None where levels are forecast (`data.anchor=none`): the level itself would be shrunk; and where a single bar
        has more columns than can be looked at together.
    """
    normaliser = data.normaliser_
    lookback, features = data.seq_len, len(data.layout.relations)
    if features > _MOST_COLUMNS or is_level(normaliser):
        return None
    lags = max(1, min(lookback, _MOST_COLUMNS // features))
    columns = lags * features
    train = data.windows_["train"]
    most = int(min(max(_MOST_PRODUCTS / columns**2, _CHUNK), _MOST_WINDOWS))
    if max_values is not None:
        most = min(most, max(max_values // (lookback * features), _FEWEST_WINDOWS))
    index = train.spread(most)
    moved, own, pull = _roles(data)
    # (columns + 1, columns + 1) and (columns + 1, horizon): sums over weighted windows, the last column is 1.
    gram, along = np.zeros((columns + 1, columns + 1)), np.zeros((columns + 1, data.horizon))
    targets, weights, times = (np.concatenate(parts) for parts in zip(*_targets(data, index), strict=True))
    weights /= np.sqrt(np.mean(weights**2))
    y = targets * weights[:, None]  # (N, h)
    spread = np.sqrt(np.mean(y**2, axis=0))
    y = np.clip(y, -_CLIP * spread, _CLIP * spread)
    with one_thread():
        for start in range(0, len(index), _CHUNK):
            rows = slice(start, start + _CHUNK)
            inputs = _inputs(normaliser, train.take(index[rows]), lags)
            x = np.concatenate([moves_of(inputs, moved), np.ones((len(inputs), 1))], axis=1)
            x *= weights[rows, None]
            gram += x.T @ x
            along += x.T @ y[rows]
        found = _average(
            gram,
            along,
            np.square(y).sum(axis=0),
            count=len(index),
            effective=_effective(y, times, len(index), first=data.target.lead + 1),
            spreads=_prior_spreads(moved, own, pull, lags),
        )
    coefficients, intercept, nothing = found
    whole = np.zeros((lookback, features, data.horizon))
    whole[lookback - lags :] = of_inputs(coefficients, moved, lags)
    if normaliser.target_relation == "probability":
        # Fitted to 0 and 1 less 1/2; the slope of log odds at even chances is 4.
        whole, intercept = 4.0 * whole, 4.0 * intercept
    return LinearMap(whole.reshape(-1, data.horizon), intercept, nothing)


def is_level(normaliser: WindowNormaliser) -> bool:
    """Whether what is forecast is a level, not a move from the last value, though the target's relation is a move."""
    return normaliser.anchor == "none" and normaliser.target_relation in ("ratio", "difference")


def moves_of(inputs: Values, moved: NDArray[np.bool_]) -> Values:
    """Normalised windows as where the last bar stands and what moved from bar to bar before it.

    Args:
        inputs: (batch, lags, features).
        moved: (features,) which are looked at as moves; the others stay as they are.

    Returns:
        (batch, lags * features), of each feature the newest first.
    """
    columns = inputs.transpose(0, 2, 1)[:, :, ::-1].copy()  # (B, F, lags), newest first
    if inputs.shape[1] > 1:
        # newest first: the last bar itself, then each move on the bar before
        columns[:, moved, 1:] = columns[:, moved, :-1] - columns[:, moved, 1:]
    return columns.reshape(len(inputs), -1)


def of_inputs(coefficients: Values, moved: NDArray[np.bool_], lags: int) -> Values:
    """Coefficients of `moves_of` as coefficients of the windows: (lags * features, h) -> (lags, features, h)."""
    of_moves = coefficients.reshape(len(moved), lags, -1)
    found = of_moves.copy()
    if lags > 1:
        found[moved, 1:] = -of_moves[moved, 1:]
        found[moved, :-1] += of_moves[moved, 1:]
    return np.ascontiguousarray(found[:, ::-1].transpose(1, 0, 2))


def _roles(data: MarketData) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Values]:
    """(features,) each: which are looked at as moves, which say what the target itself did last, and how much the level
    of each is likely to matter.

    Prices and amounts, and whatever hardly changes from bar to bar, are looked at as moves. The level of what hardly
    changes pulls the next bar as little as it did the bars before: a random walk has no level to return to.
    """
    train, normaliser = data.windows_["train"], data.normaliser_
    batch = train.take(train.spread(_CHUNK))
    inputs = _inputs(normaliser, batch, min(2, data.seq_len))  # (N, 1 or 2, F)
    free = np.array([relation == "free" for relation in data.layout.relations])
    # Covariates were named because their level matters, and as much as the target's own moves.
    beside = np.isin(np.arange(len(free)), list(data.layout.covariates))
    own = np.arange(len(free)) == normaliser.target
    if data.seq_len < 2:
        return ~free, own | (beside & own.any()), np.ones(len(free))
    moves = inputs[:, 1] - inputs[:, 0]
    level, change = inputs[:, 1].var(axis=0), moves.var(axis=0)
    # The variance of a move is twice that of the level times (1 - correlation with the value before).
    stays = change / np.maximum(level, _CONSTANT)
    moved = ~free | ((stays < 2.0 * (1.0 - _PERSISTENT)) & ~beside)
    if not own.any():
        before, last = batch.history[:, -2], batch.history[:, -1]
        relation = normaliser.target_relation
        move = last / before - 1.0 if relation == "ratio" else last - before
        for feature in range(len(free)):
            shown = moves[:, feature] if moved[feature] else inputs[:, 1, feature]
            what = move if relation == "ratio" or (moved[feature] and relation == "difference") else last
            own[feature] = _alike(shown, what)
    return moved, own | (beside & own.any()), np.where(free & moved, stays, 1.0)


def _alike(one: Values, other: Values) -> bool:
    """Whether two columns are the same but for shift and scale."""
    together = abs(float(np.mean((one - one.mean()) * (other - other.mean()))))
    return together > _SAME * float(one.std() * other.std()) > 0.0


def _prior_spreads(moved: NDArray[np.bool_], own: NDArray[np.bool_], pull: Values, lags: int) -> list[Values]:
    """For each prior, relative standard deviations of the coefficients of `moves_of` and of the intercept."""
    lag = np.arange(lags, dtype=np.float64)
    priors = []
    for fall in _FALLS:
        # A move's lag counts from 1; the last bar by itself stands beside the first move.
        by_lag = np.where(moved[:, None], np.maximum(lag, 1.0), lag + 1.0) ** -float(fall)  # (F, lags)
        by_lag[:, 0] *= np.sqrt(pull)
        for others in _OTHERS if own.any() and not own.all() else (1.0,):
            spread = by_lag * np.where(own, 1.0, np.sqrt(others))[:, None]
            priors.append(np.append(spread.ravel(), 1.0))
    return priors


def _average(
    gram: Values,
    along: Values,
    squares: Values,
    *,
    count: int,
    effective: Values,
    spreads: Sequence[Values],
) -> tuple[Values, Values, Values]:
    """Coefficients averaged over how much might be there, weighted by the evidence.

    Args:
        gram: (columns + 1, columns + 1) sums of products of weighted columns, the last of which is 1.
        along: (columns + 1, horizon) sums of products with the targets.
        squares: (horizon,) sums of squared targets.
        count: windows.
        effective: (horizon,) as how many independent ones they count.
        spreads: relative standard deviations of the coefficients, one prior each.

    Returns:
        (columns, horizon) coefficients, (horizon,) intercepts, (horizon,) probability of nothing.
    """
    total = gram[-1, -1]
    mean = gram[-1, :-1] / total
    centred = gram.copy()
    centred[:-1, :-1] -= np.outer(mean, gram[-1, :-1])
    centred[-1, :-1] = centred[:-1, -1] = 0.0
    along = along.copy()
    along[:-1] -= np.outer(mean, along[-1])
    size = np.sqrt(np.maximum(np.diag(centred) / count, 0.0))
    varies = size**2 > _CONSTANT
    size[~varies] = 1.0
    horizon = along.shape[1]
    coefficients, nothing = np.zeros((len(size), horizon)), np.ones(horizon)
    factors = []
    for spread in spreads:
        shares = np.where(varies, spread, 0.0) ** 2
        scale = np.sqrt(shares / shares.sum()) / size  # the forecast's variance is 1 unit
        values, vectors = np.linalg.eigh(scale[:, None] * centred * scale)
        factors.append((scale, np.maximum(values, 0.0), vectors))
    for step in range(horizon):
        if squares[step] <= 0.0:
            continue
        worth = effective[step] / count
        logs, answers, parameters = [np.log(_NOTHING)], [np.zeros(len(size))], [0.0]
        for scale, values, vectors in factors:
            known = vectors.T @ (scale * along[:, step]) * worth
            for share in _SHARES:
                # In units of the noise: the variance of what is forecast to that of what is not.
                ratio = share / (1.0 - share)
                pull = ratio / (1.0 + ratio * worth * values)
                left = 1.0 - (pull * known**2).sum() / (squares[step] * worth)
                evidence = -0.5 * np.log1p(ratio * worth * values).sum()
                evidence -= 0.5 * effective[step] * np.log(max(left, 1e-300))
                logs.append(_TEMPER * evidence - np.log(len(factors) * len(_SHARES)))
                answers.append(scale * (vectors @ (pull * known)))
                parameters.append(float((pull * worth * values).sum()))
        odds = np.exp(np.array(logs) - max(logs))
        odds /= odds.sum()
        answer = odds @ np.array(answers)
        explained = (2.0 * along[:, step] - centred @ answer) @ answer / squares[step]
        gained = effective[step] * explained
        used = float(odds @ np.array(parameters))
        coefficients[:, step] = answer * (gained / (gained + _COPAS * used) if gained > 0.0 else 0.0)
        nothing[step] = odds[0]
    intercepts = coefficients[-1] - mean @ coefficients[:-1]
    return coefficients[:-1], intercepts, nothing


def _effective(y: Values, times: NDArray[np.int32], count: int, *, first: int) -> Values:
    """(horizon,) as how many independent windows so many count, given how those of one time vary together and that
    the bars a step reaches are shared with the windows before."""
    _, when = np.unique(times, return_inverse=True)
    found = np.empty(y.shape[1])
    for step in range(y.shape[1]):
        own = float(np.square(y[:, step]).sum())
        together = float(np.square(np.bincount(when, weights=y[:, step])).sum())
        found[step] = count / (max(together / own, 1.0) if own else 1.0) / (first + step)
    return np.maximum(found, 1.0)


def _targets(
    data: MarketData, index: NDArray[np.integer]
) -> Iterator[tuple[Values, Values, NDArray[np.int32]]]:
    """Targets as the network is to answer them (N, h), weights (N,) and times (N,) of windows, chunk by chunk."""
    import torch

    train, normaliser = data.windows_["train"], data.normaliser_
    probability = normaliser.target_relation == "probability"
    for start in range(0, len(index), _CHUNK):
        batch = train.take(index[start : start + _CHUNK])
        windows, future = torch.from_numpy(batch.windows), torch.from_numpy(batch.future)
        targets = normaliser.targets(windows, future).numpy().astype(np.float64)
        yield targets - 0.5 if probability else targets, _weights(normaliser, batch), batch.origin


def _weights(normaliser: WindowNormaliser, batch: WindowBatch) -> Values:
    """Inverse spread of the moves that each window saw, which is how far the next one is likely to go."""
    history = batch.history  # (N, L)
    relation = normaliser.target_relation
    if normaliser.instance_norm or relation == "probability" or history.shape[1] < 2:
        return np.ones(len(history))
    moves = history if relation == "level" else np.diff(history, axis=1)
    if relation == "ratio":
        moves = moves / history[:, :-1]
    spread = np.sqrt(np.mean(moves**2, axis=1))
    usual = float(np.median(spread))
    return np.ones(len(history)) if usual == 0.0 else usual / np.maximum(spread, _LEAST * usual)


def _inputs(normaliser: WindowNormaliser, batch: WindowBatch, lags: int) -> Values:
    """The newest bars of normalised windows: (N, lags, F)."""
    import torch

    return normaliser.inputs(torch.from_numpy(batch.windows))[:, -lags:].numpy().astype(np.float64)
