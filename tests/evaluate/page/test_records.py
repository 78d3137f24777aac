"""Records that nobody described beforehand."""

import pytest

from forecast.evaluate.page.records import ROWS, p_cell, percent_text, reasoned, record_html, sentences


def test_sentences_come_first_then_figures_then_parts():
    record = {
        "size": {"a": {"x": 1}, "b": {"x": 2}},
        "p_value": 0.25,
        "lines": ["said & done"],
        "note": "and this",
        "empty": {},
        "unknown": None,
    }
    found = record_html(record)
    assert found[:2] == ["<p>said &amp; done</p>", "<p>and this</p>"]
    assert found[2] == '<div class="plain"><dl><dt>p value</dt><dd>0.25</dd></dl></div>'
    assert found[3] == "<h3>Size</h3>"
    assert '<th scope="row">b</th><td>2</td>' in found[4]
    assert len(found) == 5


def test_lists_of_one_length_are_columns():
    (table,) = record_html({"ticker": ["A", "<b>"], "p": [0.5, None], "why": [None, None]})
    assert '<table class="sortable">' in table
    assert '<th scope="row">&lt;b&gt;</th><td>-</td></tr>' in table
    assert "why" not in table  # a column that says nothing


def test_long_columns_are_cut_and_say_so():
    table, more = record_html({"ticker": [f"T{n}" for n in range(10_000)], "p": [0.5] * 10_000})
    assert table.count("<tr") == ROWS + 1
    assert more == '<p class="more">500 of 10,000; evaluation.json has all of them.</p>'


@pytest.mark.parametrize("record", [None, {}, [], "", {"a": None, "b": []}], ids=repr)
def test_nothing_is_nothing(record):
    assert record_html(record) == []


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
    assert "".join(record_html(record))


def test_sentences_may_be_left_out_by_key():
    assert sentences({"lines": ["a"], "notes": ["b"]}, besides=["lines"]) == ["b"]
    assert sentences({"lines": "a", "notes": [1, {}]}) == ["a"]
    assert sentences(["a"]) == []


def test_the_reason_column_goes_where_nothing_is_undefined():
    rows = [["x", "why"], ["1", ""]]
    assert "why" not in reasoned(rows, labels=0)
    assert '<td class="text">&lt;3</td>' in reasoned([*rows, ["2", "<3"]], labels=0)


def test_cells():
    assert [percent_text(share) for share in (0.5125, None, "x", float("nan"))] == ["51.2", "-", "-", "-"]
    assert [p_cell(p) for p in (0.00012345, 1.0, None)] == ["0.000123", "1", "-"]
