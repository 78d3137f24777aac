"""python -m forecast.predict run=DIRECTORY [key=value ...] [output=FILE]: forecast the next sessions.

run=outputs/DATE/TIME             a finished run, or outputs/champion
data.tickers=[AAPL,IBM]           other tickers than the run's; null = every ticker the source has
source=files source.path=FOLDER   bars from elsewhere than the run's
data.end=2012-12-31               as if that day were today; data.start and data.period likewise
data.health.stale=drop            how the bars are judged
output=FILE.csv                   write the table there, too; .csv or .parquet
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from forecast.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, 2 for a mistake in what was asked, 130 when interrupted."""
    from forecast.predict.asking import asked

    words = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(words):
        print(__doc__)
        return 0
    try:
        wanted = asked(words)
        from forecast.predict.future import future
        from forecast.predict.writing import check_output, text_of, write_table

        if wanted.output is not None:
            check_output(wanted.output)
        found = future(wanted.run, *wanted.overrides)
        if wanted.output is not None:
            write_table(wanted.output, found.table)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    print(text_of(found, output=wanted.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
