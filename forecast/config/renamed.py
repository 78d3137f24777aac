"""Where classes that saved configs name have moved to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

# `_target_` in a saved config -> where the class is now. Applied when a saved config is loaded or replayed.
RENAMED: dict[str, str] = {
    "forecast.champion.Champion": "forecast.config.ChampionConfig",
    "forecast.champion.ChampionConfig": "forecast.config.ChampionConfig",
    "forecast.evaluate.baselines.AutoArima": "forecast.model.AutoArima",
    "forecast.evaluate.baselines.AutoEts": "forecast.model.AutoEts",
    "forecast.evaluate.baselines.Baselines": "forecast.model.Baselines",
    "forecast.evaluate.baselines.Drift": "forecast.model.Drift",
    "forecast.evaluate.baselines.HistoricalMean": "forecast.model.HistoricalMean",
    "forecast.evaluate.baselines.MovingAverage": "forecast.model.MovingAverage",
    "forecast.evaluate.baselines.Ridge": "forecast.model.Ridge",
    "forecast.evaluate.baselines.Trees": "forecast.model.Trees",
    "forecast.evaluate.Economics": "forecast.evaluate.TradingRule",
}


def renamed(target: str) -> str:
    """The name by which a class can be imported today."""
    return RENAMED.get(target, target)


def rename_targets(node: Any) -> None:
    """Replace older names in every `_target_` at or below a node, in place."""
    ours = isinstance(node, DictConfig | ListConfig)
    plain = OmegaConf.to_container(node, resolve=False) if ours else node
    for path, target in list(targets(plain)):
        if target in RENAMED:
            above = node
            for step in path:
                above = above[step]
            above["_target_"] = RENAMED[target]


def targets(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Where each `_target_` at or below a node of plain Python stands, and what it names."""
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str):
            yield path, node["_target_"]
        for name, item in node.items():
            yield from targets(item, (*path, name))
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from targets(item, (*path, index))
