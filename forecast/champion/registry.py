"""MLflow's word on who is champion: a version and an alias in its model registry, tags on the runs.

The folder is the champion, whatever MLflow says: what cannot be noted there is told, and nothing is undone.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from forecast.track.uri import masked, resolved, sqlite_file
from forecast.track.waiting import reason, within

if TYPE_CHECKING:
    from mlflow import MlflowClient

ALIAS = "champion"
FOLDER_TAG = "forecast.champion"  # of a version: the name of the folder
STATE_TAG = "champion"  # of a run: `current` or `former`
NAIVE_TAG = "champion.beats_naive"  # of both: true or false
LABEL_TAG = "champion.label"  # likewise, in words


@dataclass(frozen=True, kw_only=True)
class Registry:
    """Where it is noted.

    Args:
        uri: of the store.
        patience_s: seconds to wait for a store that does not answer.
        name: of the registered model; None: only tags are set.
    """

    uri: str
    patience_s: float
    name: str | None

    def note(self, name: str, told: Mapping[str, Any], *, former: Mapping[str, Any] | None) -> str:
        """Say that a folder got the title.

        Args:
            name: of the folder.
            told: its metadata.
            former: metadata of the one that had the title; None if there was none.

        Returns:
            what was noted or could not be, in one line.
        """
        if self.name is None and told["run_id"] is None:
            return "not noted in MLflow: the run is not recorded there, and no model is to be registered"
        try:
            return self._note(name, told, former)
        except Exception as error:  # noqa: BLE001 - MLflow, its drivers and the network raise anything
            what = "not registered" if self.name else "not noted"
            return f"{what} in MLflow ({masked(self.uri)}: {reason(error)}); the folder is the champion all the same"

    def _note(self, name: str, told: Mapping[str, Any], former: Mapping[str, Any] | None) -> str:
        from forecast.track.store import connect

        database = sqlite_file(self.uri)
        if database is not None and not database.is_file():
            raise FileNotFoundError(f"no such database {database}")
        client = connect(resolved(self.uri), patience_s=self.patience_s)
        with warnings.catch_warnings():  # MLflow's remarks on its own next version
            warnings.simplefilter("ignore")
            # A call has the whole patience: what is set twice is set once.
            self._ask(lambda: _tag_run(client, former, state="former"))
            self._ask(lambda: _tag_run(client, told, state="current"))
            if self.name is None:
                return "noted in MLflow: the run's tags"
            registered = self.name
            version = self._ask(lambda: _version(client, registered, name, told))
            self._ask(lambda: client.set_registered_model_alias(registered, ALIAS, version))
        return f"registered in MLflow: {registered} version {version}, alias {ALIAS}"

    def _ask(self, work: Callable[[], Any]) -> Any:
        return within(self.patience_s, work)


def _tag_run(client: MlflowClient, told: Mapping[str, Any] | None, *, state: str) -> None:
    if told is None or told["run_id"] is None:
        return
    tags = {STATE_TAG: state, NAIVE_TAG: str(told["beats_naive"]).lower(), LABEL_TAG: told["label"]}
    from mlflow.exceptions import MlflowException

    try:
        for key, value in tags.items():
            client.set_tag(told["run_id"], key, value)
    except MlflowException as error:
        if state == "current":
            raise
        logging.getLogger(__name__).debug("the former champion's run is not in MLflow any more: %s", error)


def _version(client: MlflowClient, registered: str, name: str, told: Mapping[str, Any]) -> str:
    """The version of a champion's folder, made if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(registered)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        client.create_registered_model(
            registered, description="Champions of forecast; see the alias champion."
        )
    for version in client.search_model_versions(f"name = '{_quoted(registered)}'", max_results=1000):
        if version.tags.get(FOLDER_TAG) == name and version.run_id == (told["run_id"] or ""):
            return str(version.version)
    run_id = told["run_id"]
    source = client.get_run(run_id).info.artifact_uri if run_id else told["champion_directory"]
    keys = (
        "metric",
        "metric_value",
        "strategy",
        "tickers",
        "candidates",
        "skill_val",
        "skill_test",
        "identity",
    )
    made = client.create_model_version(
        registered,
        source,
        run_id=run_id,
        tags={
            FOLDER_TAG: name,
            NAIVE_TAG: str(told["beats_naive"]).lower(),
            LABEL_TAG: told["label"],
            **{key: str(told[key]) for key in keys},
        },
        description=told["label"],
    )
    return str(made.version)


def _quoted(text: str) -> str:
    return text.replace("'", "''")
