"""Whether a difference is more than chance: Diebold-Mariano, Clark-West, Pesaran-Timmermann, Wilson, Holm."""

from forecast.evaluate.significance.significance import Significance, after_trials, holm

__all__ = ["Significance", "after_trials", "holm"]
