"""LitServe's hooks, the loops of its inference processes, and the two engines that answer POST /infer.

`engine=inline`: the HTTP process decodes a request, computes what waits in one forward (batching.py) and encodes the
answer, with the hooks of ForecastAPI. `engine=workers`: the request goes on to LitServe's own route and loop.
"""

import asyncio
import json
import logging
import multiprocessing
import pickle
import signal
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from fastapi import HTTPException
from litserve import LitAPI
from litserve.loops import LitLoop
from litserve.utils import LitAPIStatus, LoopResponseType
from numpy.typing import NDArray
from starlette.types import ASGIApp, Message

from forecast.errors import UserError
from forecast.serve.batching import MicroBatcher
from forecast.serve.logs import LogFormat, configure
from forecast.serve.model_store import LoadedModel, ModelStore
from forecast.serve.monitoring import Monitoring
from forecast.serve.schemas import Infer, finite, utc_text
from forecast.serve.windows import Window, model_inputs, validate_window

INFER_PATH = "/infer"
_POLL_S = 0.2
_MAX_CALLS = 2  # of inference processes for one request, which may be what kills them
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says to one request."""

    forecast: NDArray[np.float64]  # (horizon,) in the target's unit
    # (2, horizon) lower and upper of the first level; None without intervals
    bounds: NDArray[np.float64] | None
    level: float | None  # of these bounds
    version: str  # of the model
    warnings: tuple[str, ...]  # what the caller must know
    error: str | None = None  # why there is no forecast; None where there is
    target: str = ""  # what is forecast
    unit: str = ""  # of the forecast


class StartFailure:
    """Why a process could not start, shared by all processes: the main one ends the server with it.

    A process that dies sooner than anybody looks is missing in multiprocessing's list of children without a trace.
    """

    def __init__(self) -> None:
        self._text = multiprocessing.RawArray("c", 4096)
        # 0 none, 1 the user's model was refused, 2 a fault of ours.
        self._kind = multiprocessing.RawValue("b", 0)

    def __bool__(self) -> bool:
        return bool(self._kind.value)

    @property
    def is_refusal(self) -> bool:
        """Whether the user's model was refused; otherwise the fault is ours."""
        kind: int = self._kind.value
        return kind == 1

    @property
    def text(self) -> str:
        """The reason, in one line."""
        text = self._text.value.decode(errors="ignore")
        return text if self.is_refusal else f"a process could not start: {text}"

    def note(self, error: Exception) -> None:
        """Say why this process will not start."""
        is_refusal = isinstance(error, UserError)
        text = str(error) if is_refusal else f"{type(error).__name__}: {error}"
        self._text.value = text.encode()[: len(self._text) - 1]
        self._kind.value = 1 if is_refusal else 2


