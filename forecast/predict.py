"""python -m forecast.predict run=DIRECTORY [key=value ...] [output=FILE]: forecast the next sessions.

run=outputs/DATE/TIME             a finished run, or outputs/champion
data.tickers=[AAPL,IBM]           other tickers than the run's; null = every ticker the source has
source=files source.path=FOLDER   bars from elsewhere than the run's
data.end=2012-12-31               later bars are not looked at; data.start and data.period cut likewise
data.health.stale=drop            how the bars are checked
output=FILE.csv                   write the table there, too; .csv or .parquet
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.data.market import check_distinct
from forecast.data.reader import BarReader, calendar_notes
from forecast.data.timing import Bars
from forecast.errors import UserError
from forecast.evaluate.findings import NAIVE, Comparison, TargetWords, best_baseline
from forecast.evaluate.summary import align
from forecast.files import read_json, replacing
from forecast.model.forecaster import torch_threads
from forecast.model.intervals import columns

if TYPE_CHECKING:
    import pandas as pd
    from omegaconf import DictConfig

    from forecast.data.target import Target
    from forecast.model.inference import Predictor


# What a trained model can be asked anew with; all else was decided when it was trained.
_FREE = ("source", "data.tickers", "data.period", "data.start", "data.end", "data.health")
_FREE_COVARIATES = re.compile(r"data\.covariates\.\w+\.(source|path)")  # where they come from


def parse_arguments(words: Sequence[str]) -> tuple[Path, Path | None, list[str]]:
    """Sort the words of a command line.

    Returns:
        directory of a finished run; file for the table, None = only print it; overrides of the run's config.

    Raises:
        UserError: no run, or one of the two said twice.
    """
    own: dict[str, str] = {}
    overrides = []
    for word in words:
        key, equals, value = word.partition("=")
        if key not in ("run", "output") or not equals:
            overrides.append(word)
        elif key in own:
            raise UserError(f"{word}: {key}={own[key]} stands there already")
        elif not value:
            raise UserError(
                f"{word}: must name a {'run directory' if key == 'run' else '.csv or .parquet file'}"
            )
        else:
            own[key] = value
    if "run" not in own:
        raise UserError(
            "run: missing; name a run directory: python -m forecast.predict run=outputs/DATE/TIME"
        )
    output = own.get("output")
    return Path(own["run"]), None if output is None else Path(output), overrides


def config_of(directory: Path, overrides: Sequence[str]) -> DictConfig:
    """The saved config of a run, with overrides, checked as any other is.

    Args:
        directory: of a finished run.
        overrides: `key=value` of what may change; `source=NAME` takes that option of conf/source in place of the
            run's.

    Raises:
        UserError: an unknown key, a value against its rule, or a key that the model was trained with.
    """
    from forecast.config import check, compose, compose_saved, resolved

    fresh = any(override.partition("=")[0] == "source" for override in overrides)
    sources = [one for one in overrides if fresh and re.match(r"[+~]*source(\.|=|$)", one)]
    others = [override for override in overrides if override not in sources]
    config = compose_saved(directory, *others)
    saved = resolved(compose_saved(directory) if others else config)
    if fresh:
        config.source = compose(*sources).source
    check(config)
    changed = dict(_differing(saved, resolved(config), ""))
    if changed:
        raise UserError(
            "\n".join(
                f"{key}={value}: the model was trained otherwise; free to choose are {', '.join(_FREE)}"
                for key, value in changed.items()
            )
        )
    return config


def _differing(saved: Any, now: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Keys that differ and must not."""
    if key in _FREE or _FREE_COVARIATES.fullmatch(key):
        return
    if isinstance(saved, dict) and isinstance(now, dict):
        for name in [*saved, *(name for name in now if name not in saved)]:
            yield from _differing(saved.get(name), now.get(name), f"{key}.{name}" if key else str(name))
    elif saved != now:
        yield key, now


