"""A model that MLflow's registry names, as a run directory on this machine.

MLflow is asked in a process of its own: a server does without it. That process is
`python -m forecast.serve.registry NAME URI FOLDER NICE`, and its last line is the directory.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from forecast.errors import UserError

_NAME = re.compile(r"models:/(?P<model>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")
_PATIENCE_S = 300.0
_SECONDS = 20.0  # for each question


def registered(name: str, *, uri: str, folder: Path, nice: bool = False) -> Path:
    """The run directory that `models:/name@alias` or `models:/name/version` stands for, or a copy in a folder.

    Raises:
        UserError: there is no such model, or MLflow does not answer.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"bundle={name}: must be models:/name@alias or models:/name/version")
    words = [sys.executable, "-m", "forecast.serve.registry", name, uri, str(folder), str(int(nice))]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"bundle={name}: tracker_uri={uri} did not answer in {_PATIENCE_S:.0f} s") from error
    if done.returncode == 2:
        raise UserError(done.stderr.strip().splitlines()[-1])
    if done.returncode:
        raise RuntimeError(f"asking MLflow for {name} failed:\n{done.stderr}")
    return Path(done.stdout.strip().splitlines()[-1])


def fetched(name: str, *, uri: str, folder: Path) -> Path:
    """What `registered` does, in the process that may import MLflow."""
    from forecast import bundle
    from forecast.track.connection import (
        call_with_timeout,
        connect,
        error_summary,
        redact_password,
        resolved,
        sqlite_file,
    )

    database = sqlite_file(uri)
    if database is not None and not database.is_file():
        raise UserError(f"tracker_uri={uri}: no such database, so {name} cannot be looked up; name another")
    found = _NAME.fullmatch(name)
    assert found is not None
    model, alias, version = found["model"], found["alias"], found["version"]
    try:
        client = connect(resolved(uri), patience_s=_SECONDS)
        ask = client.get_model_version_by_alias if alias else client.get_model_version
        known = call_with_timeout(_SECONDS, lambda: ask(model, alias or version))
        if known.source and Path(known.source).is_dir() and bundle.is_finished(Path(known.source)):
            return Path(known.source)
        copy = folder / f"{model}-{known.version}"
        if bundle.is_finished(copy):
            return copy
        scratch = copy.with_name(f".{copy.name}.{os.getpid()}.partial")
        scratch.mkdir(parents=True)
        try:
            call_with_timeout(_PATIENCE_S, lambda: client.download_artifacts(known.run_id, "", str(scratch)))
            bundle.verify(scratch)  # whoever serves it verifies it again
            os.replace(scratch, copy)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"bundle={name}: cannot be had from tracker_uri={redact_password(uri)} "
            f"({error_summary(error)}); name a run directory"
        ) from error
    return copy


def main(arguments: list[str]) -> int:
    """The process; returns 0, or 2 for a mistake in what was asked."""
    name, uri, folder, nice = arguments
    os.nice(10 * int(nice))
    try:
        print(fetched(name, uri=uri, folder=Path(folder)))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