class ForecastAPI(LitAPI):
    """LitServe's four methods: windows in, forecasts out, whichever process they run in."""

    def __init__(
        self,
        *,
        store: ModelStore,
        monitoring: Monitoring | None,
        loop: LitLoop,
        max_batch_size: int,
        start_failure: StartFailure | None = None,
        log_format: LogFormat = "text",
    ) -> None:
        super().__init__(api_path=INFER_PATH, loop=loop, max_batch_size=max_batch_size)
        self.store = store
        self.monitoring = monitoring
        self.start_failure = start_failure
        self.log_format = log_format
        self._threads_of: dict[int, str] = {}  # thread -> version of the model that it was set up for

    def setup(self, device: str) -> None:
        """Load the model in this process, and follow what is served.

        Raises:
            UserError: the model is refused.
        """
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it reaches all processes; the main one stops this one
        if isinstance(self.loop, IdleLoop):
            return
        configure(self.log_format)  # this process is not forked from the one that did
        self.store.device = device
        try:
            self.store.load()
        except UserError as error:
            if self.start_failure is not None:
                self.start_failure.note(error)
            raise
        self.store.poll()

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe takes an annotation as the schema
        """A request as a window of the served model.

        Raises:
            HTTPException: 404 there is no model, 400 the request is none for it.
        """
        model = self.store.current
        if model is None:
            raise HTTPException(404, no_model(self.store))
        is_probe = isinstance(request, dict) and bool(request.pop("probe", False))
        infer = Infer.model_validate(request) if isinstance(request, dict) else request
        try:
            return validate_window(infer.sequence, infer.ticker, model, is_probe=is_probe)
        except UserError as error:
            raise HTTPException(400, str(error)) from error

    def predict(self, windows: Sequence[Window]) -> list[Answer]:
        """Forecast all at once; one that cannot be answered does not hinder its neighbours."""
        model = self.store.current
        assert model is not None  # it was there when these were decoded, and a model is never taken away
        self._set_threads(model)
        answers: dict[int, Answer] = {}
        valid: dict[int, Window] = {}
        for place, window in enumerate(windows):
            try:
                # The model may have changed since.
                fresh = window.version == model.version
                valid[place] = window if fresh else validate_window(window.given, window.ticker, model)
            except UserError as error:
                answers[place] = _error(model, str(error))
        if valid:
            answers |= dict(zip(valid, self._answers(list(valid.values()), model), strict=True))
        return [answers[place] for place in range(len(windows))]

    def encode_response(self, answer):  # type: ignore[no-untyped-def]  # LitServe takes an annotation as the schema
        """An answer as plain values, `latency_ms` still missing.

        Raises:
            HTTPException: 400 there is no forecast.
        """
        if answer.error is not None:
            raise HTTPException(400, answer.error)
        forecast = answer.forecast.tolist()
        response: dict[str, Any] = {
            "prediction": forecast[0],
            "timestamp": utc_text(datetime.now(UTC)),
            "model_version": answer.version,
            "target": answer.target,
            "unit": answer.unit,
        }
        several = len(forecast) > 1
        if several:
            response["forecast"] = forecast
        if answer.bounds is not None:
            for name, side in zip(("lower", "upper"), answer.bounds.tolist(), strict=True):
                response[name] = [finite(bound) for bound in side] if several else finite(side[0])
            response["level"] = answer.level
        if answer.warnings:
            response["warnings"] = list(answer.warnings)
        return response

    def _answers(self, windows: list[Window], model: LoadedModel) -> list[Answer]:
        values, errors, warnings = model_inputs(windows, model)
        found = model.forecast(values, [window.ticker or "" for window in windows])
        finite = np.isfinite(found.values).all(axis=1).reshape(-1)
        if self.monitoring is not None:
            self._record(windows, values[:, -model.predictor.lookback :], found.values, found.bounds, model)
        level = model.predictor.levels[0] if found.bounds is not None else None
        out_of_range = model.out_of_range(values, found.inputs)
        doubts = (*model.join_warnings, *(model.interval_warnings if found.bounds is not None else ()))
        target = model.predictor.target
        answers = []
        for place, window in enumerate(windows):
            if place in errors or not finite[place]:
                reason = errors.get(place, "sequence: no finite forecast comes of these numbers")
                answers.append(_error(model, reason))
                continue
            said = (*window.warnings, *warnings, *out_of_range[place], *doubts)
            own = None if found.bounds is None else found.bounds[:, place]
            answers.append(
                Answer(found.values[place], own, level, model.version, said, None, target.name, target.unit)
            )
        return answers

    def _record(
        self,
        windows: list[Window],
        values: NDArray[np.float32],
        forecast: NDArray[np.float64],
        bounds: NDArray[np.float64] | None,
        model: LoadedModel,
    ) -> None:
        """Hand what was forecast for callers to the monitoring."""
        assert self.monitoring is not None
        real = [place for place, window in enumerate(windows) if not window.is_probe]
        if len(real) < len(windows):
            values, forecast = values[real], forecast[real]
            bounds = None if bounds is None else bounds[:, real]
        if real:
            names = [windows[place].ticker or "" for place in real]
            self.monitoring.forecasts(model, values, names, forecast, bounds)

    def _set_threads(self, model: LoadedModel) -> None:
        """torch counts them for each thread that computes."""
        here = threading.get_ident()
        if self._threads_of.get(here) != model.version:
            import torch

            torch.set_num_threads(model.threads)
            self._threads_of[here] = model.version


def no_model(store: ModelStore) -> str:
    """Why nothing can be answered yet, without the place of the server's files."""
    return f"no model is served: {store.source_path.name} is not there yet"


def _next_request(loop: LitLoop, request_queue: Any, *, timeout: float | None) -> Any:
    """A request that waits, None where none comes in time; the end of this process where the server is gone."""
    try:
        return loop.get_request(request_queue, timeout=timeout)
    except (EOFError, ConnectionError):
        raise SystemExit(1) from None


class IdleLoop(LitLoop):
    """Waits: with `engine=inline` no request reaches LitServe's inference process."""

    def run(self, *arguments: Any) -> None:
        """LitServe calls this for ever, with api, device, worker, queue, transport, status and callbacks."""
        request_queue = arguments[3]
        _next_request(self, request_queue, timeout=None)


