"""GET /config: what the served model was made of, and what made it the champion."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from forecast.serve.context import Context
from forecast.serve.current import served_now
from forecast.serve.problems import problems
from forecast.serve.served import Served

# Of the server's surroundings, not of the model; addresses of trackers and clusters are nobody's business here.
_WITHHELD = ("metadata", "model", "trainer", "data", "tracker", "cluster", "champion", "tuner", "hydra")


class Composed(BaseModel):
    """The config of the served model; its other groups (source, objective, provenance, ...) stand beside these."""

    model_config = ConfigDict(extra="allow")

    metadata: dict[str, Any] = Field(description="How it became the champion, and which model it is")
    model: dict[str, Any]
    training: dict[str, Any] = Field(description="The node `trainer` of the config")
    data: dict[str, Any]


def router(context: Context) -> APIRouter:
    """The route of the config.

    Args:
        context: of the server; its models are asked what is served.
    """
    routes = APIRouter(tags=["about"])

    @routes.get("/config", responses=problems(404))
    async def config() -> Composed:
        """The champion's composed config and metadata."""
        return composed(served_now(context))

    return routes


def composed(served: Served) -> Composed:
    """What a caller is told of a model's config.

    Args:
        served: the model.
    """
    told = served.config
    model = {
        "model_version": served.version,
        "loaded_at": served.loaded_at.isoformat(timespec="seconds"),
        "champion": served.metadata is not None,
    }
    others = {name: value for name, value in told.items() if name not in _WITHHELD}
    return Composed.model_validate(
        {
            "metadata": {**(served.metadata or {}), **model},
            "model": told["model"],
            "training": told["trainer"],
            "data": told["data"],
            "metrics": served.metrics,
            **others,
        }
    )
