"""Write the tables of options, keys and benchmarks into the pages of docs/: python docs/generate.py (or make docs).

Each table stands between `<!-- options -->` or `<!-- keys: GROUP -->` and `<!-- end -->`. Defaults and meanings are
those of the YAML files in conf/ (`key: value  # meaning`), rules those of the constructors' annotations. A table
between `<!-- benchmark: NAME N -->` and `<!-- end -->` is the N-th of docs/benchmarks/NAME.md, which is what the
benchmark printed: python -m benchmarks.NAME > docs/benchmarks/NAME.md. That of `<!-- targets -->` is docs/benchmarks/
targets.md in short. The rows of `<!-- index -->` are kept, and what they link to is looked up anew.
"""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from forecast.config import locate, signature  # noqa: E402
from forecast.config.checking import describe_rule, objective, task  # noqa: E402

CONF = ROOT / "conf"
PAGES = [ROOT / name for name in ("docs/configuration.md", "docs/results.md", "docs/index.md", "README.md")]
PRIMARY = {"run": "run.yaml", "serve": "serve.yaml"}  # tables of keys that are in no group
PREFIXES = {"covariates": "data.covariates.NAME"}  # of the keys of a group, where that is not its name
MOST_DEFAULTS = 4  # values of a key, and options that set one, which are listed

MOST_LINKS = 3  # of a word in the index

_TABLE = re.compile(
    r"(<!-- (options|targets|index|keys: [a-z]+|benchmark: [a-z_]+ \d) -->\n)(.*?)(<!-- end -->)", re.DOTALL
)
_RATIO = re.compile(r"([\d.]+) \(p ([\d.e-]+)\)")
_LINE = re.compile(r"(?P<indent> *)(?P<key>[\w.]+):(?: .*?)??(?:\s+# ?(?P<comment>.*))?$")
# Not the task's: what composes it, and the settings of Hydra itself.
_NOT_KEYS = ("defaults", "hydra")


class Key(NamedTuple):
    """A key of one option."""

    value: Any
    rule: str
    meaning: str


def main() -> None:
    """Bring the pages up to date."""
    for page in PAGES:
        page.write_text(render(page.read_text("utf-8")), "utf-8")


def render(page: str) -> str:
    """A page with its tables as conf/, the signatures and the benchmarks have them now."""

    def table(found: re.Match[str]) -> str:
        kind, _, name = found[2].partition(": ")
        lines: Iterable[str]
        if kind == "benchmark":
            lines = benchmark_table(*name.split())
        elif kind == "targets":
            lines = targets_table()
        elif kind == "index":
            lines = index_table(found[3])
        else:
            lines = options_table() if kind == "options" else keys_table(name)
        return found[1] + "\n".join(lines) + "\n" + found[4]

    return _TABLE.sub(table, page)


def benchmark_table(name: str, number: str) -> list[str]:
    """The lines of a table that a benchmark printed, the first one is number 1."""
    printed = (ROOT / "docs" / "benchmarks" / f"{name}.md").read_text("utf-8")
    return printed.strip().split("\n\n")[int(number) - 1].splitlines()


def targets_table() -> Iterator[str]:
    """What can be forecast: each row of the benchmark of targets with its errors, one p-value and its verdict in short.

    The p-value is that of the loss in which the target is compared: of QLIKE where there is one.
    """
    yield from ("| | errors / HAR's | p | the verdict's first words |", "|---|---|---|---|")
    for row in benchmark_table("targets", "1")[2:]:
        name, first, qlike, _, verdict, _ = [text.strip() for text in row.strip("|").split(" | ")]
        target, _, span = name.partition("_")
        ratio, p = _RATIO.findall(first)[0]
        errors = f"RMSE of logs {float(ratio):.3f}"
        if first.endswith("naive"):
            errors = f"RMSE {ratio} of naive's"
        elif found := _RATIO.findall(qlike):
            ((other, p),) = found
            errors = f"QLIKE {float(other):.3f}, {errors}"
        shown = f"{float(p):.2g}" if float(p) >= 0.001 else f"< 1e-{math.floor(-math.log10(float(p)))}"
        words = verdict.partition(" on test")[0].removesuffix(",")
        yield f"| {target} of the next {span or 'day'} | {errors} | {shown} | {words} |"


