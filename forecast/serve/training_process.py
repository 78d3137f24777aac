"""What runs in a process of its own: a training job, or a rollback. Started by TrainingJobs.

python -m forecast.serve.training_process train FOLDER --champion LINK --nice N --lock DESCRIPTOR [--allow NAME ...]
python -m forecast.serve.training_process rollback LINK
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from forecast.errors import SourceError, UserError
from forecast.files import write_whole
from forecast.lazy import collect_rarely
from forecast.serve.retraining import NotPromotedError, train
from forecast.serve.training_jobs import CANCEL, NOTHING_BEFORE, PID, RUN, JobState, is_champion

log = logging.getLogger("forecast.serve.training")

FINISHED, FAILED, REFUSED = 0, 1, 2
_CANCELLED = "cancelled; the model that was served still is"
_KILL_ME_FIRST = "500"  # of 1000, when memory runs out: the server can do without the job


def main() -> int:
    """Do what the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train")
    train.add_argument("folder", type=Path)
    train.add_argument("--champion", type=Path, required=True)
    train.add_argument("--nice", type=int, required=True)
    train.add_argument("--lock", type=int, required=True)
    train.add_argument("--allow", action="append", default=[])
    commands.add_parser("rollback").add_argument("champion", type=Path)
    arguments = parser.parse_args()
    collect_rarely()
    if arguments.command == "rollback":
        os.nice(10)
        return roll_back(arguments.champion)
    os.set_inheritable(arguments.lock, False)  # what the job starts must not keep the lock
    os.nice(arguments.nice)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_KILL_ME_FIRST, "utf-8")
    return run_job(arguments.folder, champion=arguments.champion, allow=arguments.allow)


def run_job(folder: Path, *, champion: Path, allow: list[str]) -> int:
    """Do a job of `folder`, and write down what became of it whatever happens."""
    state = JobState.load(folder)
    assert state is not None
    try:
        # A shell's background job ignores Ctrl-C and hands that on; both mean the same here.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        write_whole(folder / PID, str(os.getpid()))
        if (folder / CANCEL).exists():  # since before there was a process to signal
            raise KeyboardInterrupt
        train(state, folder, champion=champion, allow=allow)
    except KeyboardInterrupt:
        if is_champion(champion, folder / RUN):
            state.model_path = str(champion.resolve())
            state.end("promoted", "promoted; its cancellation came too late")
        else:
            state.end("cancelled", _CANCELLED, status=500)
    except UserError as error:
        log.error("%s", error)
        state.end("failed", str(error), status=status_of(error))
    except Exception as error:
        log.exception("the job failed")
        text = f"{type(error).__name__}: {error}"
        state.end("failed", f"{text[:500]}; the model that was served still is", status=500)
    if state.state == "failed" and (folder / CANCEL).exists():
        state.end("cancelled", _CANCELLED, status=500)  # an interrupted import may end in any exception
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        state.save(folder)  # without this the job counts as one that died
    except OSError:
        log.exception("what became of the job could not be written down")
    return FAILED if state.state == "failed" else FINISHED


def roll_back(link: Path) -> int:
    """Make the champion before the present one the champion again; prints what was done."""
    from omegaconf import DictConfig, OmegaConf

    from forecast.champion import ChampionConfig, NothingBeforeError, registry_of, rollback

    try:
        path = link / "config.yaml"
        config = OmegaConf.load(path) if path.is_file() else OmegaConf.create({})
        assert isinstance(config, DictConfig)
        registry = registry_of(config) if config.get("champion") is not None else None
        returned = rollback(
            champion=ChampionConfig(directory=str(link)),
            registry=registry,
            progress=log.info,
            by="serve.py, rollback",
        )
    except UserError as error:
        print(error, file=sys.stderr)
        return NOTHING_BEFORE if isinstance(error, NothingBeforeError) else REFUSED
    print(f"back to {returned.folder.name}; {'; '.join(returned.notes)}")
    return FINISHED


def status_of(error: UserError) -> int:
    """HTTP status of a failed job: whose fault it is."""
    if isinstance(error, SourceError):
        return 502
    # Trained, and then something failed; or the disk; else the config.
    return 500 if isinstance(error, NotPromotedError) or isinstance(error.__cause__, OSError) else 400


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    sys.exit(main())
