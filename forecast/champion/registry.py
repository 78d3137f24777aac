"""The champion in MLflow: a version with an alias in its model registry, and tags on the runs.

The folder is the champion, whatever MLflow says: a registration that fails is reported, and nothing is undone.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.track.connection import call_with_timeout, error_summary, redact_password, resolved, sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

ALIAS = "champion"
FOLDER_TAG = "forecast.champion"  # of a version: the name of the folder
STATE_TAG = "champion"  # of a run: `current` or `former`
NAIVE_TAG = "champion.beats_naive"  # of both: true or false
LABEL_TAG = "champion.label"  # of both, in words
DECISION_TAG = "champion.decision"  # of both: the line of the log of decisions
_MAX_TAG = 5000  # characters that MLflow takes
_VERSION_TAGS = (
    "metric",
    "metric_value",
    "strategy",
    "tickers",
    "candidates",
    "skill_val",
    "skill_test",
    "identity",
)


@dataclass(frozen=True, kw_only=True)
class Registry:
    """MLflow's model registry."""

    uri: str  # of the store
    patience_s: float  # seconds to wait for a store that does not answer
    name: str | None  # of the registered model; None: only tags are set

    def register(self, folder: Path, metadata: Mapping[str, Any], *, former: Mapping[str, Any] | None) -> str:
        """Register a folder that became the champion.

        Returns:
            what was registered or why not, in one line.
        """
        if self.name is None and metadata["run_id"] is None:
            return "not noted in MLflow: the run is not recorded there, and no model is to be registered"
        try:
            return self._register(folder, metadata, former)
        except Exception as error:  # noqa: BLE001 - MLflow, its drivers and the network raise anything
            what = "not registered" if self.name else "not noted"
            where = redact_password(self.uri)
            return (
                f"{what} in MLflow ({where}: {error_summary(error)}); the folder is the champion all the same"
            )

    def decided(self, decision: Mapping[str, str], run_id: str | None) -> None:
        """Keep a line of the log of decisions: as a tag of the registered model, and of the run it is about.

        What MLflow does not take is noted in our own log: the line in the champion's folder is what counts.
        """
        line = json.dumps(dict(decision))[:_MAX_TAG]
        try:
            client = self._client()
            if run_id is not None:
                self._call(lambda: client.set_tag(run_id, DECISION_TAG, line))
            if (name := self.name) is not None:
                key = f"{DECISION_TAG}.{decision['at']}.{decision['decision'].replace(' ', '-')}"
                self._call(lambda: _ensure_model(client, name))
                self._call(lambda: client.set_registered_model_tag(name, key, line))
        except Exception as error:  # noqa: BLE001 - MLflow, its drivers and the network raise anything
            where = redact_password(self.uri)
            log.warning("a decision was not noted in MLflow (%s: %s)", where, error_summary(error))

    def _client(self) -> MlflowClient:
        from forecast.track.connection import connect

        database = sqlite_file(self.uri)
        if database is not None and not database.is_file():
            raise FileNotFoundError(f"no such database {database}")
        return connect(resolved(self.uri), patience_s=self.patience_s)

    def _register(self, folder: Path, metadata: Mapping[str, Any], former: Mapping[str, Any] | None) -> str:
        client = self._client()
        with warnings.catch_warnings():  # MLflow's remarks on its own next version
            warnings.simplefilter("ignore")
            # Each call has the whole patience.
            self._call(lambda: _tag_run(client, former, state="former"))
            self._call(lambda: _tag_run(client, metadata, state="current"))
            if self.name is None:
                return "noted in MLflow: the run's tags"
            registered = self.name
            version = self._call(lambda: _version(client, registered, folder, metadata))
            self._call(lambda: client.set_registered_model_alias(registered, ALIAS, version))
        return f"registered in MLflow: {registered} version {version}, alias {ALIAS}"

    def _call(self, work: Callable[[], Any]) -> Any:
        return call_with_timeout(self.patience_s, work)


def _tag_run(client: MlflowClient, metadata: Mapping[str, Any] | None, *, state: str) -> None:
    if metadata is None or metadata["run_id"] is None:
        return
    tags = {STATE_TAG: state, NAIVE_TAG: str(metadata["beats_naive"]).lower(), LABEL_TAG: metadata["label"]}
    from mlflow.exceptions import MlflowException

    try:
        for key, value in tags.items():
            client.set_tag(metadata["run_id"], key, value)
    except MlflowException as error:
        if state == "current":
            raise
        log.debug("the former champion's run is not in MLflow any more: %s", error)


def _ensure_model(client: MlflowClient, registered: str) -> None:
    """Register the model where it is not."""
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(registered)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        client.create_registered_model(
            registered, description="Champions of forecast; see the alias champion."
        )


def _version(client: MlflowClient, registered: str, folder: Path, metadata: Mapping[str, Any]) -> str:
    """The version of a champion's folder, made if there is none."""
    _ensure_model(client, registered)
    quoted = registered.replace("'", "''")
    run_id = metadata["run_id"]
    for version in client.search_model_versions(f"name = '{quoted}'", max_results=1000):
        if version.tags.get(FOLDER_TAG) == folder.name and version.run_id == (run_id or ""):
            return str(version.version)
    # A run that MLflow does not know has no artifacts there: the champion's own folder is the source.
    source = client.get_run(run_id).info.artifact_uri if run_id else str(folder.absolute())
    made = client.create_model_version(
        registered,
        source,
        run_id=run_id,
        tags={
            FOLDER_TAG: folder.name,
            NAIVE_TAG: str(metadata["beats_naive"]).lower(),
            LABEL_TAG: metadata["label"],
            **{key: str(metadata[key]) for key in _VERSION_TAGS},
        },
        description=metadata["label"],
    )
    return str(made.version)
