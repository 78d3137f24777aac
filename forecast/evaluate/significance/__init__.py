"""Whether a difference is more than chance: Diebold-Mariano, Pesaran-Timmermann, Wilson, Holm."""

from forecast.evaluate.significance.judging import Significance

__all__ = ["Significance"]
