"""What is written down of a champion, and how champions are listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from forecast import bundle
from forecast.champion.candidate import Candidate
from forecast.champion.store import ChampionStore
from forecast.config.champion import ChampionConfig
from forecast.errors import UserError
from forecast.evaluate.findings import Comparison, TargetWords, best_baseline
from forecast.evaluate.summary import p_text, ratio_text
from forecast.files import read_json
from forecast.finished_runs import package_version

if TYPE_CHECKING:
    from forecast.evaluate.verdict import Verdict

FLATTERED = "the best of many is flattered by chance"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How a run was picked."""

    metric: str  # it was chosen by, on validation
    mode: Literal["min", "max"]  # whether less of it is better, or more
    candidates: int  # how many different runs it was picked from; 1 where it was named by hand
    # of each of them, the chosen one first, for "no better than naive on validation"; None where a run has
    # none
    p_values: Sequence[float | None] = ()
    # that each of them kept the best of; None where a run does not say
    epochs: Sequence[int | None] | None = None

    @property
    def corrected_p_values(self) -> dict[str, Any]:
        """`p_value` of the chosen one and `p_value_holm`, corrected for all that was tried; null if untested."""
        if not any(p is not None for p in self.p_values):
            return {"p_value": None, "p_value_holm": None}
        from forecast.evaluate.significance import after_trials

        corrected = after_trials(self.p_values, chosen=0, epochs=self.epochs)
        return {"p_value": corrected["p"], "p_value_holm": corrected["p_holm"]}


def champion_metadata(run: Candidate, choice: Choice, *, number: int, audit: str) -> dict[str, Any]:
    """Plain values for the champion's config.yaml and metadata.json; percent where a name says skill."""
    now = datetime.now(UTC)
    verdict = _verdict(run)
    return {
        "number": number,
        "selected_on": now.date().isoformat(),
        "experiment_name": run.experiment_name,
        "run_id": run.run_id,
        "metric": choice.metric,
        "mode": choice.mode,
        "metric_value": run.metrics.get(choice.metric),
        "strategy": run.strategy,
        "tickers": run.tickers,
        "candidates": choice.candidates,
        **choice.corrected_p_values,
        "skill_val": run.skill("val"),
        "skill_test": run.skill("test"),
        "beats_naive": beats_naive(run.metrics),
        "best_baseline": (run.evaluation.get("baselines") or {}).get("best"),
        "skill_best_val": run.metrics.get("val_skill_best"),
        "skill_best_test": run.metrics.get("test_skill_best"),
        "beats_best": {None: None, 0.0: False, 1.0: True}[run.metrics.get("test_beats_best")],
        "label": label(run.metrics, run.evaluation),
        "verdict": verdict.sentence,
        "warnings": verdict.warnings,
        "audit": audit,
        "identity": run.identity,
        "run_directory": str(run.directory.absolute()),
        "exported_at": now.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "version": package_version(),
    }


def read_metadata(folder: Path) -> dict[str, Any]:
    """The metadata of a champion."""
    metadata: dict[str, Any] = read_json(folder / "metadata.json")
    return metadata


def beats_naive(metrics: Mapping[str, float | None]) -> bool:
    """Whether the RMSE lies below that of the naive forecast on validation and on test; undefined is no."""
    ratios = [metrics.get(f"{split}_theil_u") for split in ("val", "test")]
    return all(ratio is not None and ratio < 1 for ratio in ratios)


def label(metrics: Mapping[str, float | None], evaluation: Mapping[str, Any] | None = None) -> str:
    """In words, with RMSE ratios, whether it beats naive and the best baseline by validation.

    Args:
        evaluation: the content of its evaluation.json; None = unknown, and nothing is said of baselines.
    """
    records = evaluation or {}
    words, best = TargetWords.of(records), best_baseline(records)
    said = ""
    if best is not None and records.get("target"):
        name, found = best[0], Comparison.of(records, best[0])
        ahead = found.ratio is not None and found.ratio < 1
        how = "beats" if found.beats else "does not clearly beat" if ahead else "does not beat"
        said = f"; {how} {name}, the best baseline by validation ({words.error} ratio: test {ratio_text(found.ratio)})"
    shown = ", ".join(f"{split} {ratio_text(metrics.get(f'{split}_theil_u'))}" for split in ("val", "test"))
    return f"{'is ahead of' if beats_naive(metrics) else 'does not beat'} {words.naive} (RMSE ratio: {shown}){said}"


def summary(metadata: Mapping[str, Any]) -> list[str]:
    """A champion's metadata in words, a line each."""
    among = (
        f", best of {metadata['candidates']:,} candidates ({FLATTERED})" if metadata["candidates"] > 1 else ""
    )
    if metadata["p_value_holm"] is not None:
        among += (
            f'; "no better than naive" on validation {p_text(metadata["p_value"])}, '
            f"{p_text(metadata['p_value_holm'])} corrected for all that was tried (Holm)"
        )
    run = f"run {metadata['run_id']}" if metadata["run_id"] else metadata["run_directory"]
    return [
        f"Champion {metadata['number']}: {run}, {metadata['strategy']}, {metadata['tickers']}",
        f"{figure_text(metadata['metric'], metadata['metric_value'])}{among}",
        f"skill against naive: val {_percent(metadata['skill_val'])}, test {_percent(metadata['skill_test'])}; "
        f"it {metadata['label']}",
        f"Verdict: {metadata['verdict']}",
        *(f"Warning: {warning}" for warning in metadata.get("warnings") or ()),
    ]


def figure_text(metric: str, value: float | None) -> str:
    """A figure that a decision rests on."""
    return f"{metric} " + ("undefined" if value is None else f"{value:.6g}")


def _verdict(run: Candidate) -> Verdict:
    """The verdict of the run's own report, which knows the noise."""
    from forecast.evaluate.verdict import Verdict

    metrics: dict[str, float | None] = {**run.metrics}
    return Verdict(
        metrics=metrics,
        tickers=run.tickers.split(", "),
        strategy=run.strategy,
        horizon=run.subject.horizon,
        evaluation=run.evaluation,
    )


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{value:+.2f} %"


def list_champions(champion: ChampionConfig) -> str:
    """A line each, the oldest first; `*` marks the champion, `-` those that were rolled back.

    Raises:
        UserError: there is none.
    """
    store = ChampionStore(Path(champion.directory))
    current, lineage = store.current, store.lineage
    if not store.folders:
        raise UserError(f"champion.directory={champion.directory}: there is no champion yet")
    lines = []
    for folder in store.folders:
        mark = "*" if folder == current else (" " if folder.name in lineage else "-")
        try:
            bundle.verify(folder)
        except UserError as error:
            lines.append(f"{mark} {error}")
            continue
        metadata = read_metadata(folder)
        figure = figure_text(metadata["metric"], metadata["metric_value"])
        lines.append(
            f"{mark} {folder}  {metadata['exported_at']}  {metadata['strategy']}  {figure}, "
            f"of {metadata['candidates']:,}; {metadata['label']}"
        )
    return "\n".join(lines)
