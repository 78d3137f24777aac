"""The champion on Ray Serve, where one machine is not enough.

serve run --app-dir docs/deploy ray_serve:app directory=/shared/outputs/champion replicas=4

The same LitAPI as in serve.py, so the same checks, models and answers; each replica follows the link by itself.
"""

import time
from pathlib import Path

from fastapi import FastAPI
from ray import serve

from forecast.serve.engines import Answer, ForecastAPI, GreedyLoop
from forecast.serve.model_store import ModelStore
from forecast.serve.schemas import Infer, Prediction
from forecast.serve.windows import Window

_MAX_BATCH_SIZE = 64  # requests answered together
http = FastAPI(title="forecast")


@serve.deployment(max_ongoing_requests=2 * _MAX_BATCH_SIZE, ray_actor_options={"num_cpus": 1})
@serve.ingress(http)
class Forecasts:
    """A replica: one process with a model of its own."""

    def __init__(self, directory: str) -> None:
        store = ModelStore(source_path=Path(directory))
        self.api = ForecastAPI(
            store=store, monitoring=None, loop=GreedyLoop(), max_batch_size=_MAX_BATCH_SIZE
        )
        store.load()
        store.poll()

    @http.post("/infer", response_model_exclude_none=True)
    async def infer(self, question: Infer) -> Prediction:
        """Forecast what follows the given rows."""
        began = time.perf_counter()
        answer = await self.together(self.api.decode_request(question))
        response = self.api.encode_response(answer)
        return Prediction(**response, latency_ms=1000 * (time.perf_counter() - began))

    @serve.batch(max_batch_size=_MAX_BATCH_SIZE, batch_wait_timeout_s=0.0)
    async def together(self, windows: list[Window]) -> list[Answer]:
        """Answer what waits in one forward."""
        return self.api.predict(windows)


def app(arguments: dict[str, str]) -> serve.Application:
    """What `serve run` builds.

    Args:
        arguments: `directory` of a run or a link to one, seen from every machine; `replicas`, 2 by default.
    """
    replicas = int(arguments.get("replicas", 2))
    return Forecasts.options(num_replicas=replicas).bind(arguments["directory"])
