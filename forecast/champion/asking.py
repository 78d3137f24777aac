"""Ask MLflow for the finished runs of an experiment; nothing is made or changed there."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from forecast.champion.candidate import Candidate, from_mlflow
from forecast.config.nearest import nearest
from forecast.errors import UserError
from forecast.track.uri import check_uri, masked, resolved, sqlite_file
from forecast.track.waiting import reason, within

if TYPE_CHECKING:
    from mlflow import MlflowClient

PAGE = 500  # runs an answer
PAGE_S = 60.0  # seconds a page may take, once the store has answered at all
_WITHOUT = "python -m forecast.champion export RUN_DIRECTORY needs no MLflow"


def finished_runs(*, uri: str, experiment_name: str, patience_s: float) -> list[Candidate]:
    """The finished runs of an experiment that this package recorded.

    Args:
        uri: of the store; a database that is missing is not made.
        experiment_name: the heading they stand under.
        patience_s: seconds to wait for a store that does not answer.

    Raises:
        UserError: the store cannot be asked, there is no such experiment, or none of its runs is finished.
    """
    check_uri(uri)
    database = sqlite_file(uri)
    if database is not None and not database.is_file():
        raise UserError(f"tracker.uri={uri}: no such database ({database}); {_WITHOUT}")
    began = time.monotonic()
    try:
        from forecast.track.store import connect

        client = connect(resolved(uri), patience_s=patience_s)
        left_s = max(1.0, patience_s - (time.monotonic() - began))
        experiment = within(left_s, lambda: client.get_experiment_by_name(experiment_name))
        if experiment is None or experiment.lifecycle_stage != "active":
            raise _no_experiment(client, uri, experiment_name, deleted=experiment is not None)
        runs = _runs(client, experiment.experiment_id)
    except UserError:
        raise
    except Exception as error:  # MLflow, its drivers and the network raise anything
        raise UserError(
            f"tracker.uri={masked(uri)}: cannot be asked ({reason(error)}); {_WITHOUT}"
        ) from error
    done = [run for run in runs if run.info.status == "FINISHED"]
    found = [made for run in done if (made := from_mlflow(run, experiment_name)) is not None]
    if not found:
        raise UserError(
            f"tracker.experiment_name={experiment_name}: no finished run in it ({_census(runs)}); "
            "python run.py makes one"
        )
    return found


def _runs(client: MlflowClient, experiment_id: str) -> list[Any]:
    runs: list[Any] = []
    token = None
    while True:
        ask = partial(client.search_runs, [experiment_id], max_results=PAGE, page_token=token)
        page: Any = within(PAGE_S, ask)
        runs += page
        token = page.token
        if not token:
            return runs


def _no_experiment(client: MlflowClient, uri: str, name: str, *, deleted: bool) -> UserError:
    if deleted:
        return UserError(f"tracker.experiment_name={name}: was deleted in {masked(uri)}; restore it there")
    known = [str(other.name) for other in within(PAGE_S, lambda: client.search_experiments(max_results=50))]
    near = nearest(name, known)
    hint = f"did you mean {near}? " if near else ""
    shown = ", ".join(sorted(known)) or "none"
    return UserError(
        f"tracker.experiment_name={name}: no such experiment in {masked(uri)}; {hint}known: {shown}"
    )


def _census(runs: list[Any]) -> str:
    """`2 FAILED, 1 RUNNING`."""
    counts = Counter(str(run.info.status) for run in runs)
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "it is empty"
