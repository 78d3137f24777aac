"""Exceptions that are not our fault: each is reported in one line, without a traceback."""


class UserError(ValueError):
    """The user's mistake, in one line: config key, bad value, rule, way out. Exit code 2."""


class SourceError(UserError):
    """A source cannot deliver bars; the message says why, and two attributes what follows from it."""

    # Attributes, not arguments: an exception that takes one text alone passes between processes unharmed.
    unknown: bool = False  # the source has no such ticker
    may_pass: bool = False  # asking again later can help


class IncompatibleError(UserError):
    """What was asked excludes itself by definition, as a strategy for one ticker does two tickers.

    A sweep leaves such a combination out; a single run refuses it.
    """


class StoppedError(Exception):
    """The run was stopped from outside before its end, because others do better."""
