"""Where forecasts are computed: in the HTTP process, or in worker processes of their own."""

from __future__ import annotations

from forecast.serve.engines.inline import Inline
from forecast.serve.engines.protocol import Engine
from forecast.serve.engines.workers import Workers

__all__ = ["Engine", "Inline", "Workers"]
