"""The served model: loaded, verified, run and replaced. The only module of the server that touches bundles."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.config.messages import one_line
from forecast.data.layout import bars_before_join, behind, rows
from forecast.data.timing import Bars
from forecast.errors import UserError
from forecast.files import read_json
from forecast.serve.allowlist import check_built, check_plain, check_targets

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from forecast.bundle.reference import Reference
    from forecast.model.inference import Predictor

DELIVERED = ("High", "Low", "Close", "Volume")  # columns of a row of a request
_GOLDEN = 256  # windows that are forecast again before a model is served
_MAX_PATH_BYTES = 4096
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Forecasts:
    """What a model says of windows."""

    values: NDArray[np.float64]  # (batch, horizon) in the target's unit
    # (2, batch, horizon) lower and upper of the first level; None without intervals
    bounds: NDArray[np.float64] | None
    # (batch, lookback, features) what a network saw; None where it was not kept
    inputs: NDArray[np.float32] | None = None


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model that answers."""

    directory: Path  # real folder of the run
    version: str  # names the model in answers: its folder, and a digest of its manifest
    predictor: Predictor  # of the run
    # the run's config.yaml without what it tells Hydra and what made it a champion, plain values
    config: dict[str, Any]
    metadata: dict[str, Any] | None  # how it became the champion; None where it did not
    metrics: dict[str, float | None]  # of the run
    loaded_at: datetime  # UTC
    # what its network was shown in training; None for a run that did not keep it
    reference: Reference | None = None
    # what the run found of intervals that do not hold what they promise
    interval_warnings: tuple[str, ...] = ()

    @cached_property
    def market(self) -> Bars:
        """The bars of the first ticker's market; of a run by an earlier version, as its config says."""
        predictor, data = self.predictor, self.config["data"]
        own = predictor.markets.get(predictor.tickers[0])
        return own or Bars(interval=data.get("interval", "1d"), calendar=data.get("calendar"))

    @property
    def threads(self) -> int:
        """Threads of a forward: as many as in training, and no more than there are processors."""
        wanted = (self.config.get("trainer") or {}).get("threads") or 1
        return max(1, min(int(wanted), os.cpu_count() or 1))

    @property
    def tickers_per_row(self) -> int:
        """The number of tickers side by side in a row of a request."""
        return len(self.predictor.tickers) if self.predictor.scope == "multiple" else 1

    @cached_property
    def window_bars(self) -> int:
        """Bars that the forecaster looks at: the lookback, or what it needs beyond that, such as a long average."""
        return max(self.predictor.lookback, self.predictor.forecaster.history or 0)

    @cached_property
    def rows_needed(self) -> int:
        """Rows a request must have for all those bars, what features and the target look back on included."""
        from forecast.data.features import warm_up

        predictor = self.predictor
        before = max(warm_up(predictor.features) or 0, predictor.target.warm_up) + self.is_mixed
        return self.window_bars + before

    @cached_property
    def row_columns(self) -> tuple[str, ...]:
        """Columns of a ticker in a row of a request, in order: those delivered, Open first where the model needs it."""
        try:
            rows(self.predictor.features, _made_up_bars()[[*DELIVERED]], self.predictor.target)
        except KeyError:
            return ("Open", *DELIVERED)
        except UserError:
            pass  # it says what it lacks when it is asked
        return DELIVERED

    @cached_property
    def row_names(self) -> tuple[str, ...]:
        """Names of all numbers in a row of a request, in order: each ticker's columns, then the covariates."""
        predictor, columns = self.predictor, self.row_columns
        if predictor.scope == "multiple":
            columns = tuple(f"{ticker} {column}" for ticker in predictor.tickers for column in columns)
        return (*columns, *predictor.covariates)

    @cached_property
    def target_columns(self) -> frozenset[str]:
        """Columns of bars without which there are no values of what is forecast."""
        whole, needed = _made_up_bars(), set()
        for column in whole.columns:
            try:
                self.predictor.target.values(whole.drop(columns=column))
            except KeyError:
                needed.add(str(column))
        return frozenset(needed)

    @cached_property
    def is_mixed(self) -> bool:
        """Whether tickers whose daily bars may be known at different times stand side by side."""
        predictor = self.predictor
        if predictor.scope != "multiple":
            return False
        if predictor.join_by_ending:
            return bars_before_join(predictor.tickers) > 0
        return self._markets_differ and predictor.markets[predictor.tickers[0]].interval == "1d"

    @cached_property
    def join_warnings(self) -> tuple[str, ...]:
        """Warnings of what rows cannot show of tickers of several markets side by side."""
        first, *others = self.predictor.tickers
        ask = f"GET /forecast/{first} joins the bars as training did"
        if self.is_mixed:
            return (
                f"rows hold days of {first} alone, bars of {', '.join(others)} between them are missing; {ask}",
            )
        if self.predictor.scope == "multiple" and not self.predictor.join_by_ending and self._markets_differ:
            return (
                f"each row is taken to hold what was known of {', '.join(others)} when its bar of {first} ended; {ask}",
            )
        return ()

    @property
    def _markets_differ(self) -> bool:
        return len({market.key for market in self.predictor.markets.values()}) > 1

    @cached_property
    def as_sent(self) -> bool:
        """Whether rows of a request are what the forecaster looks at, without anything computed from them."""
        features = self.predictor.features
        delivered = getattr(features, "as_delivered", False) and not self.is_mixed
        return bool(delivered) and not behind(features, self.predictor.target)

    def forecast(self, windows: NDArray[np.float32], tickers: Sequence[str]) -> Forecasts:
        """Run the model.

        Args:
            windows: (batch, window_bars, columns) raw panel rows.
        """
        forecast, intervals = self.predictor.forecast_windows(windows, tickers), self.predictor.intervals
        bounds = None
        if intervals is not None:
            naive = self.predictor.naive(windows)  # (B,)
            (bounds, *_) = intervals.bounds(
                list(tickers), forecast.values, naive, forecast.quantiles, windows=windows
            )  # (2, B, h)
        return Forecasts(values=forecast.values, bounds=bounds, inputs=forecast.inputs)

    def out_of_range(
        self, windows: NDArray[np.float32], inputs: NDArray[np.float32] | None = None
    ) -> list[tuple[str, ...]]:
        """Warnings of each window with inputs outside the range of the training windows.

        Args:
            windows: (batch, lookback or more, columns) raw panel rows.
            inputs: what the network saw of them, where that is known.
        """
        if self.reference is None or self.predictor.forecaster.normaliser is None:
            return [()] * len(windows)  # one that looks at raw bars has no range that it was fitted in
        if inputs is None:
            inputs = self.predictor.inputs(windows[:, -self.predictor.lookback :])
        outside = self.reference.outside(inputs)  # (B, F)
        if not outside.any():
            return [()] * len(windows)
        names = np.asarray(self.reference.names)
        return [
            (f"outside the training range: {', '.join(names[own][:8])}",) if own.any() else ()
            for own in outside
        ]

    def banner(self) -> list[str]:
        """Which model, and whether it beats the forecast that needs none."""
        predictor, ratio = self.predictor, self.metrics.get("test_theil_u")
        skill = "undefined" if ratio is None else f"{ratio:.4f}"
        bar = next((market.label for market in predictor.markets.values()), "day")
        tickers = ", ".join(predictor.tickers[:5]) + (", ..." if len(predictor.tickers) > 5 else "")
        beaten = "" if ratio is not None and ratio < 1 else ": it does not beat it"
        return [
            f"serving {self.version}: {predictor.scope} {tickers}, lookback {predictor.lookback}, "
            f"horizon {predictor.horizon}",
            f'RMSE on its test {bar}s {skill} times that of "{predictor.target.naive_name}"{beaten}',
            *(f"warning: {line}" for line in self.interval_warnings),
        ]


