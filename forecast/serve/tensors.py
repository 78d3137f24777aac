"""Tensors of the Open Inference Protocol, read and written: values in the JSON, or bytes behind it.

Source: https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/protocol/extension_binary_data.html
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from fastapi import HTTPException
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from forecast.errors import UserError
from forecast.serve.schemas import validation_line

HEADER, BINARY = "Inference-Header-Content-Length", "application/octet-stream"
_SIZE = "binary_data_size"
_DTYPES: dict[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "FP64": np.dtype("<f8")}
_SLACK = 64  # commas of a request besides those between values
Shape = list[Annotated[int, Field(ge=-1)]]


class Message(BaseModel):
    """A request or response; the protocol lets it have fields that the other side does not know."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False, protected_namespaces=())


class TensorFacts(Message):
    """What a tensor looks like; -1 = any number."""

    name: str
    datatype: str
    shape: Shape


class Tensor(TensorFacts):
    """A tensor with its values, row after row, nested or flat; or of `parameters.binary_data_size` bytes elsewhere."""

    shape: list[Annotated[int, Field(ge=0)]] = Field(max_length=8)
    parameters: dict[str, Any] | None = None
    data: list[Any] | None = None
    _bytes: bytes | None = PrivateAttr(default=None)  # its own, of those behind the JSON


class Output(Message):
    """An output that is wanted; `parameters.binary_data`: as bytes."""

    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(Message):
    """Windows to forecast from; `parameters.binary_data_output`: the outputs as bytes."""

    id: str | None = None
    parameters: dict[str, Any] | None = None
    inputs: list[Tensor] = Field(min_length=1)
    outputs: list[Output] | None = None


