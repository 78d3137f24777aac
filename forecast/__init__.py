"""Forecasting financial time series, honestly: compose, train, evaluate, record, serve.

>>> import forecast
>>> run = forecast.run("data=range_single", "model.hidden_size=64")     # doctest: +SKIP
>>> forecast.load(run.directory).predict(bars)                           # doctest: +SKIP
>>> forecast.future(run.directory).table                                 # doctest: +SKIP
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from forecast.lazy import lazy

if TYPE_CHECKING:
    from forecast.bundle.model_files import load as load
    from forecast.finished_runs import Run, runs as runs
    from forecast.predict import future as future

__getattr__, __dir__, __all__ = lazy(
    __name__, {"bundle.model_files": ["load"], "predict": ["future"], "finished_runs": ["runs"]}
)
__all__ += ["run"]  # and so does `dir`


def run(*overrides: str, directory: str | Path | None = None) -> Run:
    """Do one run, as `python run.py OVERRIDE ...` does.

    Args:
        overrides: `group=option` and `key=value`, as on the command line.
        directory: of the run; by default where the config puts it.

    Raises:
        UserError: what is asked cannot be done; the message says which key to change.
    """
    from forecast import pipeline
    from forecast.config import compose, run_directory

    config = compose(*overrides)
    pipeline.check(config)
    return pipeline.run(config, run_directory(config) if directory is None else Path(directory))
