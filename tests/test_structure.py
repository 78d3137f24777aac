"""The structure that docs/architecture.md describes: packages import only those above them, and there is no ring."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_LINES = 500


def modules(package: str) -> dict[str, Path]:
    """Module name -> file, of a package and all below it."""
    found = {}
    for path in (ROOT / package).rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """The package's own modules that a file imports, anywhere in it, for types included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                name if (name := f"{node.module}.{alias.name}") in known else node.module
                for alias in node.names
            }
    return found & set(known)


def documented_order() -> list[str]:
    """Packages and modules as the table of docs/architecture.md lists them, from the top."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return [name.rstrip("/").removesuffix(".py") for row in rows for name in re.findall(r"`([\w/.]+)`", row)]


KNOWN = modules("forecast")


@pytest.fixture(scope="module")
def edges() -> dict[str, set[str]]:
    """What each module imports of the others."""
    return {name: imports(path, KNOWN) - {name} for name, path in KNOWN.items()}


def test_no_ring_of_imports(edges):
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as ring:
        pytest.fail(f"a ring of imports: {' -> '.join(ring.args[1])}")


def test_packages_import_only_those_above_them(edges):
    order = documented_order()
    above = [
        f"{name} imports {target}"
        for name, targets in edges.items()
        for target in targets
        if (here := name.split(".")[1:2]) and (there := target.split(".")[1:2]) and here != there
        if order.index(there[0]) > order.index(here[0])
    ]
    assert above == []


def test_every_package_and_module_is_in_the_table():
    top = {name.split(".")[1] for name in KNOWN if "." in name}
    assert top - set(documented_order()) == set()


@pytest.mark.parametrize("package", ["forecast", "hydra_plugins"])
def test_a_file_has_one_subject(package):
    long = {
        name: lines
        for name, path in modules(package).items()
        if (lines := len(path.read_text("utf-8").splitlines())) > MAX_LINES
    }
    assert long == {}
