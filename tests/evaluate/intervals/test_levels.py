"""Which levels there may be."""

import pytest
from composed import compose

from forecast.config import check
from forecast.errors import UserError
from forecast.evaluate.intervals import Adaptive, SplitConformal


@pytest.mark.parametrize("kind", [SplitConformal, Adaptive])
@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([], "must have at least 1 item"),
        ([0.9, 0], "each must be > 0 and < 1"),
        ([1, 0.9], "each must be > 0 and < 1"),
        ([1.5], "each must be > 0 and < 1"),
        ([-0.5], "each must be > 0 and < 1"),
        ([float("nan")], "each must be > 0 and < 1"),
        ([0.9, 0.9], "names a level twice"),
        ([0.9, 0.9 - 1e-12], "names a level twice"),
        ([0.5, 0.9], r"must stand largest first: \[0.9, 0.5\]"),
        ([0.999], "needs at least 999 residuals"),
    ],
    ids=str,
)
def test_refused_in_one_line(kind, levels, message):
    with pytest.raises(UserError, match=message) as refused:
        kind(levels=levels)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "few"),
    [(SplitConformal, {"min_residuals": 8}), (Adaptive, {"window": 8})],
    ids=["split", "adaptive"],
)
def test_nine_residuals_tell_90_percent_and_eight_do_not(kind, few):
    with pytest.raises(UserError, match="needs at least 9 residuals"):
        kind(levels=[0.9], **few)
    kind(levels=[0.9], **dict.fromkeys(few, 9))


@pytest.mark.parametrize("option", ["conformal", "adaptive", "scaled", "filtered"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("intervals.levels=[1]", "intervals.levels[0]=1: must be < 1"),
        ("intervals.levels=[0.9,0]", "intervals.levels[1]=0: must be > 0"),
        ("intervals.levels=[]", "intervals.levels=[]: must have at least 1 item"),
        ("intervals.levels=0.9", "intervals.levels=0.9: must be a list"),
        ("intervals.levls=[0.9]", "intervals.levls: no such key; did you mean intervals.levels?"),
    ],
)
def test_the_config_is_refused_before_anything_is_built(option, value, message):
    with pytest.raises(UserError) as refused:
        check(compose(f"intervals={option}", value))
    assert str(refused.value) == message