def index_table(written: str) -> Iterator[str]:
    """Each word of the index with the sections that have it in their heading, then those that have it most often.

    Args:
        written: the table as it stands; the first cell of a row has a word, and what else it is called.
    """
    yield from ("| word | explained in |", "|---|---|")
    rows = [row.split("|")[1].strip() for row in written.splitlines()[2:]]
    known = list(sections())
    for words in sorted(rows, key=str.lower):
        pattern = re.compile("|".join(rf"\b{re.escape(word)}" for word in words.split(", ")), re.IGNORECASE)
        found = [
            (not pattern.search(heading), -count, place)
            for place, (_, heading, text) in enumerate(known)
            if (count := len(pattern.findall(text)))
        ]
        best = [known[place] for *_, place in sorted(found)[:MOST_LINKS]]
        links = (f"[{heading}]({page}#{anchor(heading)})" for page, heading, _ in best)
        yield f"| {words} | {' · '.join(links)} |"


def sections() -> Iterator[tuple[str, str, str]]:
    """Name of the page, heading and text, heading included, of each section of docs/; without generated tables."""
    for page in sorted((ROOT / "docs").glob("*.md")):
        if page.stem in ("index", "architecture", "LOG"):
            continue
        text = re.sub(
            r"^```.*?^```$", "", _TABLE.sub("", page.read_text("utf-8")), flags=re.DOTALL | re.MULTILINE
        )
        for section in re.split(r"^(?=#+ )", text, flags=re.MULTILINE)[1:]:
            yield page.name, section.partition("\n")[0].lstrip("# "), section


