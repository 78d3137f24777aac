"""What an engine is: something that answers windows, many at once."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from forecast.serve.api import Answer, ForecastAPI
    from forecast.serve.http import HttpServer
    from forecast.serve.windows import Window

# Largest batch that is made of what waits.
MOST = 64


class Engine(Protocol):
    """Answers windows; requests that wait are answered together."""

    most: int
    waiting: int  # requests in the queue or being computed, in this process

    def attach(self, api: ForecastAPI, http: HttpServer) -> None:
        """Called once, before there are any processes."""
        ...

    def running(self) -> AbstractAsyncContextManager[None]:
        """Entered in each HTTP process while it answers."""
        ...

    async def answer(self, window: Window) -> Answer:
        """One window's answer, whenever that may be: who asks sets the deadline."""
        ...
