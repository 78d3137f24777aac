"""Windows to forecasts: networks and their training, classical forecasters, baselines, forecasts from raw bars."""

from __future__ import annotations

from forecast.lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "average": ["Average"],
        "baselines": ["Baselines"],
        "classical": ["AutoArima", "AutoEts"],
        "estimator": ["Estimator", "Trees"],
        "forecaster": ["Forecast", "Forecaster", "TrainingResult"],
        "garch": ["Garch"],
        "har": ["Har"],
        "inference": ["Predictor"],
        "naive": [
            "Drift",
            "Ewma",
            "HistoricalMean",
            "MovingAverage",
            "Naive",
            "SeasonalMean",
            "TrainingMean",
        ],
        "network": ["AroundReference", "Ensemble", "LayeredNetwork"],
        "regression": ["Ridge"],
        "trainer": ["Trainer"],
    },
)
