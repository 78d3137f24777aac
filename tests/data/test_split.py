"""A calendar is cut by ratio, in order, with the embargo between the stretches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast.data.split import split_calendar
from forecast.errors import UserError


@given(
    count=st.integers(30, 3000),
    train=st.floats(0.2, 0.7),
    val=st.floats(0.1, 0.25),
    embargo=st.integers(0, 2),
    stride=st.integers(1, 5),
)
def test_stretches_are_ordered_disjoint_and_embargoed(count, train, val, embargo, stride):
    calendar = np.arange(0, count * stride, stride, dtype=np.int32)
    position = {int(day): i for i, day in enumerate(calendar)}
    cut = split_calendar(calendar, train_ratio=train, val_ratio=val, embargo=embargo)
    first = {name: position[days[0]] for name, days in cut.items()}
    last = {name: position[days[1]] for name, days in cut.items()}
    assert first["train"] == 0
    assert last["test"] == count - 1
    assert first["val"] - last["train"] == embargo + 1
    assert first["test"] - last["val"] == embargo + 1


def test_ratios_are_exact_in_spite_of_floats():
    cut = split_calendar(np.arange(100, dtype=np.int32), train_ratio=0.7, val_ratio=0.15, embargo=1)
    assert cut == {"train": (0, 68), "val": (70, 83), "test": (85, 99)}


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_too_few_days_are_refused(count):
    with pytest.raises(UserError, match="days leave no"):
        split_calendar(np.arange(count, dtype=np.int32), train_ratio=0.7, val_ratio=0.15, embargo=2)
