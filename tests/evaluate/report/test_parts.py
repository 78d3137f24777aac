"""Parts of a page: whatever a record holds is shown, escaped, and cut where it is long."""

import pytest
from pages import show

from forecast.evaluate.report.parts import (
    LONG,
    MAX_ENTRIES,
    MAX_ROWS,
    Group,
    Table,
    Text,
    digits_text,
    percent_text,
    plain,
    record_parts,
    sentences,
    tree,
)
from forecast.evaluate.report.plot import Words
from forecast.evaluate.report.sections import sections


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


def test_cells():
    assert [percent_text(share) for share in (0.5125, None, "x", float("nan"))] == ["51.2", "-", "-", "-"]
    assert [digits_text(p) for p in (0.00012345, 1.0, None)] == ["0.000123", "1", "-"]


def test_text_is_escaped():
    assert show(Text("<b>", style='"x"')) == '<p class="&#34;x&#34;">&lt;b&gt;</p>'
    assert show(Group([Text("&", "pre")], "<t>")) == (
        "<details><summary>&lt;t&gt;</summary><pre>&amp;</pre></details>"
    )


def test_table_heads_its_rows():
    assert show(Table(["", "a"], [["x", "1"]])) == (
        '<div class="wide"><table>\n<thead><tr><th scope="col"></th><th scope="col">a</th></tr></thead>\n'
        '<tbody>\n<tr><th scope="row">x</th><td>1</td></tr>\n</tbody></table></div>'
    )


def test_table_marks_sorts_and_breaks():
    found = show(Table(["", "a", "why"], [["x", "1", "&"], ["y", "2", ""]], sortable=True, best=1, prose=[2]))
    assert '<div class="wide"><table class="sortable">' in found
    assert '<tr class="best"><th scope="row">y</th>' in found
    assert '<td class="text">&amp;</td>' in found


def test_long_sortable_table_scrolls_by_keys_too():
    rows = [[str(n)] for n in range(LONG)]
    assert show(Table(["a"], rows, sortable=True)).startswith('<div class="wide long" tabindex="0">')
    assert show(Table(["a"], rows)).startswith('<div class="wide">')
    assert show(Table(["a"], rows[:-1], sortable=True)).startswith('<div class="wide">')


@pytest.mark.parametrize("why", [None, "<3 origins"])
def test_the_reason_column_goes_where_nothing_is_undefined(why):
    test = {"stat": 1.0, "p": None if why else 0.5, "why": why}
    record = {"significance": {"against": {"naive": {"squared": {"overall": test}}}}}
    ((_, parts),) = sections(record, {}, Words())
    found = "".join(map(show, parts))
    assert ("undefined because" in found) == bool(why)
    assert ('<td class="text">&lt;3 origins</td>' in found) == bool(why)


def test_mapping_is_a_list_of_terms():
    assert show(tree({"rows": 1000, "calendar": None})) == (
        "<dl><dt>rows</dt><dd>1,000</dd><dt>calendar</dt><dd>-</dd></dl>"
    )


def test_mappings_alike_are_a_table():
    splits = {"train": {"windows": 70}, "test": {"windows": 15}}
    assert show(tree(splits)) == show(Table(["", "windows"], [["train", "70"], ["test", "15"]]))
    faults = [{"date": "2001-09-11", "kind": "sessions"}, {"kind": "jumps", "detail": "x"}]
    rows = [["2001-09-11", "sessions", ""], ["", "jumps", "x"]]
    assert show(tree(faults)) == show(Table(["date", "kind", "detail"], rows, labels=0))


def test_lists():
    assert show(tree(["AAPL", "R&D"])) == "AAPL, R&amp;D"
    assert show(tree([["a", "b"], "c"])) == "<ul><li>a, b</li><li>c</li></ul>"
    assert show(tree([])) == show(tree({})) == "none"


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
    found = show(tree(value))
    assert found.endswith(f'<p class="more">and {10_000 - MAX_ENTRIES:,} more</p>')
    assert len(found) < 10_000


def test_sentences_come_first_then_figures_then_parts():
    record = {
        "size": {"a": {"x": 1}, "b": {"x": 2}},
        "p_value": 0.25,
        "lines": ["said & done"],
        "note": "and this",
        "empty": {},
        "unknown": None,
    }
    found = [show(part) for part in record_parts(record)]
    assert found[:2] == ["<p>said &amp; done</p>", "<p>and this</p>"]
    assert found[2] == '<div class="plain"><dl><dt>p value</dt><dd>0.25</dd></dl></div>'
    assert found[3] == "<h3>Size</h3>"
    assert '<th scope="row">b</th><td>2</td>' in found[4]
    assert len(found) == 5


def test_lists_of_one_length_are_columns():
    (table,) = map(show, record_parts({"ticker": ["A", "<b>"], "p": [0.5, None], "why": [None, None]}))
    assert '<table class="sortable">' in table
    assert '<th scope="row">&lt;b&gt;</th><td>-</td></tr>' in table
    assert "why" not in table  # a column that says nothing


def test_long_columns_are_cut_and_say_so():
    record = {"ticker": [f"T{n}" for n in range(10_000)], "p": [0.5] * 10_000}
    table, more = map(show, record_parts(record))
    assert table.count("<tr") == MAX_ROWS + 1
    assert more == '<p class="more">500 of 10,000; evaluation.json has all of them.</p>'


@pytest.mark.parametrize("record", [None, {}, [], "", {"a": None, "b": []}], ids=repr)
def test_nothing_is_nothing(record):
    assert record_parts(record) == []


@pytest.mark.parametrize(
    "record",
    [
        {"a": [1, 2], "b": [1]},
        {"a": [1]},
        {"a": [[1], [2]], "b": [1, 2]},
        {"a": 1, "b": [1]},
        ["x", 1],
        "text",
    ],
    ids=repr,
)
def test_whatever_json_holds_is_shown(record):
    assert "".join(map(show, record_parts(record)))


def test_sentences_may_be_left_out_by_key():
    assert sentences({"lines": ["a"], "notes": ["b"]}, besides=["lines"]) == ["b"]
    assert sentences({"lines": "a", "notes": [1, {}]}) == ["a"]
    assert sentences(["a"]) == []


def test_clark_west_stands_beside_diebold_mariano():
    test = {"stat": 1.75, "p_better": 0.04, "origins": 491, "lags": 2, "why": None}
    steps = [{"step": step, **test} for step in (1, 2)]
    record = {"significance": {"clark_west": {"overall": test, "steps": steps}}}
    ((_, parts),) = sections(record, {}, Words())
    title, table = parts
    assert title.content.startswith("Clark-West")
    assert table.header == ["", "CW statistic", "p, one-sided", "days"]
    assert table.rows == [[label, "1.75", "0.04", "491"] for label in ("all steps", "1 ahead", "2 ahead")]
