"""The days that are forecast: sessions of the exchange after a last bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def days_ahead(
    origins: NDArray[np.datetime64], horizon: int, *, calendar: str | None
) -> NDArray[np.datetime64]:
    """The sessions that follow each day.

    Args:
        origins: (rows,) days.
        horizon: sessions wanted.
        calendar: exchange_calendars' name; None = Monday to Friday.

    Returns:
        (rows, horizon) datetime64[ns].

    Raises:
        UserError: the calendar does not reach that far.
    """
    from forecast.data.calendars import next_sessions

    # Thousands of tickers share a few last days.
    distinct, which = np.unique(origins.astype("datetime64[D]"), return_inverse=True)
    if calendar is None:
        ahead = np.busday_offset(distinct[:, None], np.arange(1, horizon + 1), roll="backward")
    else:
        ahead = np.stack([next_sessions(calendar, str(day), horizon).to_numpy() for day in distinct])
    return np.asarray(ahead.astype("datetime64[ns]")[which])
