"""POST /champion/rollback: back to the champion before."""

import os
from typing import Literal

import anyio
from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from forecast.errors import UserError
from forecast.serve.context import Context
from forecast.serve.problems import problems
from forecast.serve.training.rolling_back import NothingBeforeError, rolled_back


class RolledBack(BaseModel):
    """The bundle now served."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    status: Literal["success"] = "success"
    message: str
    model_version: str = Field(description="As answers name it from now on")
    model_path: str = Field(description="Folder of the champion now served")


def router(context: Context) -> APIRouter:
    """The route of the rollback.

    Args:
        context: of the server; its models follow the champion.
    """
    routes = APIRouter(prefix="/champion", tags=["training"])

    @routes.post("/rollback", responses=problems(409, 500))
    async def rollback() -> RolledBack:
        """Give the title back to the champion before; the present one is kept."""
        link, following = context.server.champion, context.models.following
        if os.path.abspath(link) != os.path.abspath(following):
            raise HTTPException(409, f"nothing to return to: {following} is served, not the champion {link}")
        try:
            message = await anyio.to_thread.run_sync(rolled_back, link)
        except NothingBeforeError as error:
            raise HTTPException(409, f"nothing to return to: {error}") from error
        except UserError as error:
            raise HTTPException(500, f"not rolled back: {error}") from error
        await anyio.to_thread.run_sync(context.models.refresh)
        served = context.models.current
        if served is None or served.directory != link.resolve():
            raise HTTPException(500, f"rolled back ({message}), but that champion cannot be served here")
        return RolledBack(message=message, model_version=served.version, model_path=str(served.directory))

    return routes