@dataclass(frozen=True)
class Future:
    """Forecasts of bars that are not there yet.

    Args:
        table: a row a ticker and step: `ticker`, `origin` (its last bar), `date` (the bar being forecast), `step`,
            `forecast`, `naive`, with intervals `lower`, `upper` and so on, and `days_behind` (calendar days from
            `origin` to the latest bar of any ticker).
        levels: of the intervals, `lower` and `upper` first.
        refused: ticker -> why there is no forecast for it.
        notes: what a reader must know, in sentences.
        target: what is forecast.
    """

    table: pd.DataFrame
    levels: tuple[float, ...]
    refused: dict[str, str] = field(repr=False)
    notes: list[str] = field(repr=False)
    target: Target = field(repr=False)

    def _repr_html_(self) -> str:
        return str(self.table.to_html(index=False))


def future(directory: str | Path, *overrides: str) -> Future:
    """Forecast the sessions after the last bar of each ticker.

    Args:
        directory: of a finished run, as it printed it.
        overrides: of the run's config: `source`, `data.tickers`, `data.period`, `data.start`, `data.end`,
            `data.health` and what is below them.

    Raises:
        UserError: no finished run there, an override that does not fit it, no bars, or no ticker can be forecast.
    """
    from forecast import bundle
    from forecast.config import build
    from forecast.runlog import logged

    directory = Path(directory)
    bundle.verify(directory)
    config = config_of(directory, overrides)
    predictor = bundle.load(directory, verify=False)
    # As many threads as in training: sums in another order differ in the last bits.
    with logged(), torch_threads(int(config.trainer.get("threads", 1))):
        source, health = build(config.source), build(config.data.health)
        tickers = _tickers(config, predictor, source)
        bars, refused, markets, warnings = load_bars(config, predictor, source, health, tickers)
        return forecast_ahead(
            predictor.with_markets(markets),
            bars,
            refused=refused,
            notes=[*_notes(directory, config, predictor, tickers), *calendar_notes(markets, warnings)],
        )


def load_bars(
    config: DictConfig, predictor: Predictor, source: Any, health: Any, tickers: list[str]
) -> tuple[dict[str, pd.DataFrame], dict[str, str], dict[str, Bars], list[str]]:
    """Checked bars of each ticker with their covariates, as many as the model looks at; why a ticker has none.

    Args:
        config: of the run, with overrides.
        predictor: of the run.
        source: built.
        health: built; None = bars are taken as they are.
        tickers: asked for.

    Returns:
        bars by ticker; reasons by ticker; what the bars are, by ticker; where they and their calendar disagree.

    Raises:
        UserError: no such ticker, or bars at fault whose policy is error.
    """
    from forecast.model.building import build_covariates

    covariates = build_covariates(config, lead=predictor.target.lead, horizon=predictor.horizon)
    predictor.check_covariates(covariates.columns)
    reader = BarReader.of(config.data, source=source, health=health)
    bars: dict[str, pd.DataFrame] = {}
    refused: dict[str, str] = {}
    markets: dict[str, Bars] = {}
    warnings: list[str] = []
    for ticker in tickers:
        whole = source.bars(ticker)
        own = reader.cut(ticker, whole)
        if own.empty:
            refused[ticker] = f"{ticker}: no bars in {reader.range.text}"
            continue
        prepared = reader.prepare(ticker, own, whole)
        own, markets[ticker] = prepared.table, prepared.bars
        warnings += prepared.warnings
        if predictor.covariates_of(ticker):
            try:
                own = covariates.attach(ticker, own, bars=prepared.bars, source=source)
            except UserError as error:
                refused[ticker] = str(error)
                continue
        # A copy, so that thousands of whole histories do not stay in memory.
        bars[ticker] = own if predictor.enough is None else own.iloc[-predictor.enough :].copy()
    return bars, refused, markets, warnings


