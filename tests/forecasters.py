"""Forecasters made from parts, without a config."""

from forecast.evaluate.metrics import Metrics
from forecast.model.neural import NetworkForecaster


def with_network(network, normaliser, *, lookback=8, quantile_levels=None):
    """A network as a forecaster, as if it had been fitted."""
    forecaster = NetworkForecaster(
        make_network=lambda: network, lookback=lookback, quantile_levels=quantile_levels
    )
    forecaster.normaliser = normaliser
    return forecaster


def trained(trainer, make_network, data, *, on_epoch=None):
    """A network trained by a trainer, and how that went."""
    forecaster = NetworkForecaster(
        make_network=make_network,
        lookback=data.seq_len,
        trainer=trainer,
        score=Metrics(),
    )
    return forecaster, forecaster.fit(data, on_epoch=on_epoch)


def whole(data, split):
    """All windows of a split."""
    windows = data.windows_[split]
    return windows.take(windows.spread(len(windows)))
