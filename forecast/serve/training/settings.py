"""The config that a job trains with: that of the served run, on the bars there are now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from forecast.errors import UserError
from forecast.serve.targets import ALLOWED, check_built, check_targets

if TYPE_CHECKING:
    from omegaconf import DictConfig

# Their classes do nothing when they are built, but are named in ALLOWED by the package they are imported from.
_BY_NAME = ("tracker", "champion")
_BUILT = ("source", "data", "model", "trainer", "evaluation", "baselines", "intervals")


def settings_of(directory: Path, *overrides: str, allow: list[str]) -> DictConfig:
    """The task config of a run, checked, free to be run on other bars than those it was made with.

    Args:
        directory: of a finished run.
        overrides: `key=value`, noted in what comes of it.
        allow: modules or classes of plug-ins that it may name.

    Raises:
        UserError: not a whole run, a target that is not allowed, or a value against its rule.
    """
    from omegaconf import OmegaConf

    from forecast import bundle
    from forecast.config import check
    from forecast.config.composing import composed, task_of
    from forecast.config.launches import remember
    from forecast.config.reading import resolved

    bundle.verify(directory)
    raw = OmegaConf.to_container(OmegaConf.load(directory / "config.yaml"), resolve=False)
    assert isinstance(raw, dict)
    where = str(directory)
    check_targets({str(name): node for name, node in raw.items()}, where=where, also=allow)
    whole = composed(directory.absolute(), "config", list(overrides), saved=True)
    config = task_of(whole)
    remember(config, whole.hydra)
    tree = resolved(config)
    for name in _BUILT:
        check_built({name: tree.get(name)}, where=where, also=allow)
    for name in _BY_NAME:
        target = (tree.get(name) or {}).get("_target_")
        if target is not None and target not in ALLOWED:
            check_built({name: tree[name]}, where=where, also=allow)
    check(config)
    if config.get("provenance") is not None:
        config.provenance.data_request = None  # other bars than the saved run's are what it is for
    return config


def newer_bars(config: DictConfig, *, period: str | None) -> list[str]:
    """Overrides that have a config take all the bars there are by now.

    Args:
        config: of a run.
        period: as `data.period`; None = from where the run began.

    Raises:
        UserError: not a period.
    """
    from forecast.data.period import DateRange

    wanted: dict[str, str | None] = {"end": None}
    if period is not None:
        DateRange(period=period, start=None, end=None)
        wanted |= {"period": period, "start": None}
    return [
        f"data.{name}={'null' if value is None else value}"
        for name, value in wanted.items()
        if config.data.get(name) != value
    ]


def downloading(config: DictConfig) -> DictConfig:
    """The `source` node of a config, told to fetch everything anew where it keeps a cache.

    Raises:
        UserError: it must not ask for anything.
    """
    import copy

    source: DictConfig = copy.deepcopy(config.source)
    if "force_download" not in source:
        return source  # it reads its bars anew each time
    if source.get("offline"):
        raise UserError(
            "force_download: the served model's config says source.offline=true; leave force_download out"
        )
    source.force_download = True
    return source
