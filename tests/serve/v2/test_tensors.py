"""Tensors of the Open Inference Protocol, read strictly."""

from __future__ import annotations

import numpy as np
import pytest

from forecast.errors import UserError
from forecast.serve.v2.messages import Tensor
from forecast.serve.v2.tensors import numbers, tensor, texts


def given(shape, data, datatype="FP64", name="sequence") -> Tensor:
    return Tensor(name=name, shape=shape, datatype=datatype, data=data)


@pytest.mark.parametrize(
    "data",
    [[1, 2.5, 3, 4, 5, 6], [[1, 2.5], [3, 4], [5, 6]], [[[1, 2.5], [3, 4], [5, 6]]]],
    ids=["flat", "by rows", "nested"],
)
def test_values_come_flat_or_nested(data):
    shape = [1, 3, 2] if np.ndim(data) != 2 else [3, 2]
    found = numbers(given(shape, data))
    assert found.dtype == np.float64
    assert found.tolist() == np.reshape([1, 2.5, 3, 4, 5, 6], shape).tolist()


def test_32_bits_hold_what_32_bits_hold():
    assert numbers(given([1], [0.1], "FP32")).item() == float(np.float32(0.1))
    assert numbers(given([1], [0.1])).item() == 0.1
    assert numbers(given([1], [1e39], "FP32")).item() == np.inf  # refused further on, with what is not finite


def test_an_output_is_flat_with_its_shape():
    made = tensor("forecast", np.array([[1.5, 2.5], [3.5, 4.5]]))
    assert made.model_dump(exclude_none=True) == {
        "name": "forecast",
        "datatype": "FP64",
        "shape": [2, 2],
        "data": [1.5, 2.5, 3.5, 4.5],
    }


@pytest.mark.parametrize(
    ("shape", "data", "datatype", "told"),
    [
        ([2], [1, 2], "INT64", "datatype is INT64; expected FP32 or FP64"),
        ([3], [1, 2], "FP64", r"data holds 2 values; expected 3 for shape \[3\]"),
        ([0, 2], [1], "FP64", "data holds 1 values; expected 0"),
        ([2, 2], [[1, 2], [3]], "FP64", "nested otherwise than its shape"),
        ([2, 2], [[1, 2], 3], "FP64", "nested otherwise than its shape"),
        ([2, 3], [[1, 2], [3, 4], [5, 6]], "FP64", "nested otherwise than its shape"),
        ([2], [[1], [2]], "FP64", "data holds deeper lists; expected numbers"),
        ([2], [1, "2"], "FP64", "data holds text; expected numbers"),
        ([2], [1, True], "FP64", "data holds true or false; expected numbers"),
        ([2], [None, {}], "FP64", "data holds null, objects; expected numbers"),
        ([1], [10**400], "FP64", "a number that is too large"),
        ([10**9, 10**9, 10**9], [1], "FP64", "data holds 1 values"),
    ],
)
def test_what_is_no_tensor_of_numbers(shape, data, datatype, told):
    with pytest.raises(UserError, match=f"^sequence: .*{told}"):
        numbers(given(shape, data, datatype))


def test_texts():
    assert texts(given([2], ["A", "B"], "BYTES", "ticker")) == ["A", "B"]


@pytest.mark.parametrize(
    ("shape", "data", "datatype", "told"),
    [
        ([1], ["A"], "FP64", "datatype is FP64; expected BYTES"),
        ([1, 1], ["A"], "BYTES", r"shape is \[1, 1\]; expected one axis"),
        ([2], ["A", 1], "BYTES", "data holds int; expected text"),
        ([2], ["A"], "BYTES", "data holds 1 values; expected 2"),
    ],
)
def test_what_is_no_tensor_of_texts(shape, data, datatype, told):
    with pytest.raises(UserError, match=f"^ticker: .*{told}"):
        texts(given(shape, data, datatype, "ticker"))