class InferResponse(Message):
    """Forecasts."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, str | int | float | bool] = Field(
        description="`target` and `unit` of the forecasts; `level` of the intervals; `warnings` where there are any"
    )
    outputs: list[Tensor]


def read_request(body: bytes, headers: Mapping[str, str], *, most: int) -> InferRequest:
    """A request with its tensors, JSON alone or with bytes behind it.

    Args:
        most: values that are taken, of all tensors together; counted before anything is converted.

    Raises:
        UserError: it is none.
        HTTPException: 413 too many values.
    """
    length = headers.get(HEADER)
    if length is None:
        kind = headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            raise UserError(
                f"Content-Type: {kind[:80]}; send application/json, or {HEADER} with binary tensors"
            )
        content, behind = body.removeprefix(b"\xef\xbb\xbf"), b""
    else:
        if not (length.isascii() and length.isdigit() and int(length) <= len(body)):
            raise UserError(f"{HEADER}: {length[:20]}; expected the bytes of JSON, at most {len(body)} here")
        content, behind = body[: int(length)], body[int(length) :]
    count = content.count(b",")
    if count > most + _SLACK:
        raise HTTPException(413, f"data: about {count:,} values; at most {most:,} are taken at once")
    try:
        request = InferRequest.model_validate_json(content)
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        raise UserError(validation_line(faults)) from error
    _attach(request.inputs, behind)
    return request


def numbers(tensor: Tensor) -> NDArray[np.float64]:
    """The values of a tensor of numbers, in its shape.

    Raises:
        UserError: another type, or not as many as its shape says.
    """
    kind = _DTYPES.get(tensor.datatype)
    if kind is None:
        raise UserError(f"{tensor.name}: datatype is {tensor.datatype}; expected {' or '.join(_DTYPES)}")
    if tensor._bytes is not None:
        expected = kind.itemsize * math.prod(tensor.shape)
        if (size := len(tensor._bytes)) != expected:
            shown = f"expected {expected} for {tensor.datatype} of shape {tensor.shape}"
            raise UserError(f"{tensor.name}: {_SIZE} is {size}; {shown}")
        found: NDArray[np.float64] = np.frombuffer(tensor._bytes, kind).astype(np.float64)
        return found.reshape(tensor.shape)
    flat = _flat(tensor)
    if others := set(map(type, flat)) - {int, float}:
        raise UserError(f"{tensor.name}: data holds {_type_names(others)}; expected numbers")
    try:
        values: NDArray[np.float64] = np.array(flat, dtype=np.float64)
    except OverflowError:
        raise UserError(f"{tensor.name}: data holds a number that is too large") from None
    with np.errstate(over="ignore"):  # what 32 bits do not hold is refused with what else is not finite
        return values.astype(kind).astype(np.float64).reshape(tensor.shape)


def texts(tensor: Tensor) -> list[str]:
    """The values of a tensor of text with one axis.

    Raises:
        UserError: another type or shape, or not as many as its shape says.
    """
    if tensor.datatype != "BYTES":
        raise UserError(f"{tensor.name}: datatype is {tensor.datatype}; expected BYTES")
    if len(tensor.shape) != 1:
        raise UserError(f"{tensor.name}: shape is {tensor.shape}; expected one axis")
    if tensor._bytes is not None:
        return _texts_of(tensor, tensor._bytes)
    flat = _flat(tensor)
    if others := set(map(type, flat)) - {str}:
        raise UserError(f"{tensor.name}: data holds {_type_names(others)}; expected text")
    return flat


def encode(request: InferRequest, response: InferResponse) -> tuple[bytes, int | None]:
    """The body of an answer, and the bytes of its JSON where others stand behind it."""
    whole = bool((request.parameters or {}).get("binary_data_output", False))
    own = {
        output.name: output.parameters["binary_data"]
        for output in request.outputs or ()
        if output.parameters is not None and "binary_data" in output.parameters
    }
    behind = []
    for tensor in response.outputs:
        if own.get(tensor.name, whole):
            behind.append(np.asarray(tensor.data, _DTYPES[tensor.datatype]).tobytes())
            tensor.data, tensor.parameters = None, {_SIZE: len(behind[-1])}
    head = response.model_dump_json(exclude_none=True).encode()
    return head + b"".join(behind), len(head) if behind else None


def _attach(tensors: list[Tensor], behind: bytes) -> None:
    """Give each tensor its own of the bytes behind the JSON, which stand there in the order of the tensors."""
    start = 0
    for tensor in tensors:
        size = (tensor.parameters or {}).get(_SIZE)
        if (size is None) == (tensor.data is None):
            raise UserError(f"{tensor.name}: expected either data or parameters.{_SIZE}")
        if size is None:
            continue
        if type(size) is not int or not 0 <= size <= len(behind) - start:
            raise UserError(
                f"{tensor.name}: {_SIZE} is {str(size)[:20]}; {len(behind) - start} bytes are left"
            )
        tensor._bytes = behind[start : start + size]
        start += size
    if start < len(behind):
        raise UserError(
            f"inputs: {len(behind) - start} bytes behind the JSON belong to no tensor; see {_SIZE}"
        )


def _texts_of(tensor: Tensor, content: bytes) -> list[str]:
    """Texts as the extension has them, each behind its length in four bytes."""
    found, start = [], 0
    while start < len(content):
        size = int.from_bytes(content[start : start + 4], "little")
        start += 4 + size
        if start > len(content):
            raise UserError(f"{tensor.name}: its bytes end within a text")
        try:
            found.append(content[start - size : start].decode())
        except UnicodeDecodeError:
            raise UserError(f"{tensor.name}: text {len(found) + 1} is no UTF-8") from None
    if len(found) != tensor.shape[0]:
        raise UserError(f"{tensor.name}: its bytes hold {len(found)} texts; expected {tensor.shape[0]}")
    return found


def _flat(tensor: Tensor) -> list[Any]:
    """The values row after row, however deep they are nested."""
    flat = tensor.data or []
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


def _type_names(types: set[type]) -> str:
    names = {str: "text", bool: "true or false", list: "deeper lists", dict: "objects", type(None): "null"}
    return ", ".join(sorted(names.get(kind, kind.__name__) for kind in types))