def forecast_ahead(
    predictor: Predictor,
    bars: dict[str, pd.DataFrame],
    *,
    refused: dict[str, str],
    notes: list[str],
) -> Future:
    """Forecast what follows the bars at hand, all tickers in one pass.

    Args:
        predictor: of the run, knowing what the bars are and so which come next.
        bars: ticker -> checked bars.
        refused: tickers without bars, and why.
        notes: already known.

    Raises:
        UserError: no ticker can be forecast.
    """
    if bars:
        table, without_window = predictor.predict_many(bars)
        refused = {**refused, **without_window}
    if not bars or table.empty:
        first, *others = refused.values()
        more = f" (nor can {len(others)} others be forecast)" if others else ""
        raise UserError(f"{first}{more}; ask for a longer data.period or other data.tickers")
    horizon = predictor.horizon
    origins = table["origin"].to_numpy()
    dates = predictor.next_times(table["ticker"].tolist()[::horizon], origins[::horizon])
    table.insert(2, "date", dates.ravel())
    latest = max(own.index[-1] for own in bars.values()).to_datetime64()
    table["days_behind"] = ((latest - origins) / np.timedelta64(1, "D")).astype(np.int64)
    markets = {bars.key: bars for bars in map(predictor.markets.__getitem__, bars)}
    remarks = [*notes, *(note for own in markets.values() for note in own.unlikely(dates.ravel()))]
    if predictor.intervals is None:
        remarks.append("the run has no intervals")
    return Future(
        table=table, levels=predictor.levels, refused=refused, notes=remarks, target=predictor.target
    )


def _tickers(config: DictConfig, predictor: Predictor, source: Any) -> list[str]:
    """Which tickers to forecast for."""
    named = config.data.tickers
    tickers = source.tickers() if named is None else [str(ticker) for ticker in named]
    shown = check_distinct(tickers)
    if predictor.scope == "single" and len(tickers) > 1:
        raise UserError(
            f"{shown}: the model forecasts one ticker at a time; ask once for each, or train a panel strategy"
        )
    if predictor.scope == "multiple" and set(tickers) != set(predictor.tickers):
        raise UserError(f"{shown}: the model sees its tickers side by side and wants {predictor.tickers}")
    return tickers


def _notes(directory: Path, config: DictConfig, predictor: Predictor, tickers: list[str]) -> list[str]:
    """How the run did on its test rows, tickers it was not trained on, and where its bars end."""
    metrics, evaluation = read_json(directory / "metrics.json"), {}
    with suppress(FileNotFoundError):  # an earlier version wrote none
        evaluation = read_json(directory / "evaluation.json")
    notes = []
    words, best = TargetWords.of(evaluation), best_baseline(evaluation)
    ratio, coverage = metrics.get("test_theil_u"), metrics.get("test_coverage")
    if words.loss != "squared":
        ratio = Comparison.of(evaluation, NAIVE).ratio
    bar = read_json(directory / "data.json").get("bar", "day")  # an earlier version knew days alone
    if ratio is not None:
        beside = None if best is None else Comparison.of(evaluation, best[0]).ratio
        more = "" if best is None or beside is None else f", {beside:.3f} times as much as {best[0]}"
        notes.append(
            f"on its test {bar}s the model {'erred' if ratio < 1 else 'did not beat it: it erred'} {ratio:.3f} times "
            f'as much as "{predictor.target.naive_name}"{more} ({words.error})'
        )
    if coverage is not None:
        notes.append(f"lower to upper held {100 * coverage:.1f} % of the outcomes there")
    if unseen := sorted(set(tickers) - set(predictor.tickers)):
        some = ", ".join(unseen[:5]) + (f" and {len(unseen) - 5:,} more" if len(unseen) > 5 else "")
        known = ", ".join(predictor.tickers[:5]) + (", ..." if len(predictor.tickers) > 5 else "")
        widths = "; their intervals are as wide as those of all its tickers together"
        notes.append(
            f"not trained on {some}, but on {known}{widths if predictor.intervals is not None else ''}"
        )
    if (end := config.data.end) is not None:  # of a run that was trained up to a day
        notes.append(f"data.end={end}: later bars are not looked at; data.end=null takes all")
    return notes


_SHOWN = 40  # rows on the screen


