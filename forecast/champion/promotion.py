"""Make a run directory the champion, or return to the one before: verified first, then exchanged in one step.

python -m forecast.champion.promotion DIR: the replay check, in a process of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from forecast import bundle
from forecast.champion.candidate import Candidate, from_directory
from forecast.champion.metadata import (
    Choice,
    beats_naive,
    champion_metadata,
    figure_text,
    label,
    read_metadata,
    summary,
)
from forecast.champion.ranking import Ranking
from forecast.champion.registry import Registry
from forecast.champion.store import PARTIAL, ChampionStore, Progress
from forecast.config import with_metadata
from forecast.config.champion import ChampionConfig
from forecast.errors import UserError
from forecast.files import read_json, shown_path, write_json, write_whole
from forecast.finished_runs import draw_plots, read_config
from forecast.lazy import collect_rarely

REPLAY_TIMEOUT_S = 900.0  # some 4,096 windows take seconds
# Files beside those of the manifest that are copied with a run: its log, and an audit made later.
_UNSEALED = ("run.log", "audit.json")


class ChampionChangedError(UserError):
    """Another champion than the one that was to be replaced is current by now."""


class NothingBeforeError(UserError):
    """There is no champion to return to."""


def no_progress(_: str) -> None:
    """Report nothing."""


@dataclass(frozen=True, kw_only=True)
class PromotionResult:
    """What came of a promotion or rollback."""

    directory: Path  # the link to the champion
    folder: Path  # it points to
    metadata: dict[str, Any]  # of the champion
    changed: bool  # whether it is another one than before
    notes: list[str] = field(default_factory=list)  # further remarks, a line each
    ranking: Ranking | None = None  # it was picked from; None where it was named by hand

    @property
    def text(self) -> str:
        """All of it for a terminal."""
        return "\n".join([*summary(self.metadata), *self.notes])


def current(champion: ChampionConfig) -> PromotionResult | None:
    """The champion, None if there is none.

    Raises:
        UserError: a file of it is missing or was altered.
    """
    store = ChampionStore(Path(champion.directory))
    folder = store.current
    if folder is None:
        return None
    bundle.verify(folder)
    return PromotionResult(directory=store.link, folder=folder, metadata=read_metadata(folder), changed=False)


def promote(
    directory: str | Path,
    *,
    champion: ChampionConfig,
    registry: Registry | None = None,
    progress: Progress = no_progress,
    replacing: Path | Literal["any"] = "any",
    by: str = "",
    why: str = "",
) -> PromotionResult:
    """Make a given run directory the champion.

    It is copied, the copy is checked in a process of its own, and the link is replaced in one step; whatever
    fails on the way, the old champion stays. A kept earlier champion becomes current again without a copy.

    Args:
        replacing: folder of the only champion that may be replaced, compared under the lock.

    Raises:
        ChampionChangedError: another one is the champion by now.
        UserError: not a complete run, not what it recorded, against a rule, or the disk does not take it.
    """
    source = Path(directory)
    manifest = bundle.verify(source)  # before a folder is made
    run = from_directory(source)
    objective: dict[str, Any] = {name: run.params[f"objective.{name}"] for name in ("metric", "mode")}
    choice = Choice(candidates=1, **objective)
    store = ChampionStore(Path(champion.directory), by=by, why=why)
    with store.lock(progress):
        now = store.current
        if replacing != "any" and (now is None or now.resolve() != replacing.resolve()):
            raise ChampionChangedError(
                f"{replacing.name} was the champion when this began, "
                f"and {'nothing' if now is None else now.name} is by now"
            )
        return promote_verified(source, manifest, run, choice, champion, store, registry)


def promote_verified(
    source: Path,
    manifest: Mapping[str, Any],
    run: Candidate,
    choice: Choice,
    champion: ChampionConfig,
    store: ChampionStore,
    registry: Registry | None,
) -> PromotionResult:
    """Promote a verified run; called with the store locked.

    Raises:
        UserError: see promote.
    """
    try:
        check_rules(source, run, champion)
    except UserError as error:
        if store.current is not None:  # else nothing was decided on
            store.why = str(error)
            refuse(store, registry, run, source)
        raise
    among = f", the best of {choice.candidates:,} runs" if choice.candidates > 1 else ""
    store.why = store.why or figure_text(choice.metric, run.metrics.get(choice.metric)) + among
    before = store.current
    former = _metadata_or_none(before)
    if before is not None and _is_champion(run, manifest, before):
        return PromotionResult(
            directory=store.link,
            folder=before,
            metadata=read_metadata(before),
            changed=False,
            notes=[f"nothing to do: it is the champion already ({before})"],
        )
    kept = next((folder for folder in store.folders if folder.resolve() == source.resolve()), None)
    with store.writing():
        if kept is not None:
            count = replay_check(kept, named=str(source))
            folder = store.set_current(kept.name, "promoted")
        else:
            count, folder = _copy_and_commit(source, manifest, run, choice, store)
        removed = store.prune(champion.keep)
    notes = [_replayed(count)]
    if before is not None:
        notes.append(f"before it: {before}; rollback returns to it")
    if removed:
        notes.append(f"removed, more than champion.keep={champion.keep}: {', '.join(removed)}")
    return _changed(store, folder, notes, registry, former=former)


def _copy_and_commit(
    source: Path, manifest: Mapping[str, Any], run: Candidate, choice: Choice, store: ChampionStore
) -> tuple[int, Path]:
    """Make a checked copy of a run the current champion: how many windows it reproduced, and its folder."""
    number = store.next_number()
    name = f"{number}-{run.run_id or run.identity}"
    audit = "passed" if passed_audit(source) else "not run"
    metadata = champion_metadata(run, choice, number=number, audit=audit)
    staged = store.folder / f".{name}{PARTIAL}"
    try:
        return stage_copy(source, staged, manifest, metadata), store.commit(staged, name)
    finally:
        store.discard(staged)


def _changed(
    store: ChampionStore,
    folder: Path,
    notes: list[str],
    registry: Registry | None,
    *,
    former: dict[str, Any] | None,
) -> PromotionResult:
    """The result of a change of champion, after it was recorded in MLflow."""
    metadata = read_metadata(folder)
    if registry is not None:
        notes.append(registry.register(folder, metadata, former=former))
        _noted(store, registry, metadata["run_id"])
    return PromotionResult(directory=store.link, folder=folder, metadata=metadata, changed=True, notes=notes)


def rollback(
    *,
    champion: ChampionConfig,
    registry: Registry | None = None,
    progress: Progress = no_progress,
    by: str = "",
) -> PromotionResult:
    """Return to the champion before; the present one is kept.

    Raises:
        NothingBeforeError: there is none before.
        UserError: it was altered, or the disk does not take it.
    """
    store = ChampionStore(Path(champion.directory), by=by, why="rolled back by hand")
    try:
        present = store.current
    except UserError as error:  # put there by hand: no champion before it is known
        raise NothingBeforeError(str(error)) from error
    if present is None:
        raise NothingBeforeError(f"champion.directory={store.link}: there is no champion to roll back")
    with store.lock(progress):
        present = store.current
        assert present is not None
        earlier = [name for name in store.lineage if name != present.name]
        if not earlier:
            raise NothingBeforeError(
                f"champion.directory={store.link}: no champion before {present.name} is kept; "
                "python -m forecast.champion list shows all, export DIR promotes any of them"
            )
        before = store.folder / earlier[-1]
        bundle.verify(before)
        count = replay_check(before, named=str(before))
        former, metadata = _metadata_or_none(present), read_metadata(before)
        figures = [
            f"{one.name} {figure_text(str(facts.get('metric')), facts.get('metric_value'))}"
            for one, facts in ((present, former or {}), (before, metadata))
        ]
        store.why = f"rolled back by hand, from {' to '.join(figures)}"
        with store.writing():
            folder = store.set_current(before.name, "rolled back")
        notes = [f"rolled back from {present}, which is kept", _replayed(count)]
        return _changed(store, folder, notes, registry, former=former)


def refuse(store: ChampionStore, registry: Registry | None, run: Candidate, source: Path) -> None:
    """Log that a run was not promoted, here and in MLflow."""
    name = shown_path(source.absolute())
    store.why = store.why.replace(str(source), name)
    store.log_decision("refused", name)
    _noted(store, registry, run.run_id)


def _noted(store: ChampionStore, registry: Registry | None, run_id: str | None) -> None:
    """Have MLflow keep the last line of the log of decisions."""
    if registry is not None and (decisions := store.decisions()):
        registry.decided(decisions[-1], run_id)


def check_rules(source: Path, run: Candidate, champion: ChampionConfig) -> None:
    """Refuse a run that the rules in the config exclude.

    Raises:
        UserError: no skill, no audit.
    """
    if champion.require_skill and not beats_naive(run.metrics):
        raise UserError(
            f"champion.require_skill=true: {source} {label(run.metrics, run.evaluation)}; it is not promoted; "
            "champion.require_skill=false promotes it with that label"
        )
    if champion.require_audit and not passed_audit(source):
        raise UserError(
            f"champion.require_audit=true: {source} holds no passed audit (audit.json); it is not promoted; "
            "python -m forecast.audit makes one"
        )


def stage_copy(source: Path, target: Path, manifest: Mapping[str, Any], metadata: Mapping[str, Any]) -> int:
    """Copy a verified run, write the champion's metadata into the copy, and check that it forecasts as recorded.

    Args:
        target: a folder that does not exist; on any failure the caller removes it.

    Returns:
        how many recorded test windows the copy reproduced.

    Raises:
        UserError: a file is missing or altered, or a forecast differs.
        OSError: the disk does not take it.
    """
    for name in [*manifest["files"], bundle.MANIFEST, *_UNSEALED]:
        if name in _UNSEALED and not (source / name).is_file():
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
    try:
        # What was copied is what was verified, though the disk failed or somebody wrote meanwhile.
        bundle.verify(target)
    except UserError as error:
        raise UserError(str(error).replace(str(target), str(source))) from error
    config = target / "config.yaml"
    write_whole(config, with_metadata(config.read_text("utf-8"), metadata))
    write_json(target / "metadata.json", metadata)
    # Jobs of a sweep draw none.
    if not (target / "plots").is_dir() and read_config(target).get("plots", True):
        draw_plots(target)
    verified = {name: digest for name, digest in manifest["files"].items() if name != config.name}
    bundle.finish(target, version=manifest["version"], verified=verified)
    _sync_to_disk(target)
    return replay_check(target, named=str(source))


def replay_check(directory: Path, *, named: str) -> int:
    """Load a verified run directory in a new process and have it reproduce its recorded test forecasts.

    Returns:
        how many windows it reproduced.

    Raises:
        UserError: a forecast differs, or the run cannot be loaded here.
    """
    # The same modules must be found as here, plug-ins included, and none by accident.
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    command = [sys.executable, "-P", "-m", "forecast.champion.promotion", str(directory)]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=REPLAY_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"{named}: its forecasts were not reproduced within {REPLAY_TIMEOUT_S:.0f} s; it is not promoted"
        ) from error
    if done.returncode == 0:
        return int(done.stdout.split()[-1])
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    message = last.replace(str(directory), named)
    if named not in message:
        message = f"{named}: {message}"
    raise UserError(f"{message}; it is not promoted")


def passed_audit(directory: Path) -> bool:
    """Whether a run directory holds an audit that was passed."""
    try:
        audit = read_json(directory / "audit.json")
    except (OSError, ValueError):
        return False
    return isinstance(audit, dict) and audit.get("passed") is True


def _sync_to_disk(folder: Path) -> None:
    """Let a full disk show now and not after the promotion; a network file system reports it this late."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _replayed(count: int) -> str:
    return f"checked in a new process: {count:,} recorded test windows forecast again as recorded"


def _metadata_or_none(folder: Path | None) -> dict[str, Any] | None:
    """A former champion may have been damaged: all the more reason to leave it."""
    try:
        return None if folder is None else read_metadata(folder)
    except (OSError, ValueError):
        return None


def _is_champion(run: Candidate, manifest: Mapping[str, Any], champion: Path) -> bool:
    """Whether a run is the current champion already, whose folder is complete."""
    try:
        theirs = bundle.verify(champion)["files"]
    except UserError:
        return False  # promoting the run again repairs it
    ours = manifest["files"]
    same = all(
        ours[name] == theirs[name] for name in ("model.safetensors", "forecasts.parquet", "scaler.json")
    )
    return same and run.identity == from_directory(champion).identity


def main() -> int:
    """Run the replay check; prints how many windows were reproduced."""
    collect_rarely()
    try:
        directory = Path(sys.argv[1])
        # Whoever calls replay_check has verified the files.
        print(bundle.verify_golden(directory, bundle.load(directory, verify=False)))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
