"""Which bars each fold trains on, validates and tests."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from forecast.errors import UserError
from forecast.evaluate import WalkForward


def loaded(days, *, embargo=1, seq_len=5, horizon=1):
    return SimpleNamespace(
        panel_=SimpleNamespace(calendar=np.arange(days)),
        bars=SimpleNamespace(label="day"),
        embargo=embargo,
        seq_len=seq_len,
        horizon=horizon,
    )


@given(
    days=st.integers(20, 400),
    folds=st.integers(1, 8),
    step=st.integers(1, 40),
    val_days=st.integers(1, 40) | st.none(),
    embargo=st.integers(1, 6),
    rolling=st.integers(1, 80) | st.none() | st.just("as the first"),
    refit_every=st.integers(1, 4) | st.none(),
)
def test_folds(days, folds, step, val_days, embargo, rolling, refit_every):
    data = loaded(days, embargo=embargo)
    evaluation = WalkForward(
        folds=folds,
        step=step,
        val_days=val_days,
        window="expanding" if rolling is None else "rolling",
        train_days=rolling if isinstance(rolling, int) else None,
        refit_every=refit_every,
    )
    shortest = rolling if isinstance(rolling, int) else embargo + 6
    short = days < folds * step + (val_days or step) + shortest
    if short or (val_days or step) <= embargo or (isinstance(rolling, int) and rolling <= embargo):
        with pytest.raises(UserError, match=r"^[^\n]*$"):
            evaluation.folds(data)
        return
    made = evaluation.folds(data)
    tested = []
    for number, fold in enumerate(made):
        assert fold.number == number
        first = {split: start for split, (start, _) in fold.ranges.items()}
        last = {split: stop for split, (_, stop) in fold.ranges.items()}
        # Every range has days, an embargo lies before validation and before test.
        assert first["train"] <= last["train"]
        assert last["train"] + embargo + 1 == first["val"] <= last["val"]
        assert last["val"] + embargo + 1 == first["test"] <= last["test"]
        assert first["test"] - first["val"] == (val_days or step)
        tested += range(first["test"], last["test"] + 1)
        if rolling is None:
            assert first["train"] == 0
        elif isinstance(rolling, int):
            assert first["val"] - first["train"] == rolling
        else:
            assert first["val"] - first["train"] == made[0].ranges["val"][0]
        assert fold.refit == (number == 0 or bool(refit_every and number % refit_every == 0))
    # The newest days, each once.
    assert tested == list(range(days - folds * step, days))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"folds": 20, "step": 252}, "evaluation.folds=20: tests 5,040 days"),
        ({"val_days": 1, "step": 5}, "evaluation.val_days=1: must be more than data.embargo=1"),
        ({"window": "rolling", "train_days": 5000}, "and at least 5,000 to train on"),
        (
            {"window": "rolling", "train_days": 1, "step": 9},
            "evaluation.train_days=1: must be more than data.embargo",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(keys, message):
    with pytest.raises(UserError) as refused:
        WalkForward(**keys).folds(loaded(3000))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_train_days_need_a_rolling_window():
    with pytest.raises(UserError, match=r"evaluation\.train_days=100: .* evaluation\.window=rolling"):
        WalkForward(train_days=100)
