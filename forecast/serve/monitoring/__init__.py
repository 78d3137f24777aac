"""Monitoring of a server: counts, latency, drift, outcomes of forecasts, and the request log."""

from __future__ import annotations

from forecast.serve.monitoring.monitoring import Monitoring
from forecast.serve.monitoring.outcomes import Outcomes
from forecast.serve.monitoring.request_log import RequestLog

__all__ = ["Monitoring", "Outcomes", "RequestLog"]
