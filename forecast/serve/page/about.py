"""The model that is served, told for a reader: what it is, the verdict on it, what a window for it looks like."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from forecast.errors import UserError
from forecast.serve.page.answers import ModelCard
from forecast.serve.windows import DELIVERED

if TYPE_CHECKING:
    from forecast.serve.model_store import LoadedModel

_TONES: dict[str, Literal["good", "bad"]] = {"beats": "good", "does not beat": "bad"}


def about(served: LoadedModel) -> ModelCard:
    """Read what the run says of itself.

    Args:
        served: the model.

    Raises:
        UserError: its directory is gone.
    """
    from forecast.data.features import warm_up
    from forecast.evaluate.verdict import Verdict

    predictor = served.predictor
    verdict = Verdict(
        metrics=served.metrics,
        tickers=predictor.tickers if predictor.scope == "panel" else predictor.tickers[:1],
        strategy=_strategy(served.config),
        horizon=predictor.horizon,
        evaluation=_evaluation(served),
    )
    before = warm_up(predictor.features)
    return ModelCard(
        model_version=served.version,
        subject=verdict.subject,
        verdict=verdict.sentence,
        tone=next((tone for start, tone in _TONES.items() if verdict.sentence.startswith(start)), "open"),
        findings=verdict.findings,
        warnings=verdict.warnings,
        table=verdict.cells,
        legend=verdict.legend,
        champion=_champion(served.metadata),
        scope=predictor.scope,
        tickers=predictor.tickers,
        columns=_columns(predictor.tickers) if predictor.scope == "multiple" else list(DELIVERED),
        lookback=predictor.lookback,
        enough=None if before is None else predictor.lookback + before,
        horizon=predictor.horizon,
        levels=list(predictor.levels),
        adjust=predictor.adjust,
    )


def _columns(tickers: list[str]) -> list[str]:
    return [f"{ticker} {column}" for ticker in tickers for column in DELIVERED]


def _strategy(config: dict[str, Any]) -> str:
    choices = config.get("provenance", {}).get("choices", {})
    return str(choices.get("data") or config["data"]["scope"])


def _evaluation(served: LoadedModel) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((served.directory / "evaluation.json").read_text("utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{served.version}: its run directory is gone") from error
    return found


def _champion(metadata: dict[str, Any] | None) -> list[str]:
    from forecast.champion.metadata import summary

    return [] if metadata is None else summary(metadata)
