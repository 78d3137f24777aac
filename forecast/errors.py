"""The one exception that means "you can mend this": shown in one line, without a traceback, exit code 2."""


class UserError(ValueError):
    """The user's mistake, told in one line: config key, bad value, rule, way out."""
