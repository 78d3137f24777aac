"""The documentation: its commands run as printed, its links lead somewhere, and it knows every option and key."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text("utf-8")
# Of each primary config its section, and the options that belong to it alone.
SECTIONS = {
    name: CONFIGURATION.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    for name, title in (("run", "Keys"), ("serve", "Serve"))
}
SERVES = ("engine",)
OPTIONS = sorted(path for path in (ROOT / "conf").rglob("*/*.yaml") if "hydra" not in path.parts[-3:])

# <!-- marker -->, perhaps one line of text, then a fenced block.
BLOCK = re.compile(
    r"^<!-- (?P<kind>tested|file|output)(: (?P<detail>[^>]*?))? -->\n(?:[^\n`<]*`[^\n]*`\n\n)?"
    r"```(?P<language>\w+)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A marked block of a page."""

    kind: str
    detail: str | None
    language: str
    code: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    found = [Block(*match.group("kind", "detail", "language", "code")) for match in BLOCK.finditer(text)]
    assert len(found) == len(re.findall(r"^<!-- (?:tested|file|output)\b", text, re.MULTILINE)), (
        f"{page.name}: a marker without a block below it"
    )
    return found


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like the project's, where runs leave what they leave."""
    for name in ("run.py", "conf", "forecast"):
        (tmp_path / name).symlink_to(ROOT / name)
    # A script, not a link: a link to a virtual environment's interpreter is another interpreter.
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("PATH", f"{python.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if "\n<!-- tested" in page.read_text("utf-8")], ids=lambda p: p.name
)
def test_what_is_printed_works(page, project):
    said = ""
    for block in blocks(page):
        if block.kind == "file":
            path = project / str(block.detail)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, "utf-8")
        elif block.kind == "output":
            for line in filter(None, block.code.splitlines()):
                assert line in said.splitlines(), f"not said: {line}\nbut: {said}"
        elif block.language == "python":
            exec(compile(block.code, page.name, "exec"), {"__name__": "notebook"})  # as a notebook would
        else:
            wanted = int(str(block.detail or "exit 0").removeprefix("exit "))
            done = subprocess.run(
                ["bash", "-euc", block.code],
                cwd=project,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            said = done.stdout + done.stderr
            assert done.returncode == wanted, f"{block.code}\n{said}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", prose) if "://" not in link]
    for link in links:
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


def test_anchors_are_those_of_a_hosted_page():
    assert "what-is-promised-and-the-tests-that-prove-it" in anchors(ROOT / "docs" / "data.md")


def anchors(page: Path) -> set[str]:
    """Of every heading, as code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: f"{path.parent.name}={path.stem}")
def test_configuration_names_every_option(path):
    assert f"`{path.parent.name}={path.stem}`" in CONFIGURATION


@pytest.mark.parametrize("primary", SECTIONS)
def test_configuration_has_every_key_and_no_other(primary):
    rows, conf = {key for key, _ in documented(primary)}, values(primary)
    assert sorted(set(conf) - rows) == [], "in conf/, not in docs/configuration.md"
    assert sorted(rows - set(conf) - NODES) == [], "in docs/configuration.md, not in conf/"


@pytest.mark.parametrize("primary", SECTIONS)
def test_configuration_shows_true_defaults(primary):
    conf = values(primary)
    for key, default in documented(primary):
        if key not in NODES:
            assert yaml.safe_load(default) in conf[key], f"{key}: {default} is no value it has in conf/"


NODES = {
    "data.scaler",
    "data.features",
    "data.health",
    "watch.log",
    "watch.outcomes",
}  # explained as a whole, besides their keys


def documented(primary: str) -> list[tuple[str, str]]:
    """Key and default of each row of the tables of keys."""
    return re.findall(r"^\| `([a-z_.]+)` \|([^|]*)\|", SECTIONS[primary], re.MULTILINE)


def values(primary: str) -> dict[str, list[Any]]:
    """Every key that a file of conf/ has, with all values it has in them."""
    found: dict[str, list[Any]] = {}
    options = [path for path in OPTIONS if (path.parent.name in SERVES) == (primary == "serve")]
    for path in [ROOT / "conf" / f"{primary}.yaml", *options]:
        text = path.read_text("utf-8")
        everywhere = path.parent.name == "conf" or text.startswith("# @package _global_")
        tree = {
            name: value for name, value in yaml.safe_load(text).items() if name not in ("defaults", "hydra")
        }
        for key, value in leaves(tree, "" if everywhere else f"{path.parent.name}."):
            if str(value).startswith("${oc.env:"):  # what it is without the variable
                value = yaml.safe_load(value.rpartition(",")[2].rstrip("}"))
            found.setdefault(key, []).append(value)
    groups = {path.parent.name for path in options}  # of which one option is none
    return {key: all_ for key, all_ in found.items() if key not in groups}


def leaves(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        elif name.startswith("_"):
            assert f"`{name}" in CONFIGURATION, name
        else:
            yield f"{prefix}{name}", value
