"""GET /: what answers here."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from forecast.runs import package_version
from forecast.serve.context import Context

TITLE = "forecast"
DESCRIPTION = 'Forecasts of daily prices by the champion of many runs, judged against "tomorrow = today".'


class About(BaseModel):
    """What answers here."""

    model_config = ConfigDict(extra="forbid", title="Root")

    title: str
    description: str
    version: str = Field(description="Of the server; the model's own is in every answer")


def router(context: Context) -> APIRouter:  # noqa: ARG001  every router is made alike
    """The route without a key and without a model.

    Args:
        context: of the server.
    """
    routes = APIRouter(tags=["about"])
    told = About(title=TITLE, description=DESCRIPTION, version=package_version())

    @routes.get("/")
    async def root() -> About:
        """What answers here."""
        return told

    return routes
