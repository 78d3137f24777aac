"""What `python run.py --help` prints."""

from __future__ import annotations

from pathlib import Path
from string import Template

from omegaconf import DictConfig, OmegaConf

from forecast.config.composing import composed, task_of


def help_text(conf: Path, config_name: str, overrides: list[str], config_dir: str | None) -> str:
    """The config's own `hydra.help.template`, filled in.

    Hydra fills it in too, but copies all it knows for each group of options, several times over: with the
    groups of this project that takes half as long again as an app without any.

    Args:
        conf: the folder of the config groups.
        config_name: of the config to show.
        overrides: shown as they would run.
        config_dir: one more folder of config groups.
    """
    also = [f"hydra.searchpath=['file://{Path(config_dir).absolute()}']"] if config_dir else []
    whole = composed(conf, config_name, [*overrides, *also])
    return Template(whole.hydra.help.template).safe_substitute(
        APP_CONFIG_GROUPS=_groups(whole.hydra), CONFIG=OmegaConf.to_yaml(task_of(whole))
    )


def _groups(hydra_node: DictConfig) -> str:
    """`group: option, option`, a line each, from all folders searched."""
    groups: dict[str, set[str]] = {}
    for source in hydra_node.runtime.config_sources:
        if source.schema == "file":
            for path in Path(source.path).rglob("*/*.yaml"):
                group = path.parent.relative_to(source.path).as_posix()
                groups.setdefault(group, set()).add(path.stem)
    ours = {group: options for group, options in groups.items() if group.partition("/")[0] != "hydra"}
    return "".join(f"{group}: {', '.join(sorted(options))}\n" for group, options in sorted(ours.items()))
