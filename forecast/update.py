"""Retrain the champion on newer bars from the command line, as POST /train/update does behind a server.

python -m forecast.update [champion=outputs/champion] [folder=outputs/serve/training] [period=10y]
                          [force_download=true] [allow=[PLUG_IN,...]]

Exit codes: 0 promoted; 3 not promoted, on purpose, the message says why; 1 failed; 2 the user's mistake (no champion,
not a period, another training at work); 130 interrupted. For cron, a systemd timer or a Kubernetes CronJob
(docs/deploy); a server that follows the champion takes the new one by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from forecast.cli import FAILED, FINISHED, USERS_MISTAKE, exit_code
from forecast.errors import UserError

KEPT = 3  # exit code: trained, and the champion stays
_KEYS = {
    "champion": "outputs/champion",
    "folder": "outputs/serve/training",
    "period": "",
    "force_download": "false",
    "allow": "[]",
}
_LOOK_S = 1.0  # between two looks at whether Ctrl-C came


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in ("-h", "--help"):
        return exit_code(lambda: print(__doc__))
    return exit_code(lambda: _update(words), interrupted="interrupted; the champion is as it was")


def _update(words: Sequence[str]) -> int:
    from forecast.data.bars import DateRange
    from forecast.serve.training_jobs import BusyError, TrainingJobs
    from forecast.track.process import user

    values = _values(words)
    champion = Path(values["champion"]).absolute()
    if not (champion / "config.yaml").is_file():
        raise UserError(f"champion={values['champion']}: there is no champion to retrain")
    if values["force_download"] not in ("true", "false"):
        raise UserError(f"force_download={values['force_download']}: must be true or false")
    if values["period"]:
        DateRange(period=values["period"], start=None, end=None)
    jobs = TrainingJobs(
        folder=Path(values["folder"]).absolute(),
        champion=champion,
        allow=[name.strip() for name in values["allow"].strip("[]").split(",") if name.strip()],
        by=f"{user()}: forecast.update",
    )
    try:
        started = jobs.start(
            "update",
            champion.resolve(),
            period=values["period"] or None,
            force_download=values["force_download"] == "true",
        )
    except BusyError as error:
        raise UserError(f"folder={values['folder']}: another training is at work: {error}") from error
    try:
        while not started.ended.wait(_LOOK_S):
            pass
    finally:
        jobs.close()
    state = jobs.look(started.job)
    if state is None or state.error is not None:
        print(state.error if state else f"training {started.job} left no word", file=sys.stderr)
        return USERS_MISTAKE if state is not None and state.status == 400 else FAILED
    print(state.message)
    print(state.model_path)
    return FINISHED if state.state == "promoted" else KEPT


def _values(words: Sequence[str]) -> dict[str, str]:
    values = dict(_KEYS)
    for word in words:
        key, equals, value = word.partition("=")
        if key not in _KEYS or not equals:
            raise UserError(f"{word}: expected key=value; known keys: {', '.join(_KEYS)}")
        values[key] = value
    return values


if __name__ == "__main__":
    sys.exit(main())
