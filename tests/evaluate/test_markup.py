"""HTML of plain values."""

import pytest

from forecast.evaluate.markup import LONG, MOST, grid, plain, text, tree


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (True, "yes"),
        (False, "no"),
        (3270, "3,270"),
        (0.123456789, "0.123457"),
        (2.0, "2"),
        ("a & b", "a & b"),
    ],
)
def test_plain(value, wanted):
    assert plain(value) == wanted


def test_text_escapes_content_and_attributes():
    assert text("p", "<b>", class_='"x"') == '<p class="&quot;x&quot;">&lt;b&gt;</p>'


def test_grid_heads_its_rows():
    assert grid([["", "a"], ["x", "1"]], labels=1) == (
        '<div class="wide"><table><thead><tr><th scope="col"></th><th scope="col">a</th></tr></thead>'
        '<tbody><tr><th scope="row">x</th><td>1</td></tr></tbody></table></div>'
    )


def test_grid_marks_sorts_and_breaks():
    rows = [["", "a", "why"], ["x", "1", "&"], ["y", "2", ""]]
    found = grid(rows, labels=1, sortable=True, best=1, prose=[2])
    assert '<div class="wide"><table class="sortable">' in found
    assert '<tr class="best"><th scope="row">y</th>' in found
    assert '<td class="text">&amp;</td>' in found


def test_long_sortable_grid_scrolls_by_keys_too():
    rows = [["a"], *([str(n)] for n in range(LONG + 1))]
    assert grid(rows, labels=1, sortable=True).startswith('<div class="wide long" tabindex="0">')
    assert grid(rows, labels=1).startswith('<div class="wide">')
    assert grid(rows[:-2], labels=1, sortable=True).startswith('<div class="wide">')


def test_mapping_is_a_list_of_terms():
    assert tree({"rows": 1000, "calendar": None}) == (
        "<dl><dt>rows</dt><dd>1,000</dd><dt>calendar</dt><dd>-</dd></dl>"
    )


def test_mappings_alike_are_a_table():
    splits = {"train": {"windows": 70}, "test": {"windows": 15}}
    assert tree(splits) == grid([["", "windows"], ["train", "70"], ["test", "15"]], labels=1)
    faults = [{"date": "2001-09-11", "kind": "sessions"}, {"kind": "jumps", "detail": "x"}]
    rows = [["date", "kind", "detail"], ["2001-09-11", "sessions", ""], ["", "jumps", "x"]]
    assert tree(faults) == grid(rows, labels=0)


def test_lists():
    assert tree(["AAPL", "R&D"]) == "AAPL, R&amp;D"
    assert tree([["a", "b"], "c"]) == "<ul><li>a, b</li><li>c</li></ul>"
    assert tree([]) == tree({}) == "none"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([f"T{n}" for n in range(10_000)], id="tickers"),
        pytest.param([{"ticker": n} for n in range(10_000)], id="faults"),
        pytest.param({f"T{n}": n for n in range(10_000)}, id="rows a ticker"),
        pytest.param({f"T{n}": {"rows": n} for n in range(10_000)}, id="facts a ticker"),
        pytest.param([[n] for n in range(10_000)], id="lists"),
    ],
)
def test_long_values_are_cut_and_say_so(value):
    found = tree(value)
    assert found.endswith(f'<p class="more">and {10_000 - MOST:,} more</p>')
    assert len(found) < 10_000