def check_output(path: Path) -> None:
    """Refuse a file that could not be written once the forecasts are there.

    Raises:
        UserError: neither .csv nor .parquet, or its folder does not exist.
    """
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise UserError(f"output={path}: must end in .csv or .parquet")
    if not path.parent.is_dir():
        raise UserError(f"output={path}: {path.parent} is no folder; make it first")
    if path.is_dir():
        raise UserError(f"output={path}: is a folder; name a file")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write all rows; the file is replaced as a whole, or not at all.

    Raises:
        UserError: it cannot be written.
    """
    try:
        with replacing(path) as scratch:
            if path.suffix.lower() == ".csv":
                table.to_csv(scratch, index=False, date_format=_date_format(table))
            else:
                table.to_parquet(scratch, index=False)
    except OSError as error:
        raise UserError(f"output={path}: cannot be written ({error.strerror or error})") from error


def _date_format(table: pd.DataFrame) -> str:
    """Days as YYYY-MM-DD; of intraday bars moments in UTC."""
    days = all((table[name] == table[name].dt.normalize()).all() for name in ("origin", "date"))
    return "%Y-%m-%d" if days else "%Y-%m-%dT%H:%MZ"


def text_of(future: Future, *, output: Path | None) -> str:
    """The table with what must be known to read it.

    Args:
        future: the forecasts.
        output: where all rows were written; None = nowhere.
    """
    table = future.table
    bounds = [name for name in columns(future.levels) if name in table] if future.levels else []
    moves = future.target.naive_value is None
    stepped = len(table) and table["step"].max() > 1
    form = _date_format(table)
    rows = []
    for row in table.head(_SHOWN).to_dict("records"):
        shown = {"ticker": f"{row['ticker']}{'*' if row['days_behind'] else ''}"}
        shown |= {"last bar": f"{row['origin']:{form}}", "date": f"{row['date']:{form}}"}
        if stepped:
            shown["step"] = str(row["step"])
        shown |= {name: f"{row[name]:.6g}" for name in ("forecast", "naive")}
        if moves:
            shown["move %"] = f"{100 * (row['forecast'] / row['naive'] - 1):+.2f}" if row["naive"] else "-"
        shown |= {name: "-" if row[name] != row[name] else f"{row[name]:.6g}" for name in bounds}
        rows.append(shown)
    lines = [align([list(rows[0]), *(list(shown.values()) for shown in rows)], words=(0,))]
    if len(table) > _SHOWN:
        where = f"all of them are in {output}" if output else "output=FILE.csv writes all of them"
        lines.append(f"... and {len(table) - _SHOWN:,} rows more; {where}")
    return "\n".join([*lines, "", *_legend(future, output)])


def _legend(future: Future, output: Path | None) -> list[str]:
    target = future.target
    lines = []
    if not target.is_price:
        span = f"the {target.lead + 1} bars up to date" if target.lead else "the bar of date"
        lines.append(f"forecast: {target.name} of {span}, {target.unit}")
    if target.naive_value is None:
        last = target.column if target.is_price else "value"
        lines.append(f'naive: "{target.naive_name}", the last {last}; move: forecast against it')
    else:
        lines.append(f'naive: "{target.naive_name}", always {target.naive_value:g}')
    if future.levels:
        pairs = zip(columns(future.levels)[::2], columns(future.levels)[1::2], future.levels, strict=True)
        lines.append("; ".join(f"{low} to {high}: {100 * level:g} % interval" for low, high, level in pairs))
    behind = future.table[future.table["days_behind"] > 0]
    if len(behind):
        number = behind["ticker"].nunique()
        lines.append(
            f"* last bar older than that of others, by up to {behind['days_behind'].max()} days "
            f"({number} ticker{'s' * (number != 1)})"
        )
    lines += future.notes
    reasons = list(future.refused.values())
    lines += [f"left out: {reason}" for reason in reasons[:5]]
    if len(reasons) > 5:
        lines.append(f"left out: {len(reasons) - 5:,} more")
    if output is not None:
        lines.append(f"written to {output}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, 2 for a mistake in what was asked, 130 when interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    from forecast.cli import exit_code

    if {"-h", "--help"} & set(words):
        return exit_code(lambda: print(__doc__))
    return exit_code(lambda: _predict(words))


def _predict(words: list[str]) -> None:
    run, output, overrides = parse_arguments(words)
    if output is not None:
        check_output(output)
    result = future(run, *overrides)
    if output is not None:
        write_table(output, result.table)
    print(text_of(result, output=output))


if __name__ == "__main__":
    sys.exit(main())