def anchor(heading: str) -> str:
    """Of a heading, as code hosts make it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def groups() -> list[str]:
    """In the order of the defaults lists, then the rest."""
    chosen = [group for name in PRIMARY.values() for group in defaults_of(name)]
    return [*chosen, *sorted({path.parent.name for path in CONF.glob("*/*.yaml")} - {*chosen})]


def defaults_of(primary: str) -> dict[str, str | None]:
    """Group -> option that is chosen where none is named."""
    entries = yaml.safe_load((CONF / primary).read_text("utf-8"))["defaults"]
    found = {name: option for entry in entries if isinstance(entry, dict) for name, option in entry.items()}
    return {name: option for name, option in found.items() if not name.startswith("override ")}


def options_of(group: str) -> list[Path]:
    """The option files of a group, the default one first."""
    default = {**defaults_of("run.yaml"), **defaults_of("serve.yaml")}.get(group)
    return sorted((CONF / group).glob("*.yaml"), key=lambda path: (path.stem != default, path.stem))


def options_table() -> Iterator[str]:
    """One row an option, with the first comment of its file."""
    yield from ("| option | |", "|---|---|")
    chosen = {**defaults_of("run.yaml"), **defaults_of("serve.yaml")}
    for group in groups():
        for path in options_of(group):
            lines = path.read_text("utf-8").splitlines()
            about = next(line[2:] for line in lines if line.startswith("# ") and "@package" not in line)
            default = " (default)" if chosen.get(group) == path.stem else ""
            yield f"| `{group}={path.stem}`{default} | {cell(about)} |"


def keys_table(name: str) -> Iterator[str]:
    """One row a key of a group, or of a primary config."""
    yield from ("| key | default | rule | meaning |", "|---|---|---|---|")
    files = [CONF / PRIMARY[name]] if name in PRIMARY else options_of(name)
    options = {path.stem: keys for path in files if (keys := keys_of(path))}
    for key in dict.fromkeys(key for keys in options.values() for key in keys):
        having = {option: keys[key] for option, keys in options.items() if key in keys}
        first = next(iter(having.values()))
        full = key if name in PRIMARY else f"{PREFIXES.get(name, name)}.{key}"
        yield f"| `{full}` | {default_cell(having, len(options))} | {cell(first.rule)} | {cell(first.meaning)} |"


def default_cell(having: dict[str, Key], number_of_options: int) -> str:
    """The value of a key in the default option; and in others, where not all have it or not all alike."""
    values: dict[str, list[str]] = {}  # value -> options, that of the default option first
    for option, key in having.items():
        values.setdefault(shown(key.value), []).append(option)
    if len(values) == 1 and (len(having) == number_of_options or number_of_options == 1):
        return cell(*values)
    (usual, _), *others = values.items()
    if len(having) < number_of_options and not others:
        return cell(f"{usual} ({', '.join(having)})")
    if len(values) > MOST_DEFAULTS or any(len(options) > MOST_DEFAULTS for _, options in others):
        return cell(f"{usual}; others by the option")
    return cell("; ".join([usual, *(f"{value} with {', '.join(options)}" for value, options in others)]))


def shown(value: Any) -> str:
    if isinstance(value, str) and value.startswith("${oc.env:"):  # what it is without the variable
        return value.rpartition(",")[2].rstrip("}").strip("'")
    if isinstance(value, dict):
        return "a node"
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n").removesuffix("\n...")


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def keys_of(path: Path) -> dict[str, Key]:
    """Dotted keys of an option, below its group, with those of the siblings it begins with."""
    tree, comments = read(path)
    found: dict[str, Key] = {}
    for key, value, node in leaves(tree, "", {}):
        name = key.rpartition(".")[2]
        found[key] = Key(value, rule_of(node, name, key, path), comments.get(key, ""))
    return found


def read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The content of an option below its group, and the comment of each dotted key."""
    text = path.read_text("utf-8")
    tree, comments = yaml.safe_load(text) or {}, comments_of(text)
    inherited: dict[str, Any] = {}
    older: dict[str, str] = {}
    for entry in tree.get("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            inherited, older = read(path.with_name(f"{entry}.yaml"))
    if text.startswith("# @package _global_"):
        prefix = f"{path.parent.name}."
        tree = tree.get(path.parent.name) or {}
        comments = {
            key.removeprefix(prefix): about for key, about in comments.items() if key.startswith(prefix)
        }
    tree = {key: value for key, value in tree.items() if key not in _NOT_KEYS}
    return merged(inherited, tree), {**older, **{key: about for key, about in comments.items() if about}}


def comments_of(text: str) -> dict[str, str]:
    """Dotted key -> what is said behind it."""
    found: dict[str, str] = {}
    above: list[tuple[int, str]] = []  # indent and name of the keys that a line is below
    for line in text.splitlines():
        if line.lstrip().startswith(("#", "-")) or not (match := _LINE.fullmatch(line)):
            continue
        indent = len(match["indent"])
        above = [*((width, name) for width, name in above if width < indent), (indent, match["key"])]
        found[".".join(name for _, name in above)] = match["comment"] or ""
    return found


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def leaves(
    tree: dict[str, Any], prefix: str, above: dict[str, Any]
) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Dotted key, value and enclosing node of every key that can be set; of a node that may be null, itself too."""
    node = tree if "_target_" in tree else above
    for name, value in tree.items():
        if name.startswith("_") or name in _NOT_KEYS:
            continue
        if isinstance(value, dict):
            if "_target_" in value:
                yield f"{prefix}{name}", value, node
            yield from leaves(value, f"{prefix}{name}.", {})
        else:
            yield f"{prefix}{name}", value, node


def rule_of(node: dict[str, Any], name: str, key: str, path: Path) -> str:
    """The rule of the constructor's argument; of a key of the root, that of the root."""
    if path.name == PRIMARY["run"]:
        known = signature(objective if key.startswith("objective.") else task)
    else:
        known = signature(locate(node["_target_"])) if node else None
    parameter = known.parameters.get(name) if known else None
    if parameter is None or parameter.annotation is inspect.Parameter.empty:
        return ""
    return (
        describe_rule(parameter.annotation)
        .replace("a mapping with _target_", "a node")
        .replace("text with at least 1 item", "text, not empty")
    )


if __name__ == "__main__":
    main()