class GreedyLoop(LitLoop):
    """Takes the first request that comes and all that wait behind it, and answers them together.

    LitServe's own loops either wait for a batch to fill or poll an empty queue, which keeps a core busy with nothing
    to do, and fail a whole batch for one bad request.
    """

    def run(self, *arguments: Any) -> None:
        """One batch; LitServe calls this for ever, see IdleLoop."""
        lit_api, _, _, request_queue, transport, *_ = arguments
        # Not for ever: the keeper of the queue gives the next request to whoever asked first, dead or alive.
        first = _next_request(self, request_queue, timeout=_POLL_S)
        if first is None or first[0] is None:
            return
        batch = [first]
        while len(batch) < lit_api.max_batch_size:
            item = self.get_request(request_queue, block=False)
            if item is None:
                break
            batch.append(item)
        results: list[Any] = []
        waiting: dict[int, Window] = {}
        for place, (_, _, _, payload) in enumerate(batch):
            results.append(None)
            try:
                waiting[place] = lit_api.decode_request(payload)
            except Exception as error:  # noqa: BLE001 - whoever waits gets it; the worker goes on
                results[place] = error
        try:
            answers = lit_api.predict(list(waiting.values())) if waiting else []
        except Exception as error:  # noqa: BLE001 - whoever waits gets it; the worker goes on
            _log.exception("forecasting %d windows failed", len(waiting))
            answers = [error] * len(waiting)
        for place, answer in zip(waiting, answers, strict=True):
            try:
                results[place] = answer if isinstance(answer, Exception) else lit_api.encode_response(answer)
            except HTTPException as error:
                results[place] = error
        for (consumer, uid, _, _), result in zip(batch, results, strict=True):
            self._reply(transport, consumer, uid, result)

    def _reply(self, transport: Any, consumer: int, uid: str, result: Any) -> None:
        if not isinstance(result, Exception):
            self.put_response(transport, consumer, uid, result, LitAPIStatus.OK, LoopResponseType.REGULAR)
            return
        if not isinstance(result, HTTPException):
            result = HTTPException(500, "the model failed on these windows; the server's log says why")
        plain = pickle.dumps(HTTPException(result.status_code, result.detail))
        self.put_response(transport, consumer, uid, plain, LitAPIStatus.ERROR, LoopResponseType.REGULAR)


class InlineEngine:
    """Computes in the HTTP process, with the hooks of the LitAPI."""

    def __init__(self, api: ForecastAPI) -> None:
        self.api = api
        self._batcher: MicroBatcher[Window, Answer] = MicroBatcher(
            api.predict, max_batch_size=api.max_batch_size
        )

    @property
    def queue_size(self) -> int:
        """Requests that wait or are being computed, in this process."""
        return self._batcher.queue_size

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """A context in which an HTTP process answers."""
        self._batcher.start()
        try:
            yield
        finally:
            await self._batcher.stop()

    async def answer(self, request: Infer, *, probe: bool = False) -> dict[str, Any]:
        """The answer to one request; the caller sets the deadline.

        Raises:
            HTTPException: 400, 404 or 500.
        """
        window: Window = self.api.decode_request(  # type: ignore[no-untyped-call]
            {**request.model_dump(), "probe": True} if probe else request
        )
        answer = await self._batcher.submit(window)
        response: dict[str, Any] = self.api.encode_response(answer)  # type: ignore[no-untyped-call]
        return response


class WorkersEngine:
    """Answers POST /infer by LitServe's own route, whose inference processes run the hooks of the LitAPI.

    What an inference process had taken is lost when it dies, so it is sent again: another one answers.
    """

    def __init__(self) -> None:
        self.queue_size = 0
        self.litserve: ASGIApp | None = None  # LitServe's app, once it is built
        # Of inference processes, counted by the main process.
        self.deaths: Any = multiprocessing.RawValue("L", 0)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        yield

    async def answer(self, request: Infer, *, probe: bool = False) -> dict[str, Any]:
        to_list = getattr(request.sequence, "tolist", None)  # an array, of the Open Inference Protocol
        sequence = request.sequence if to_list is None else to_list()
        body = json.dumps({"sequence": sequence, "ticker": request.ticker, "probe": probe}).encode()
        self.queue_size += 1
        try:
            status, content = await self._answered(body)
        finally:
            self.queue_size -= 1
        if status == 200:
            response: dict[str, Any] = json.loads(content)
            return response
        raise HTTPException(status, json.loads(content)["detail"])

    async def _answered(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of the first answer."""
        deaths, calls = self.deaths.value, {asyncio.ensure_future(self._call(body))}
        while True:
            # LitServe forgets a request only when its answer comes (LitServe#452): those that are given up go on.
            done, _ = await asyncio.wait(calls, timeout=_POLL_S, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return done.pop().result()
            if self.deaths.value != deaths and len(calls) < _MAX_CALLS:
                deaths = self.deaths.value
                calls.add(asyncio.ensure_future(self._call(body)))

    async def _call(self, body: bytes) -> tuple[int, bytes]:
        """POST to LitServe's app."""
        assert self.litserve is not None
        sent: list[Message] = []
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": INFER_PATH,
            "raw_path": INFER_PATH.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))],
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 80),
        }

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        await self.litserve(scope, receive, send)
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


Engine = InlineEngine | WorkersEngine


def _error(model: LoadedModel, reason: str) -> Answer:
    return Answer(np.empty(0), None, None, model.version, (), reason)
