"""Give the title to a run directory, or back to the one before: proved first, then in one step."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from forecast import bundle
from forecast.champion.candidate import Candidate, from_directory
from forecast.champion.metadata import Choice, beats_naive, label, metadata, sentences
from forecast.champion.place import Champion
from forecast.champion.proof import prove
from forecast.champion.ranking import Ranking
from forecast.champion.registry import Registry
from forecast.champion.shelf import PARTIAL, Shelf
from forecast.champion.staging import passed_audit, stage
from forecast.errors import UserError

Say = Callable[[str], None]


class ChampionChangedError(UserError):
    """Another champion than the one that was to be replaced is there by now."""


class NothingBeforeError(UserError):
    """There is no champion to return to."""


def silent(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, kw_only=True)
class Crowned:
    """What became of the title.

    Args:
        directory: the link to the champion.
        folder: it leads to.
        metadata: of the champion.
        changed: whether it is another one than before.
        notes: what else there is to say, a line each.
        ranking: it was picked from; None where it was named by hand.
    """

    directory: Path
    folder: Path
    metadata: dict[str, Any]
    changed: bool
    notes: list[str] = field(default_factory=list)
    ranking: Ranking | None = None

    @property
    def text(self) -> str:
        """All of it for a terminal."""
        return "\n".join([*sentences(self.metadata), *self.notes])


def current(champion: Champion) -> Crowned | None:
    """The champion of a place, None if it has none.

    Raises:
        UserError: a file of it is missing or was altered.
    """
    shelf = Shelf(Path(champion.directory))
    folder = shelf.current
    if folder is None:
        return None
    bundle.verify(folder)
    return Crowned(directory=shelf.link, folder=folder, metadata=told_of(folder), changed=False)


def promote(
    directory: str | Path,
    *,
    champion: Champion,
    registry: Registry | None = None,
    say: Say = silent,
    replacing: Path | Literal["any"] = "any",
) -> Crowned:
    """Make a given run directory the champion.

    It is copied, the copy is proved in a process of its own, and the title changes hands in one step; whatever
    fails on the way, the old champion stays. One that is kept from earlier gets the title back as it stands.

    Args:
        directory: of a finished run.
        champion: the place and its rules.
        registry: where MLflow is told; None: it is not.
        say: told what there is to wait for.
        replacing: folder of the only champion that may be replaced, looked at under the lock.

    Raises:
        ChampionChangedError: another one is the champion by now.
        UserError: not a whole run, not what it recorded, against a rule, or the disk does not take it.
    """
    source = Path(directory)
    bundle.verify(source)  # before a folder is made
    run = from_directory(source)
    objective = _objective(source)
    shelf = Shelf(Path(champion.directory))
    with shelf.held(say):
        now = shelf.current
        if replacing != "any" and (now is None or now.resolve() != replacing.resolve()):
            raise ChampionChangedError(
                f"{replacing.name} was the champion when this began, "
                f"and {'nothing' if now is None else now.name} is by now"
            )
        return install(source, run, Choice(candidates=1, **objective), champion, shelf, registry)


def install(
    source: Path,
    run: Candidate,
    choice: Choice,
    champion: Champion,
    shelf: Shelf,
    registry: Registry | None,
) -> Crowned:
    """What `promote` does, for whoever holds the shelf.

    Args:
        source: of a finished, verified run.
        run: as that directory, and MLflow where it was asked, describe it.
        choice: how it was picked.
        champion: the place and its rules.
        shelf: of that place, held.
        registry: where MLflow is told.

    Raises:
        UserError: see promote.
    """
    check_rules(source, run, champion)
    before = shelf.current
    former = _told_or_none(before)
    if before is not None and _same(source, before):
        notes = [f"nothing to do: it is the champion already ({before})"]
        return Crowned(
            directory=shelf.link, folder=before, metadata=told_of(before), changed=False, notes=notes
        )
    kept = next((folder for folder in shelf.kept if folder.resolve() == source.resolve()), None)
    with shelf.writing():
        if kept is not None:
            count = prove(kept, named=str(source))
            folder, told = shelf.point(kept.name, "promoted"), told_of(kept)
        else:
            number = shelf.next_number()
            name = f"{number}-{run.run_id or run.identity}"
            audit = "passed" if passed_audit(source) else "not run"
            told = metadata(run, choice, number=number, audit=audit)
            staged = shelf.folder / f".{name}{PARTIAL}"
            try:
                count = stage(source, staged, told)
                folder = shelf.install(staged, name)
            finally:
                shelf.discard(staged)
        gone = shelf.prune(champion.keep)
    notes = [f"proved in a new process: {count:,} recorded test windows forecast again, exactly"]
    if before is not None:
        notes.append(f"before it: {before}; rollback returns to it")
    if gone:
        notes.append(f"removed, more than champion.keep={champion.keep}: {', '.join(gone)}")
    if registry is not None:
        notes.append(registry.note(folder.name, told, former=former))
    return Crowned(directory=shelf.link, folder=folder, metadata=told, changed=True, notes=notes)


def rollback(*, champion: Champion, registry: Registry | None = None, say: Say = silent) -> Crowned:
    """Give the title back to the champion before; the present one is kept.

    Raises:
        NothingBeforeError: there is none before.
        UserError: it was altered, or the disk does not take it.
    """
    shelf = Shelf(Path(champion.directory))
    if shelf.current is None:
        raise NothingBeforeError(f"champion.directory={shelf.link}: there is no champion to roll back")
    with shelf.held(say):
        present = shelf.current
        assert present is not None
        earlier = [name for name in shelf.line if name != present.name]
        if not earlier:
            raise NothingBeforeError(
                f"champion.directory={shelf.link}: no champion before {present.name} is kept; "
                "python -m forecast.champion list shows all, export DIR promotes any of them"
            )
        before = shelf.folder / earlier[-1]
        count = prove(before, named=str(before))
        former, told = _told_or_none(present), told_of(before)
        with shelf.writing():
            folder = shelf.point(before.name, "rolled back")
        notes = [
            f"rolled back from {present}, which is kept",
            f"proved in a new process: {count:,} recorded test windows forecast again, exactly",
        ]
        if registry is not None:
            notes.append(registry.note(folder.name, told, former=former))
    return Crowned(directory=shelf.link, folder=folder, metadata=told, changed=True, notes=notes)


def check_rules(source: Path, run: Candidate, champion: Champion) -> None:
    """Refuse what the user has ruled out.

    Raises:
        UserError: no skill, no audit.
    """
    if champion.require_skill and not beats_naive(run.metrics):
        raise UserError(
            f"champion.require_skill=true: {source} {label(run.metrics)}; it is not promoted; "
            "champion.require_skill=false promotes it with that label"
        )
    if champion.require_audit and not passed_audit(source):
        raise UserError(
            f"champion.require_audit=true: {source} holds no passed audit (audit.json); it is not promoted; "
            "python -m forecast.audit makes one"
        )


def told_of(folder: Path) -> dict[str, Any]:
    """The metadata of a champion."""
    told: dict[str, Any] = json.loads((folder / "metadata.json").read_text("utf-8"))
    return told


def _told_or_none(folder: Path | None) -> dict[str, Any] | None:
    """The same of a folder that may have been damaged: all the more reason to leave it."""
    try:
        return None if folder is None else told_of(folder)
    except (OSError, ValueError):
        return None


def _same(source: Path, champion: Path) -> bool:
    """Whether a run is what already has the title, the title's folder being whole."""
    try:
        there = bundle.verify(champion)["files"]
    except UserError:
        return False  # it is put right by promoting the run again
    here = bundle.verify(source)["files"]
    same = all(
        here[name] == there[name] for name in ("model.safetensors", "forecasts.parquet", "scaler.json")
    )
    return same and from_directory(source).identity == from_directory(champion).identity


def _objective(directory: Path) -> dict[str, Any]:
    """Metric and mode that a run was trained by."""
    from omegaconf import OmegaConf

    objective = OmegaConf.load(directory / "config.yaml").objective
    return {"metric": str(objective.metric), "mode": str(objective.mode)}
