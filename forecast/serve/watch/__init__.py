"""What a server says of itself: counts, latency, drift, outcomes; and the request log."""

from __future__ import annotations

from forecast.serve.watch.outcomes import Outcomes
from forecast.serve.watch.requestlog import RequestLog
from forecast.serve.watch.watch import Watch

__all__ = ["Outcomes", "RequestLog", "Watch"]
