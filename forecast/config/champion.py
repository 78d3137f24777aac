"""The `champion` node of a config, which a single run checks without importing anything of the champion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Ge, MinLen

from forecast.errors import UserError
from forecast.files import LocalPath


class ChampionConfig:
    """Where the champion is kept, and the rules a run must meet to become it.

    Args:
        directory: a link to the champion; the folders it may point to are beside it, in `<directory>s`.
        require_skill: refuse a run that does not beat the naive forecast on validation and on test.
        require_audit: refuse a run whose directory holds no passed audit.
        registered_model: name in MLflow's model registry; None: nothing is registered.

    Raises:
        UserError: a directory without a name of its own, or a name that MLflow's registry refuses.
    """

    def __init__(
        self,
        *,
        directory: Annotated[str, MinLen(1), LocalPath()] = "outputs/champion",
        require_skill: bool = False,
        require_audit: bool = False,
        registered_model: Annotated[str, MinLen(1)] | None = "forecast",
        keep: Annotated[int, Ge(1)] = 5,
    ) -> None:
        if not Path(directory).name or Path(directory).name == "..":
            raise UserError(
                f"champion.directory={directory}: has no name of its own; for instance outputs/champion"
            )
        if registered_model is not None and set("/:") & set(registered_model):
            raise UserError(
                f"champion.registered_model={registered_model}: MLflow takes no name with / or : in it; "
                "for instance forecast"
            )
        self.directory = directory
        self.require_skill = require_skill
        self.require_audit = require_audit
        self.registered_model = registered_model
        self.keep = keep