def _made_up_bars() -> pd.DataFrame:
    import pandas as pd

    close = 100.0 + np.sin(np.arange(64))
    bars = {"Open": close - 0.5, "High": close + 1, "Low": close - 1, "Close": close, "Volume": close + 1e6}
    return pd.DataFrame(bars, index=pd.date_range("2024-01-01", periods=len(close), freq="B", name="Date"))


def check_bundle(directory: Path, *, allow: Sequence[str] = ()) -> dict[str, Any]:
    """Refuse a run directory that is not whole, was altered, or names what is not allowed; nothing of it is built.

    Returns:
        its config, plain values.

    Raises:
        UserError: in one line.
    """
    from omegaconf import DictConfig, OmegaConf

    from forecast import bundle
    from forecast.config import resolved
    from forecast.config.renamed import rename_targets

    with _one_line(directory):
        folder = directory.resolve()
        bundle.verify(folder)
        saved = OmegaConf.load(folder / "config.yaml")
        if not isinstance(saved, DictConfig):
            raise UserError(f"{directory / 'config.yaml'}: is damaged (holds no mapping)")
        check_plain(OmegaConf.to_container(saved, resolve=False), where=str(directory))
        rename_targets(saved)
        config = resolved(saved)
        check_targets(config, where=str(directory), also=allow)
        return {**config, "provenance": OmegaConf.to_container(saved.get("provenance", {}), resolve=False)}


