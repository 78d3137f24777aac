"""Which of two figures is the better one."""

import pytest

from forecast.serve.training.comparing import Comparison


def compared(newcomer, champion, mode):
    return Comparison(
        metric="val_x",
        mode=mode,
        newcomer=newcomer,
        champion=champion,
        naive_rmse=1.0,
        rows=1234,
        first_day="2024-01-02",
        last_day="2024-06-28",
    )


@pytest.mark.parametrize(
    ("newcomer", "champion", "mode", "holds"),
    [
        (1.0, 2.0, "min", True),
        (2.0, 1.0, "min", False),
        (1.0, 1.0, "min", True),
        (1.0, 2.0, "max", False),
        (2.0, 1.0, "max", True),
        (1.0, 1.0, "max", True),
        (None, 1.0, "min", False),
        (None, 1.0, "max", False),
        (1.0, None, "min", True),
        (None, None, "max", True),
    ],
)
def test_whoever_does_not_do_worse_holds(newcomer, champion, mode, holds):
    assert compared(newcomer, champion, mode).holds is holds


def test_both_figures_are_said():
    assert compared(1.25, None, "min").text == (
        "val_x 1.25, the champion's undefined, on the same 1,234 validation rows, 2024-01-02 to 2024-06-28"
    )
