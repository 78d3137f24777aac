"""A value against an annotation: what is a fault, and how it is described."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Le, Len, Lt, MaxLen, MinLen, MultipleOf
from hypothesis import given, strategies as st

from forecast.config.checking import violations
from forecast.config.messages import MISSING, UNREADABLE, Unset


class Scaler:
    """A class that a node would build."""


NODE = {"_target_": "anything"}


def said(value: Any, annotation: Any) -> list[str]:
    return [str(fault) for fault in violations(value, annotation, "key")]


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (1, int),
        (1, float),
        (1.5, float),
        (True, bool),
        ("x", str),
        (None, int | None),
        (3, Annotated[int, Ge(1)] | None),
        ("last", Literal["last", "none"]),
        (["a", "b"], list[str]),
        ([], Sequence[str]),
        ([1, 2], tuple[int, ...]),
        ([1, "a"], tuple[int, str]),
        ({"a": 1.0}, dict[str, float]),
        ({"a": 1}, Mapping[str, Any]),
        (["LSTM", {"GRU": {"hidden_size": 3}}], list[str | dict[str, Any]]),
        ("folder", Path),
        (NODE, Scaler),
        (NODE, int),
        ([NODE], list[str]),
        ("anything", Any),
        (2, Literal[1, 2]),
        (UNREADABLE, int),
    ],
    ids=str,
)
def test_values_that_keep_the_rule(value, annotation):
    assert said(value, annotation) == []


@pytest.mark.parametrize(
    ("value", "annotation", "fault"),
    [
        ("abc", int, "key=abc: must be an integer"),
        (64.0, int, "key=64.0: must be an integer"),
        (True, int, "key=true: must be an integer"),
        (True, float, "key=true: must be a number"),
        (1, bool, "key=1: must be true or false"),
        (5, str, "key=5: must be text; in quotes it is text: '5'"),
        (None, int, "key=null: must be an integer"),
        (math.nan, float, "key=nan: must be a finite number"),
        (-math.inf, Annotated[float, Gt(0)], "key=-inf: must be a finite number"),
        (0, Annotated[int, Ge(1)], "key=0: must be >= 1"),
        (1, Annotated[float, Gt(0), Lt(1)], "key=1: must be < 1"),
        (2, Annotated[float, Interval(ge=0, le=1)], "key=2: must be <= 1"),
        (3, Annotated[int, Le(2)], "key=3: must be <= 2"),
        ("abc", Annotated[int, Ge(1)] | None, "key=abc: must be an integer or null"),
        (0, Annotated[int, Ge(1)] | None, "key=0: must be >= 1 or null"),
        ([], Annotated[list[str], MinLen(1)], "key=[]: must have at least 1 item"),
        (["a", "b"], Annotated[list[str], MaxLen(1)], 'key=["a", "b"]: must have at most 1 item'),
        ([], Annotated[list[str], Len(2)], "key=[]: must have at least 2 items"),
        ("lst", Literal["last", "none"], "key=lst: must be one of last, none; did you mean last?"),
        (True, Literal[1, 2], "key=true: must be one of 1, 2"),
        ("AAPL", list[str], "key=AAPL: must be a list; in brackets it is a list: [AAPL]"),
        (["A", 1], list[str], "key[1]=1: must be text; in quotes it is text: '1'"),
        (["A", 1], list[str] | None, "key[1]=1: must be text; in quotes it is text: '1'"),
        ([1, "a"], tuple[int, int], "key[1]=a: must be an integer"),
        ({"a": "x"}, dict[str, float], "key.a=x: must be a number"),
        (3, dict[str, float], "key=3: must be a mapping"),
        (1.5, str | int, "key=1.5: must be text or an integer; in quotes it is text: '1.5'"),
        (3, str | list[str] | None, "key=3: must be text or a list or null; in brackets it is a list: [3]"),
        ("minmax", Scaler, "key=minmax: must be a mapping with _target_"),
        ({"floor": 1}, Scaler | None, 'key={"floor": 1}: must be a mapping with _target_ or null'),
        (3, Path, "key=3: must be a path"),
        (MISSING, Annotated[int, Ge(1)], "key: missing; must be an integer"),
        (["a\nb", 1], str, 'key=["a\\nb", 1]: must be text'),
        ("x" * 100, int, f"key={'x' * 57}...: must be an integer"),
    ],
    ids=str,
)
def test_values_that_break_the_rule(value, annotation, fault):
    assert said(value, annotation) == [fault]


@given(value=st.integers(), least=st.integers(), most=st.integers())
def test_an_interval_holds_exactly_what_lies_in_it(value, least, most):
    annotation = Annotated[int, Ge(least), Le(most)]
    assert bool(said(value, annotation)) == (not least <= value <= most)


@given(value=st.floats() | st.integers())
def test_an_open_interval_of_numbers_leaves_its_ends_out(value):
    assert bool(said(value, Annotated[float, Gt(0), Lt(1)])) == (not 0 < value < 1)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(value=values)
def test_every_fault_is_one_line_and_an_optional_takes_what_its_type_takes(value):
    for annotation in (int, float, str, bool, list[int], dict[str, str], Literal["a"], Scaler):
        for line in said(value, annotation):
            assert len(line.splitlines()) == 1
        taken = not said(value, annotation) or value is None
        assert (not said(value, annotation | None)) == taken


def test_a_rule_that_nobody_here_can_check_is_our_fault():
    with pytest.raises(TypeError, match="MultipleOf"):
        said(3, Annotated[int, MultipleOf(2)])


def test_a_value_that_could_not_be_read_is_shown_as_written():
    assert str(Unset("${nope}")) == "${nope}"
