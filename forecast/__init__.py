"""Forecasting financial time series, honestly: compose, train, judge, record, serve.

>>> import forecast
>>> run = forecast.run("data=range_single", "model.hidden_size=64")     # doctest: +SKIP
>>> forecast.load(run.directory).predict(bars)                           # doctest: +SKIP
>>> forecast.future(run.directory).table                                 # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from forecast.model.inference import Predictor
    from forecast.predict import Future
    from forecast.runs import Run, Runs

__all__ = ["future", "load", "run", "runs"]


def run(*overrides: str, directory: str | Path | None = None) -> Run:
    """Conduct one run, as `python run.py OVERRIDE ...` does.

    Args:
        overrides: `group=option` and `key=value`, as on the command line.
        directory: of the run; by default where the config puts it.

    Raises:
        UserError: what is asked cannot be done; the message says which key to change.
    """
    from pathlib import Path

    from forecast import pipeline
    from forecast.config import compose, run_directory

    config = compose(*overrides)
    pipeline.check(config)
    return pipeline.run(config, run_directory(config) if directory is None else Path(directory))


def runs(folder: str | Path) -> Runs:
    """The finished runs at or below a folder; `forecast.runs("outputs").to_frame()` is one row a run.

    Args:
        folder: that runs were written to, or a sweep.

    Raises:
        UserError: no such folder.
    """
    from forecast.runs import runs as find

    return find(folder)


def load(directory: str | Path) -> Predictor:
    """A predictor from a finished run directory, for tables of raw bars.

    Args:
        directory: as a run printed it.

    Raises:
        UserError: no finished run there, or its files were altered.
    """
    from forecast.bundle.model_files import load as load_bundle

    return load_bundle(directory)


def future(directory: str | Path, *overrides: str) -> Future:
    """Forecast the sessions after the last bar of each ticker, as `python -m forecast.predict` does; see there."""
    from forecast.predict import future as forecast_future

    return forecast_future(directory, *overrides)
