"""What `python serve.py` starts."""

from __future__ import annotations

import gc
import ipaddress
import logging
import os
import signal
import socket
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le, MinLen

from forecast.errors import UserError

if TYPE_CHECKING:
    from forecast.serve.engines import Engine
    from forecast.serve.http import HttpServer
    from forecast.serve.models import Models
    from forecast.serve.watch import Watch

_MODELS = "models:/"


class Server:
    """A run directory over HTTP.

    Args:
        engine: computes forecasts.
        watch: counts requests and notes what was forecast.
        bundle: run directory, link to one, or `models:/name@alias` of MLflow's registry; where the champion's link
            does not exist yet, the server starts without a model and takes the first that appears.
        champion_link: that retraining promotes to and rolls back.
        state: folder for the server's own files.
        tracker_uri: of the MLflow store that `models:/` is looked up in.
        host: address to listen on.
        port: to listen on.
        api_key: wanted in the header X-API-Key; None = nobody needs one.
        admin_key: wanted instead of it for training and the champion; None = the same.
        insecure: listen on other addresses than this machine's own without a key.
        workers: HTTP processes.
        max_in_flight: requests answered at once by each of them; more get 429.
        max_body_bytes: of a request; more get 413.
        deadline_s: seconds for a request; then 504.
        keep_alive_s: seconds that an idle connection is kept.
        drain_s: seconds that requests in flight get when the server is stopped.
        champion_poll_s: seconds between two looks at whether another model is to be served.
        allow: modules or classes of plug-ins that a bundle may name.

    Raises:
        UserError: open to others without a key.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        watch: Watch,
        bundle: Annotated[str, MinLen(1)] = "outputs/champion",
        champion_link: Annotated[str, MinLen(1)] = "outputs/champion",
        state: Annotated[str, MinLen(1)] = "outputs/serve",
        tracker_uri: Annotated[str, MinLen(1)] = "sqlite:///mlflow.db",
        host: Literal["127.0.0.1", "0.0.0.0", "::"] = "127.0.0.1",
        port: Annotated[int, Ge(1024), Le(65535)] = 8000,
        api_key: Annotated[str, MinLen(1)] | None = None,
        admin_key: Annotated[str, MinLen(1)] | None = None,
        insecure: bool = False,
        workers: Annotated[int, Ge(1), Le(64)] = 1,
        max_in_flight: Annotated[int, Ge(1)] = 512,
        max_body_bytes: Annotated[int, Ge(1024)] = 1048576,
        deadline_s: Annotated[float, Gt(0)] = 10.0,
        keep_alive_s: Annotated[int, Ge(1)] = 30,
        drain_s: Annotated[int, Ge(1)] = 30,
        champion_poll_s: Annotated[float, Gt(0)] = 1.0,
        allow: Sequence[str] = (),
    ) -> None:
        self.engine = engine
        self.watch = watch
        self.bundle = bundle
        self.champion = Path(champion_link).absolute()
        self.state = Path(state).absolute()
        self.tracker_uri = tracker_uri
        self.host = host
        self.port = port
        self.api_key = api_key
        self.admin_key = admin_key
        self.insecure = insecure
        self.workers = workers
        self.max_in_flight = max_in_flight
        self.max_body_bytes = max_body_bytes
        self.deadline_s = deadline_s
        self.keep_alive_s = keep_alive_s
        self.drain_s = drain_s
        self.champion_poll_s = champion_poll_s
        self.allow = list(allow)
        if not (self.is_local or api_key or insecure):
            raise UserError(
                f"host={host}: listens to other machines, so a key is wanted: set api_key=... or FORECAST_API_KEY "
                "(or insecure=true)"
            )

    @property
    def is_local(self) -> bool:
        """Whether only this machine is listened to."""
        return ipaddress.ip_address(self.host).is_loopback

    def run(self) -> None:
        """Serve until told to stop.

        Raises:
            UserError: the port is taken, the folder cannot be written to, or what is to be served is refused.
        """
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
        for chatty in ("httpx", "matplotlib", "numexpr", "litserve"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        self._check_port()
        _many_files()
        models, http = self._assembled()
        models.load()
        if models.current is None:
            if Path(self.bundle).absolute() != self.champion:
                raise UserError(f"bundle={self.bundle}: no run directory there")
            print(
                f"no model yet: {self.bundle} is not there; the first champion will be taken", file=sys.stderr
            )
        else:
            from forecast.serve.greeting import greeting

            print("\n".join(greeting(models.current)), file=sys.stderr)
        print(
            f"listening on http://{self._shown_host}:{self.port} (page: /ui, routes: /docs)", file=sys.stderr
        )
        # What is here now is shared by all processes until one writes to it; the collector writes to all it looks at.
        gc.collect()
        gc.freeze()
        # LitServe leaves its processes behind when it is killed by SIGTERM; interrupted, it ends them all.
        signal.signal(signal.SIGTERM, _interrupt)
        http.run(
            host=self.host,
            port=self.port,
            num_api_servers=self.workers,
            log_level="warning",
            generate_client_file=False,
            timeout_keep_alive=self.keep_alive_s,
            server_header=False,
            access_log=False,
            proxy_headers=False,
        )

    def _assembled(self) -> tuple[Models, HttpServer]:
        """Everything that the processes share, before there are any."""
        from forecast.serve.api import ForecastAPI
        from forecast.serve.app import assemble
        from forecast.serve.context import Context
        from forecast.serve.engines import Workers
        from forecast.serve.gate import Gate
        from forecast.serve.http import HttpServer
        from forecast.serve.models import Models
        from forecast.serve.routes.infer import PATH, Inference
        from forecast.serve.training_jobs import TrainingJobs

        models = Models(
            following=self._followed(),
            allow=self.allow,
            poll_s=self.champion_poll_s,
            swapped=self.watch.swapped,
        )

        def begin() -> None:
            if models.current is not None:
                self.watch.swapped(models.current)

        inference = self.engine.processes if isinstance(self.engine, Workers) else 0
        self.watch.attach(folder=self.state, processes=self.workers + inference)
        api = ForecastAPI(models=models, most=self.engine.most, watch=self.watch)
        training = TrainingJobs(folder=self.state / "training", champion=self.champion, allow=self.allow)
        accelerator = self.engine.accelerator if isinstance(self.engine, Workers) else "cpu"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LitServe's remarks on its own next version
            http = HttpServer(
                engine=self.engine,
                api=api,
                inference=inference,
                processes=self.workers,
                deadline_s=self.deadline_s,
                drain_s=self.drain_s,
                accelerator=accelerator,
                begin=begin,
                end=self.watch.close,
                stop=training.close,
            )
        self.engine.attach(api, http)
        self.watch.waiting = lambda: self.engine.waiting
        context = Context(
            server=self, models=models, engine=self.engine, api=api, watch=self.watch, training=training
        )
        assemble(http.app, context)
        http.serving = Gate(
            http.app,
            began=self.watch.began,
            ended=self.watch.request,
            api_key=self.api_key,
            admin_key=self.admin_key,
            max_in_flight=self.max_in_flight,
            max_body=self.max_body_bytes,
            deadline_s=self.deadline_s,
            patient=lambda path: path.startswith(("/train", "/champion/")),
            quick={("POST", PATH): Inference(context)},
        )
        return models, http

    def _followed(self) -> Path:
        if not self.bundle.startswith(_MODELS):
            return Path(self.bundle)
        from forecast.serve.registered import registered

        return registered(self.bundle, uri=self.tracker_uri, folder=self.state / "models")

    def _check_port(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except OSError as error:
                raise UserError(
                    f"port={self.port}: cannot be listened on ({os.strerror(error.errno or 0)}); "
                    f"choose another, such as port={self.port % 65535 + 1}"
                ) from error

    @property
    def _shown_host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def _interrupt(number: int, _: FrameType | None) -> None:
    """Once: whoever asks twice must not interrupt the shutdown itself."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _many_files() -> None:
    """A connection is an open file: allow as many as the system lets this user have."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