def load_model(directory: Path, *, allow: Sequence[str] = (), device: str = "cpu") -> LoadedModel:
    """Load a run directory, and verify that it forecasts as recorded, to 1e-6 of the price.

    Raises:
        UserError: not whole, altered, of another version, a target that is not allowed, no such device, or other
            forecasts than the run recorded; in one line.
    """
    import torch

    from forecast import bundle
    from forecast.bundle.reference import read_reference

    config = check_bundle(directory, allow=allow)
    with _one_line(directory):
        folder = directory.resolve()
        built = {"model": config.get("model"), "data": {"features": config.get("data", {}).get("features")}}
        check_built(built, where=str(directory), also=allow)
        manifest = (folder / bundle.MANIFEST).read_bytes()
        model = LoadedModel(
            directory=folder,
            version=f"{folder.name}@{hashlib.sha256(manifest).hexdigest()[:8]}",
            predictor=bundle.load(folder, verify=False),  # check_bundle has hashed its files
            config=config,
            metadata=_json(folder / "metadata.json"),
            metrics=_json(folder / "metrics.json") or {},
            loaded_at=datetime.now(UTC),
            reference=read_reference(folder),
            interval_warnings=_interval_warnings(folder, config),
        )
        torch.set_num_threads(model.threads)
        if device != "cpu":
            try:
                model.predictor.to(device)
            except (RuntimeError, AssertionError) as error:
                raise UserError(f"engine.accelerator={device}: {' '.join(str(error).split())}") from error
        bundle.verify_golden(folder, model.predictor, most=_GOLDEN)
        if device == "cpu":
            _use_onnx_runtime(model)
        return model


def _use_onnx_runtime(model: LoadedModel) -> None:
    """Have ONNX Runtime answer few windows at once, unless it does not answer as the model did when it was made."""
    from forecast import bundle
    from forecast.model.runtime import MOST_WINDOWS, use_onnx_runtime

    layers = use_onnx_runtime(model.predictor.forecaster, threads=model.threads)
    try:
        if layers:
            bundle.verify_golden(model.directory, model.predictor, most=MOST_WINDOWS)
    except UserError as error:
        for layer in layers:
            layer.run = None
        _log.warning("%s is answered by torch, not by ONNX Runtime: %s", model.version, one_line(error))


