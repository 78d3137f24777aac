"""Bars that a person pastes or uploads: read as they are meant, answered as the route does."""

import re

import pytest
from paging import CSV, ROWS, enter, paste, price, text
from selenium.webdriver.common.keys import Keys

SAME = [
    pytest.param(CSV, id="CSV with other columns"),
    pytest.param(CSV.replace(",", "\t"), id="spreadsheet"),
    pytest.param(CSV.replace(",", ";").replace(".", ","), id="decimal commas"),
    pytest.param("\n".join([CSV.splitlines()[0], *CSV.splitlines()[:0:-1]]), id="newest first"),
    pytest.param(
        re.sub(
            r"2024-01-(\d\d)", lambda day: f"2024-01-0{1 + int(day[1]) // 20} {int(day[1]) % 20:02}:30", CSV
        ),
        id="hours of two days",
    ),
    pytest.param("\n".join(" ".join(map(str, row)) for row in ROWS), id="bare numbers"),
    pytest.param(str(ROWS), id="JSON"),
]


@pytest.mark.parametrize("content", SAME)
def test_pasted_bars(browser, served, content):
    enter(browser, served)
    said = paste(browser, content)
    answer = served.post("/infer", {"sequence": ROWS}).json()
    assert said.startswith(f"Next close: {price(answer['prediction'])} (")
    assert f"interval {price(answer['lower'])} to {price(answer['upper'])}" in said
    assert "Last close 13.50." in said
    notes = text(browser, "#window-notes")
    assert answer["model_version"] in notes
    for warning in answer.get("warnings", []):
        assert warning.lower() in notes.lower()
    assert ("turned round" in notes) == content.splitlines()[-1].startswith("2024-01-01,")
    browser.wait("document.querySelector('#window-chart circle')")
    assert browser.complaints() == []


def test_adjusted_as_in_training(browser, served):
    enter(browser, served)
    split = "\n".join(
        [CSV.splitlines()[0] + ",Adj Close"]
        + [
            f"2024-01-{n + 1:02},9,{2 * row[0]},{2 * row[1]},{2 * row[2]},{row[3]},{row[2]}"
            for n, row in enumerate(ROWS)
        ]
    )
    answer = served.post("/infer", {"sequence": ROWS}).json()
    assert paste(browser, split).startswith(f"Next close: {price(answer['prediction'])} (")
    assert "adjusted by Adj Close" in text(browser, "#window-notes")


def test_uploaded_file(browser, served, tmp_path):
    enter(browser, served)
    (tmp_path / "bars.csv").write_text(CSV)
    browser.one("#file").send_keys(str(tmp_path / "bars.csv"))
    browser.wait("document.querySelector('#bars').value.length > 100")
    browser.one("#own button[type=submit]").click()
    browser.wait("document.querySelector('#window-said').textContent")
    assert browser.complaints() == []


def test_closes_that_are_shown(browser, served):
    enter(browser, served)
    browser.one("#shown").click()
    browser.one("#own button[type=submit]").click()
    browser.wait("document.querySelector('#window-said').textContent")
    closes = [float(line) for line in browser.one("#bars").get_property("value").split()]
    answer = served.post("/infer", {"sequence": closes, "ticker": "AAPL"}).json()
    assert price(answer["prediction"]) in text(browser, "#window-said")
    assert "closes only" in text(browser, "#window-notes").lower()


WRONG = [
    pytest.param("", "there is nothing yet", id="nothing"),
    pytest.param("Date,High,Low\n2024-01-01,1,1", "no column Close, Volume", id="columns missing"),
    pytest.param("High,Low,Close,Volume\n1,1,n/a,1", 'line 2: Close is "n/a"', id="no number"),
    pytest.param("1,2,3\n1,2,3", "3 values a line; expected 4", id="columns unknown"),
    pytest.param("1,2,3,4\n1,2,3", "line 2: 3 values", id="ragged"),
    pytest.param("2024-01-02,1,1,1,1\n2024-01-02,1,1,1,1", "one stands twice", id="one day twice"),
    pytest.param("[1,", "this is no JSON", id="broken JSON"),
]


@pytest.mark.parametrize(("content", "message"), WRONG)
def test_what_is_wrong_with_bars(browser, served, content, message):
    if browser.script("return location.href") != f"{served.url}/ui":
        enter(browser, served)
    browser.complaints()
    assert message.lower() in paste(browser, content).lower()
    assert browser.complaints() == []  # it was not sent


def test_refusal_of_the_server_is_shown(browser, served):
    enter(browser, served)
    detail = served.post("/infer", {"sequence": [1.0, -2.0] * 20}).json()["detail"]
    assert paste(browser, "1\n-2\n" * 20).lower() == detail.lower()
    for ticker in ("NOSUCH", '<img src=x onerror="window.hit=1">'):
        field = browser.one("#ticker")
        field.clear()
        field.send_keys(ticker, Keys.ENTER)
        shown = browser.wait("document.querySelector('#future-trouble:not([hidden])')?.textContent")
        assert len(shown) > 10
        browser.wait("!document.querySelector('#ask button').disabled")
    assert browser.script("return window.hit ?? null") is None
    assert browser.all("img") == []
