"""Between the protocol's tensors and arrays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.errors import UserError
from forecast.serve.v2.messages import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FLOATS: dict[str, type[np.floating[Any]]] = {"FP32": np.float32, "FP64": np.float64}


def numbers(tensor: Tensor) -> NDArray[np.float64]:
    """The values of a tensor of numbers, in its shape.

    Raises:
        UserError: another datatype, something else than numbers, or more or fewer than the shape says.
    """
    kind = _FLOATS.get(tensor.datatype)
    if kind is None:
        raise UserError(f"{tensor.name}: datatype is {tensor.datatype}; expected {' or '.join(_FLOATS)}")
    flat = _flat(tensor)
    if strange := set(map(type, flat)) - {int, float}:
        raise UserError(f"{tensor.name}: data holds {_told(strange)}; expected numbers")
    try:
        values = np.array(flat, dtype=np.float64)
    except OverflowError:
        raise UserError(f"{tensor.name}: data holds a number that is too large") from None
    with np.errstate(over="ignore"):  # what 32 bits do not hold is refused with what else is not finite
        return values.astype(kind).astype(np.float64).reshape(tensor.shape)


def texts(tensor: Tensor) -> list[str]:
    """The values of a tensor of text with one axis.

    Raises:
        UserError: another datatype or shape, or something else than text.
    """
    if tensor.datatype != "BYTES":
        raise UserError(f"{tensor.name}: datatype is {tensor.datatype}; expected BYTES")
    if len(tensor.shape) != 1:
        raise UserError(f"{tensor.name}: shape is {tensor.shape}; expected one axis")
    flat = _flat(tensor)
    if strange := set(map(type, flat)) - {str}:
        raise UserError(f"{tensor.name}: data holds {_told(strange)}; expected text")
    return flat


def tensor(name: str, values: NDArray[np.float64]) -> Tensor:
    """An output; its values finite."""
    return Tensor(name=name, shape=list(values.shape), datatype="FP64", data=values.ravel().tolist())


def _flat(tensor: Tensor) -> list[Any]:
    """The values row after row, however deep they came nested."""
    flat = tensor.data
    for size in tensor.shape[1:]:
        if not flat or not isinstance(flat[0], list):
            break
        if any(not isinstance(row, list) or len(row) != size for row in flat):
            raise UserError(f"{tensor.name}: data is nested otherwise than its shape {tensor.shape} says")
        flat = [value for row in flat for value in row]
    expected = math.prod(tensor.shape)
    if len(flat) != expected:
        raise UserError(
            f"{tensor.name}: data holds {len(flat)} values; expected {expected} for shape {tensor.shape}"
        )
    return flat


def _told(types: set[type]) -> str:
    names = {str: "text", bool: "true or false", list: "deeper lists", dict: "objects", type(None): "null"}
    return ", ".join(sorted(names.get(kind, kind.__name__) for kind in types))
