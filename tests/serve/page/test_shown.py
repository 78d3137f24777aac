"""The page in a real browser, of a real server: it shows what the routes answer, and asks nobody else."""

import os
import re

import pytest
from browsing import DESKTOP, PHONE
from paging import ROWS, enter, price, text
from selenium.webdriver.common.keys import Keys

SIZES = [pytest.param(DESKTOP, id="desktop"), pytest.param(PHONE, id="phone")]
WIDER = """
return [...document.querySelectorAll('body *')].filter((element) =>
  !element.parentElement.closest('.wide, .skip') && !element.matches('.skip')
  && element.getBoundingClientRect().right > document.documentElement.clientWidth + 1
).map((element) => element.tagName + '.' + element.className)
"""


@pytest.mark.parametrize("size", SIZES)
def test_shows_what_the_routes_answer(browser, served, size):
    enter(browser, served, size)
    card = served.get("/ui/model").json()
    answer = served.get(f"/forecast/{card['tickers'][0]}").json()
    first = answer["forecast"][0]
    said = text(browser, "#future-said")
    assert said.startswith(f"{answer['ticker']}: {price(first['prediction'])} on ")
    assert first["date"] in said
    assert f"90 % interval {price(first['lower'])} to {price(first['upper'])}" in said
    assert f"Last close {price(answer['last_close'])} on {answer['last_date']}" in said
    assert text(browser, "#verdict").lower() == card["verdict"].lower()
    assert browser.one("#verdict").get_attribute("class") == card["tone"]
    cells = browser.script(
        "return [...document.querySelectorAll('#figures tr')].map((row) => [...row.cells].map((c) => c.textContent))"
    )
    assert cells == card["table"]
    drawn = browser.script("return document.querySelector('#future-chart path.actual').getAttribute('d')")
    assert len(drawn) > 100
    assert "NaN" not in browser.script("return document.querySelector('main').innerHTML")
    assert browser.script("return document.documentElement.scrollWidth") <= size[0]
    assert browser.script(WIDER) == []
    assert browser.complaints() == []
    asked = browser.requests()
    assert asked
    assert {url for url in asked if not url.startswith(served.url)} == set()


def test_chart_reads_what_was_said_on_test_days(browser, served):
    enter(browser, served)
    record = served.get("/ui/record?ticker=AAPL&days=2").json()
    assert len(record["dates"]) == 2
    stage = browser.one("#future-chart .stage")
    browser.script("arguments[0].focus()", stage)
    for _ in range(2):  # from the first day in sight to the newest test day
        browser.keys(Keys.ARROW_RIGHT)
    stated = text(browser, "#future-chart .spoken")
    assert "close " in stated
    assert "model on test bars " in stated
    browser.script("arguments[0].scrollIntoView({block: 'center'})", stage)
    browser.hover(stage, across=0.985)
    read = text(browser, "#future-chart .readout")
    answer = served.get("/forecast/AAPL").json()
    assert read.startswith(answer["forecast"][0]["date"])
    assert f"{answer['forecast'][0]['prediction']:.6g}" in read


def test_live_figures(browser, served):
    enter(browser, served)
    before = served.get("/monitor").json()["total_inferences"]
    for _ in range(5):
        assert served.post("/infer", {"sequence": ROWS}).status == 200
    browser.wait(
        "[...document.querySelectorAll('#live-figures dd')].some("
        "(one) => Number(one.textContent.replaceAll(',', '')) >= arguments[0])",
        before + 5,
    )
    assert browser.wait("document.querySelector('#live-chart path.model')?.getAttribute('d')")
    assert browser.complaints() == []


def test_another_model_is_met_without_a_reload(browser, served, runs):
    enter(browser, served)
    before = text(browser, "#verdict"), text(browser, "#version")
    link = served.folder / "outputs" / "champion"
    link.with_name("next").symlink_to(runs[1])
    os.replace(link.with_name("next"), link)
    try:
        browser.wait("!document.querySelector('#horizon-field').hidden")
        version = served.get("/ui/model").json()["model_version"]
        assert before[1] != text(browser, "#version") == f"model {version}"
        browser.wait("document.querySelectorAll('#future-table tbody tr').length === 3")
        assert browser.complaints() == []
    finally:
        link.with_name("next").symlink_to(runs[0])
        os.replace(link.with_name("next"), link)
        served.wait(lambda: served.get("/ui/model").json()["horizon"] == 1, "the first model")


def test_all_of_it_by_keys(browser, served):
    enter(browser, served)
    reached = []
    for _ in range(60):
        browser.keys(Keys.TAB)
        reached.append(browser.script("return document.activeElement.id || document.activeElement.className"))
        if reached[-1] == "shown":
            break
    for wanted in ("skip", "ticker", "stage", "bars", "file", "shown"):
        assert wanted in reached, f"{wanted} is not reached by Tab: {reached}"
    browser.keys(Keys.ENTER)  # fills in the closes and goes to them
    assert browser.script("return document.activeElement.id") == "bars"
    browser.keys(Keys.TAB, Keys.TAB, Keys.ENTER)
    assert browser.wait("document.querySelector('#window-said').textContent")


def test_every_field_has_a_name_and_every_region_a_heading(browser, served):
    enter(browser, served)
    nameless = browser.script(
        "return [...document.querySelectorAll('input, textarea, button')]"
        ".filter((one) => !(one.labels?.length || one.textContent.trim() || one.getAttribute('aria-label')))"
        ".map((one) => one.outerHTML)"
    )
    assert nameless == []
    headless = browser.script(
        "return [...document.querySelectorAll('[aria-labelledby], [aria-describedby]')].filter((one) =>"
        " !document.getElementById(one.getAttribute('aria-labelledby') ?? one.getAttribute('aria-describedby')))"
        ".map((one) => one.outerHTML)"
    )
    assert headless == []
    ids = browser.script("return [...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))


def light(colour):
    """Relative luminance of `rgb(...)`, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_said_apart(browser, served, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    try:
        enter(browser, served)
        for selector in (
            "h1",
            "label",
            ".fields button[type=submit]",
            "#shown",
            "#bars",
            ".tiles dt",
            ".note",
        ):
            colours = browser.script(
                """
                let holder = document.querySelector(arguments[0]);
                const colour = getComputedStyle(holder).color;
                while (getComputedStyle(holder).backgroundColor === 'rgba(0, 0, 0, 0)') holder = holder.parentElement;
                return [colour, getComputedStyle(holder).backgroundColor];
                """,
                selector,
            )
            dark, bright = sorted(map(light, colours))
            assert (bright + 0.05) / (dark + 0.05) >= 4.5, selector
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
