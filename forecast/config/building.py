"""From a node of the config to the object it describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from forecast.errors import UserError


def build(node: DictConfig | Mapping[str, Any] | None, **supplied: Any) -> Any:
    """Build what a node with `_target_` describes.

    Args:
        node: lists and mappings in it arrive as plain ones; nested nodes are built first, unless the node
            says `_recursive_: false`. None stays None.
        supplied: arguments known only now; they stand above the node's own.

    Raises:
        UserError: a constructor refused its arguments, or Hydra refused the target.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    if node is None:
        return None
    try:
        # In two steps, so that what is supplied reaches the constructor as it is: instantiate would take a
        # dataclass for a config, and would wrap the constructor's own exception.
        make = instantiate(node, _partial_=True, _convert_="all")
        return make(**supplied)
    except InstantiationException as error:
        cause = error.__cause__
        while isinstance(cause, InstantiationException):
            cause = cause.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if cause is None:
            raise UserError(" ".join(str(error).split())) from error
        raise
