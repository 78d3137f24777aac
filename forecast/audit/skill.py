"""Does the model find skill where there is none, or answer otherwise in other company?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.audit.finding import LeakError
from forecast.audit.markets import Shuffled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forecast.audit.subject import Subject

_SEED = 19_990_101
_EPOCHS = 8
# Of a forecast that knows nothing: more than daily prices ever allow, and more than so many standard errors.
_R2, _DIRECTION, _ERRORS = 0.02, 0.57, 4.0
# A network of one's own may sum in another order; what is told must not differ by more.
_ROUNDING = 1e-6


def batch_invariance(subject: Subject) -> str:
    """A window's forecast is the same alone, among others, in another order, and asked a second time.

    Raises:
        LeakError: it is not.
    """
    import numpy as np

    windows = subject.original.windows_["val"]
    index = windows.spread(256)

    def forecast(chosen: NDArray[np.integer]) -> NDArray[np.float64]:
        return subject.forecaster.forecast(windows.take(chosen)).values

    together = forecast(index)
    ways = {
        "alone": np.concatenate([forecast(index[at : at + 1]) for at in range(min(len(index), 24))]),
        "in reversed order": forecast(index[::-1])[::-1],
        "asked again": forecast(index),
    }
    exact = True
    for way, answers in ways.items():
        expected = together[: len(answers)]
        if not np.allclose(answers, expected, rtol=_ROUNDING, atol=0):
            worst = int(np.abs(answers / expected - 1).max(axis=1).argmax())
            raise LeakError(
                f"the forecast of a window is {answers[worst, 0]:g} {way}, but {expected[worst, 0]:g} among others: "
                "the model looks at the rest of the batch or remembers it"
            )
        exact = exact and bool(np.array_equal(answers, expected))
    return f"{len(index)} windows, {'exactly' if exact else 'up to rounding'}"


def shuffled_control(subject: Subject) -> str:
    """On the same bars in random order, without their drift, skill vanishes.

    Raises:
        LeakError: it does not: the strategy hands the model what is to be forecast.
    """
    from forecast.evaluate.forecasts import pieces
    from forecast.evaluate.metrics import Tally

    data = subject.data(Shuffled(subject.source, seed=_SEED))
    data.divide(subject.evaluation.folds(data)[0].stretches)
    forecaster = subject.fitted(data, epochs=_EPOCHS)
    tally = Tally(horizon=data.horizon)
    for split in ("val", "test"):
        for piece in pieces(forecaster, data, split):
            rows = piece.rows
            tally.add(rows.actual, rows.forecast, rows.naive, data.naive_scale_[rows.series])
    figures = tally.result("x")
    gain, gain_error = figures["x_r2_oos"] or 0.0, figures["x_r2_oos_se"] or 0.0
    share, share_error = figures["x_direction"] or 0.5, figures["x_direction_se"] or 0.0
    told = (
        f"R2 {100 * gain:+.2f} % +/- {100 * gain_error:.2f}, "
        f"direction {100 * share:.1f} % +/- {100 * share_error:.1f}"
    )
    if (gain > _R2 and gain > _ERRORS * gain_error) or share - _ERRORS * share_error > _DIRECTION:
        raise LeakError(f"on shuffled bars, where nothing can be forecast, the model has skill: {told}")
    return told
