"""Training behind the server: one job at a time, in a process of its own, which no fault of it can outlive.

outputs/serve/training/.lock               held by the process that trains, whichever HTTP process started it
outputs/serve/training/<job>/order.json    what was asked
outputs/serve/training/<job>/state.json    how far it got, and what became of it
outputs/serve/training/<job>/run/          the run directory it made; promoted, it is copied
outputs/serve/training/<job>/log.txt       what it printed
"""

from forecast.serve.training.order import Order
from forecast.serve.training.state import JobState
from forecast.serve.training.training import BusyError, ClosingError, Started, Training

__all__ = ["BusyError", "ClosingError", "JobState", "Order", "Started", "Training"]
