"""The documentation: its commands run as printed, its links lead somewhere, and it knows every option and key."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import commands, vendor_layouts, warm

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text("utf-8")
_spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
assert _spec is not None
assert _spec.loader is not None
generated = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generated)

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
def project(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like the project's, where runs leave what they leave; MLflow's store is there."""
    shutil.copy(empty_store, tmp_path)
    for name in ("run.py", "conf", "forecast"):
        (tmp_path / name).symlink_to(ROOT / name)
    # A script, not a link: a link to a virtual environment's interpreter is another interpreter.
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(warm.SHELL)
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
            name, _, vendor = str(block.detail).partition(" = ")
            path = project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(vendors_file(vendor, block.code) if vendor else block.code.encode())
        elif block.detail == "here":  # in this process, which is quick
            done = commands.run(project, *shlex.split(block.code)[2:])
            said = done.out + done.err
            assert done.code == 0, f"{block.code}\n{said}"
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


def vendors_file(vendor: str, shown: str) -> bytes:
    """The whole of a vendor's file, of which a page shows the first lines and perhaps `...`."""
    content = {one.vendor: one.content for one in vendor_layouts.layouts()}[vendor]
    texts = [content.decode(encoding, "replace") for encoding in ("utf-8-sig", "latin-1")]
    lines = shown.removesuffix("...\n").splitlines()
    assert any(text.splitlines()[: len(lines)] == lines for text in texts), (
        f"{vendor} writes {texts[0][:300]}"
    )
    return content


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


# Without the index, whose order of links may follow the text later; that they lead somewhere is tested above.
@pytest.mark.parametrize(
    "page", [page for page in generated.PAGES if page.stem != "index"], ids=lambda page: page.stem
)
def test_the_generated_tables_are_up_to_date(page):
    text = page.read_text("utf-8")
    assert generated.render(text) == text, "run: make docs"


def test_every_word_of_the_index_is_explained_somewhere():
    rows = (ROOT / "docs" / "index.md").read_text("utf-8").partition("|---|---|\n")[2].splitlines()[:-1]
    assert not [row for row in rows if ".md#" not in row]


def test_what_benchmarks_printed_stands_in_a_table():
    text = (ROOT / "docs" / "results.md").read_text("utf-8")
    for printed in (ROOT / "docs" / "benchmarks").glob("*.md"):
        count = len(printed.read_text("utf-8").strip().split("\n\n"))
        assert all(f"<!-- benchmark: {printed.stem} {number} -->" in text for number in range(1, count + 1))
        assert f"python -m benchmarks.{printed.stem}" in text


def test_every_group_has_its_tables():
    tables = set(re.findall(r"^<!-- keys: ([a-z]+) -->$", CONFIGURATION, re.MULTILINE))
    files = {path.parent.name for path in (ROOT / "conf").glob("*/*.yaml")}
    of_no_keys = {"experiment", "target"}  # a choice of options, and nodes without keys
    assert tables == {"run", "serve"} | files - of_no_keys
    assert "<!-- options -->\n" in CONFIGURATION


# Without those of data, which are features and scopes put together, and the server's own.
@pytest.mark.parametrize(
    "group", sorted({path.parent.name for path in (ROOT / "conf").glob("*/*.yaml")} - {"data", "engine"})
)
def test_the_readme_names_every_option(group):
    table = (ROOT / "README.md").read_text("utf-8").partition("| group | options |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", "".join(row for row in table.splitlines() if f"`{group}`" in row)))
    assert {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")} <= named


def test_the_architecture_names_what_is_there():
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    for name, path in re.findall(r"`([\w.]+)` in \[[^]]*\]\(\.\./(\S+?)\)", text):
        here = (ROOT / path).read_text("utf-8")
        assert re.search(rf"\b(def|class) {name.rpartition('.')[2]}\b", here), f"{name} is not in {path}"
    folders = ("forecast", "hydra_plugins")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    files += ROOT.glob("*.py")
    paths = [f"/{path.relative_to(ROOT).as_posix()}" for path in files]
    code = "\n".join(path.read_text("utf-8") for path in files)
    for name in sorted(set(re.findall(r"`([\w/.]+)`", text))):
        if name.endswith(".py"):
            assert any(path.endswith(f"/{name}") for path in paths), name
        elif re.fullmatch(r"[A-Z]\w*\.\w+|_\w+", name):  # Class.method, _function
            last = name.rpartition(".")[2]
            assert re.search(rf"\b(def|class) {last}\b", code), name


def test_a_table_shows_values_rules_and_meanings():
    rows = list(generated.keys_table("trainer"))
    assert (
        "| `trainer.gradient_clip` | 1.0 | a number > 0 or null | largest norm of the gradient; null = any |"
        in rows
    )
    assert any(
        row.startswith("| `trainer.max_epochs` | 50; 2 with smoke | an integer >= 1 | ") for row in rows
    )
    for name in ("run", "serve", "data", "model", "trainer", "tracker", "champion"):
        for row in list(generated.keys_table(name))[2:]:
            assert not row.endswith("|  |"), f"no comment in conf/ says what it means: {row}"