class ModelStore:
    """Follows a run directory or a link to one. Made before the processes are forked; each loads its own `current`.

    Args:
        source_path: run directory, or a link such as outputs/champion; where nothing is there, `current` is None.
        poll_s: seconds between two looks at the source path.
        on_reload: called in each process with a model that takes the place of another.
    """

    def __init__(
        self,
        *,
        source_path: Path,
        allow: Sequence[str] = (),
        poll_s: float = 1.0,
        on_reload: Callable[[LoadedModel], None] | None = None,
    ) -> None:
        self.current: LoadedModel | None = None
        self.allow = tuple(allow)
        self.device = "cpu"
        self.poll_s = poll_s
        self.on_reload = on_reload
        # One for all processes, without a lock: whoever holds one may be killed.
        self._path: Any = multiprocessing.RawArray("c", _MAX_PATH_BYTES)
        self._seen: object = None
        self._loading = threading.Lock()
        self._stop = threading.Event()
        self.follow(source_path)

    @property
    def source_path(self) -> Path:
        """What all processes follow now."""
        found, again = self._path.value, self._path.value
        while found != again:  # it was being written
            found, again = again, self._path.value
        return Path(found.decode())

    def follow(self, path: Path) -> None:
        """Have every process follow another path.

        Raises:
            UserError: it is too long.
        """
        text = str(path.absolute()).encode()
        if len(text) >= _MAX_PATH_BYTES:
            raise UserError(f"bundle={path}: is too long a path")
        self._path.value = text

    def load(self) -> None:
        """Take what is there, if there is anything.

        Raises:
            UserError: it is no whole and unaltered run directory, or does not answer as it did.
        """
        with self._loading:
            seen = self._stamp()
            if seen is None:
                return
            self.current = load_model(self.source_path, allow=self.allow, device=self.device)
            self._seen = seen

    def refresh(self) -> bool:
        """Load the model at the source path where it is another one; one that is refused goes into the log.

        Returns:
            whether `current` changed.
        """
        with self._loading:
            seen = self._stamp()
            if seen is None or seen == self._seen:
                return False
            try:
                fresh = load_model(self.source_path, allow=self.allow, device=self.device)
            except (UserError, OSError, ValueError, KeyError, RuntimeError) as error:
                if self._stamp() == seen:  # else it is being written, and looked at again
                    self._seen = seen
                    kept = self.current.version if self.current else "none"
                    _log.error("refused a new model, %s stays: %s", kept, one_line(error))
                return False
            self.current, self._seen = fresh, seen
        _log.info("serving %s", fresh.version)
        if self.on_reload is not None:
            self.on_reload(fresh)
        return True

    def poll(self) -> None:
        """Look every `poll_s` seconds, in a thread, until `close`."""
        self._stop.clear()
        threading.Thread(target=self._poll, name="models", daemon=True).start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()

    def _poll(self) -> None:
        while not self._stop.wait(self.poll_s):
            try:
                self.refresh()
            except Exception:  # noqa: BLE001 - the thread must outlive whatever a new bundle makes it run into
                _log.exception("looking for a new model failed")

    def _stamp(self) -> object:
        """What distinguishes one model from the next; None where there is none."""
        folder = Path(os.path.realpath(self.source_path))  # which also takes a link that leads to itself
        try:
            facts = (folder / "manifest.json").stat()
        except OSError:
            return (folder, None) if folder.exists() else None
        return folder, facts.st_mtime_ns, facts.st_ino, facts.st_size

    def __getstate__(self) -> dict[str, Any]:
        # For a process that is spawned: it loads for itself.
        state = dict(vars(self))
        for name in ("_loading", "_stop", "on_reload"):
            del state[name]
        return {**state, "current": None, "_seen": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, on_reload=None, _loading=threading.Lock(), _stop=threading.Event())


@contextmanager
def _one_line(directory: Path) -> Iterator[None]:
    """Turn any error in reading a run directory into one line that names it."""
    try:
        yield
    except UserError as error:
        text = "; ".join(str(error).splitlines())
        raise UserError(text if str(directory) in text else f"{directory}: {text}") from error
    except Exception as error:
        text = one_line(f"{type(error).__name__}: {error}")
        raise UserError(f"{directory}: cannot be served ({text[:500]})") from error


def _interval_warnings(folder: Path, config: dict[str, Any]) -> tuple[str, ...]:
    from forecast.evaluate.findings import coverage_warnings

    record = (_json(folder / "evaluation.json") or {}).get("intervals") or {}
    bar = Bars(interval=config["data"].get("resample") or config["data"].get("interval", "1d")).label
    return tuple(coverage_warnings(record, bar=bar))


def _json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: is damaged (holds no mapping)")
    return content
