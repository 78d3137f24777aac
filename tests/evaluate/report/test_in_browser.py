"""The pages in a real browser: drawn without a complaint or a request, readable on a phone, alive under hand."""

import re

import numpy as np
import pytest
from browsing import DESKTOP, PHONE, program
from evaluations import EVIL
from selenium.webdriver.common.keys import Keys

from forecast.evaluate import Verdict, report
from forecast.evaluate.report import notebook_html

SIZES = [pytest.param(DESKTOP, id="desktop"), pytest.param(PHONE, id="phone")]
KINDS = [
    pytest.param({}, id="one ticker"),
    pytest.param(
        {"tickers": (EVIL, *(f"T{n}" for n in range(40))), "folds": 4, "days": 250}, id="walk-forward panel"
    ),
    pytest.param({"tickers": ("AAPL", "MSFT"), "horizon": 5}, id="five steps"),
]
# What a chart has drawn: paths with points, dots and bars.
DRAWN = """
return [...document.querySelectorAll('figure.chart, figure.parallel')].map((figure) => [
  figure.querySelector('figcaption').textContent,
  [...figure.querySelectorAll('svg path')].filter((path) => path.getAttribute('d').length > 10).length
    + figure.querySelectorAll('svg circle, svg rect.bars').length,
  figure.querySelectorAll('svg text').length,
  /NaN|Infinity|undefined/.test(figure.querySelector('svg').outerHTML),
])
"""
WIDER = """
const wide = [...document.querySelectorAll('body *')].filter((element) => {
  const inside = element.parentElement.closest('.wide, pre');
  return !inside && element.getBoundingClientRect().right > document.documentElement.clientWidth + 1;
});
return [document.documentElement.scrollWidth, wide.map((element) => element.tagName + '.' + element.className)]
"""


def check(browser, page, size):
    """Open a page and hold it against all that every page must be."""
    browser.open(page, size)
    width, wider = browser.script(WIDER)
    assert width <= size[0]
    assert wider == []
    figures = browser.script(DRAWN)
    assert figures
    for title, drawn, labels, broken in figures:
        assert drawn > 0, f"nothing drawn: {title}"
        assert labels > 2, f"no axes: {title}"
        assert not broken, title
    assert browser.complaints() == []
    assert browser.requests() == []
    return [title for title, *_ in figures]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_report(browser, reported, kind, size):
    path, _ = reported(**kind)
    titles = check(browser, path, size)
    shown = kind.get("tickers", ("AAPL",))[0]
    assert any(title.startswith(f"{shown}") and "forecast and actual on test" in title for title in titles)
    assert "Reliability of the intervals on test" in titles
    assert ("RMSE ratio to tomorrow = today by fold" in titles) == (kind.get("folds", 1) > 1)
    assert browser.script("return window.hit ?? null") is None
    assert browser.all("img") == []


@pytest.mark.parametrize("size", SIZES)
def test_leaderboard(browser, leaderboard, size):
    titles = check(browser, leaderboard, size)
    assert titles == ["Settings against val_rmse", "Learning curves of all jobs: val_rmse"]
    assert browser.script("return window.hit ?? null") is None
    assert browser.all("img") == []


def chart(browser, title):
    """The figure whose caption ends so."""
    (found,) = [f for f in browser.all("figure") if browser.one("figcaption", f).text.endswith(title)]
    browser.script("arguments[0].scrollIntoView({block: 'center'})", found)
    return found


def path_of(browser, figure, kind):
    return browser.script(
        "return arguments[0].querySelector(arguments[1])?.getAttribute('d')", figure, f"path.{kind}"
    )


def tooltip(browser, figure):
    """What the readout says, as a heading and a mapping."""
    heading, *lines = browser.one(".readout", figure).text.split("\n")
    return heading, dict(line.split(": ", 1) for line in lines)


def number(text):
    return float(text.replace(",", ""))


def test_hover_tells_the_values_of_that_day(browser, reported):
    path, forecasts = reported()
    browser.open(path)
    figure = chart(browser, "forecast and actual on test")
    assert not browser.one(".readout", figure).is_displayed()
    browser.hover(browser.one(".stage", figure), 0.6, 0.5)
    day, lines = tooltip(browser, figure)
    (row,) = forecasts[(forecasts["date"] == day) & (forecasts["split"] == "test")].itertuples()
    assert number(lines["actual"]) == pytest.approx(row.actual, rel=1e-5)
    assert number(lines["tomorrow = today"]) == pytest.approx(row.naive, rel=1e-5)
    assert number(lines["model"]) == pytest.approx(row.forecast, rel=1e-5)
    low, high = lines["90 % interval"].split(" to ")
    assert [number(low), number(high)] == pytest.approx([row.lower, row.upper], rel=1e-5)
    # the day under the pointer, not just any
    days = forecasts[forecasts["split"] == "test"]["date"]
    share = (np.datetime64(day) - days.min()) / (days.max() - days.min())
    assert share == pytest.approx(0.62, abs=0.05)
    browser.hover(browser.one("h1"))
    assert not browser.one(".readout", figure).is_displayed()


def test_legend_hides_and_shows_a_line(browser, reported):
    browser.open(reported()[0])
    figure = chart(browser, "forecast and actual on test")
    (key,) = [button for button in browser.all(".keys button", figure) if button.text == "model"]
    assert key.get_attribute("aria-pressed") == "true"
    before = path_of(browser, figure, "model.line")
    key.click()
    assert key.get_attribute("aria-pressed") == "false"
    assert path_of(browser, figure, "model.line") is None
    browser.hover(browser.one(".stage", figure))
    assert "model" not in tooltip(browser, figure)[1]
    key.click()
    assert path_of(browser, figure, "model.line") == before


def test_drag_zooms_and_button_shows_all(browser, reported):
    browser.open(reported()[0])
    figure = chart(browser, "forecast and actual on test")
    stage = browser.one(".stage", figure)
    whole = path_of(browser, figure, "actual.line")
    browser.drag(stage, (0.4, 0.5), (0.6, 0.5))
    part = path_of(browser, figure, "actual.line")
    assert part.count("L") < 0.4 * whole.count("L")
    buttons = {button.text: button for button in browser.all(".tools button", figure)}
    buttons["→"].click()
    assert path_of(browser, figure, "actual.line") != part
    buttons["−"].click()
    assert path_of(browser, figure, "actual.line").count("L") > part.count("L")
    buttons["all"].click()
    assert path_of(browser, figure, "actual.line") == whole
    assert browser.complaints() == []


def test_keys_reach_and_read_every_plot(browser, reported):
    path, forecasts = reported()
    browser.open(path)
    figure = chart(browser, "forecast and actual on test")
    stage = browser.one(".stage", figure)
    browser.one(".keys button:last-of-type", figure).click()
    browser.keys(Keys.TAB)
    assert browser.script("return document.activeElement") == stage
    browser.keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    day, _ = tooltip(browser, figure)
    days = sorted(forecasts[forecasts["split"] == "test"]["date"])
    assert day == str(days[1].date())
    assert browser.one(".spoken", figure).get_attribute("textContent").startswith(f"{day}. 90 % interval ")
    whole = path_of(browser, figure, "actual.line")
    browser.keys("+")
    assert path_of(browser, figure, "actual.line") != whole
    browser.keys(Keys.ESCAPE)
    assert path_of(browser, figure, "actual.line") == whole
    assert not browser.one(".readout", figure).is_displayed()


@pytest.mark.parametrize("count", [3, 30])
def test_nearest_point_is_named(browser, reported, count):
    names = ("AAPL", *(f"T{n}" for n in range(count - 2)), "<b>")
    browser.open(reported(names, folds=2, days=200)[0])
    figure = chart(browser, "above 0 where the model errs less")
    browser.hover(browser.one("circle", figure))
    # a few tickers stand along the axis, many are counted
    assert tooltip(browser, figure)[0] == ("<b>" if count == 3 else "<b>; tickers, smallest first 1")
    assert number(tooltip(browser, figure)[1]["statistic"]) == pytest.approx(1.25 - 0.1 * (count - 1))
    browser.script("arguments[0].focus()", browser.one(".stage", figure))
    browser.keys(Keys.ARROW_RIGHT)
    assert tooltip(browser, figure)[0].startswith(f"T{count - 3}")


def column(browser, table, place):
    return browser.script(
        "return [...arguments[0].tBodies[0].rows].map((row) => row.cells[arguments[1]].textContent)",
        table,
        place,
    )


def test_tables_sort_by_a_click(browser, leaderboard):
    browser.open(leaderboard)
    table = browser.one("table.sortable")
    heads = browser.all("thead th", table)
    place = [head.text for head in heads].index("val_rmse")
    heads[0].find_element("tag name", "button").click()
    assert column(browser, table, 0) == [str(n) for n in range(1, 13)]
    assert heads[0].get_attribute("aria-sort") == "ascending"
    key = heads[place].find_element("tag name", "button")
    for down in (False, True):
        key.click()
        found = column(browser, table, place)
        assert found[-1] == "-"  # unknown stays last whichever way
        assert [float(value) for value in found[:-1]] == sorted(map(float, found[:-1]), reverse=down)
    assert heads[place].get_attribute("aria-sort") == "descending"
    assert heads[0].get_attribute("aria-sort") is None
    (best,) = browser.all("tr.best", table)
    assert best.find_element("tag name", "th").text == "12"


def test_parallel_coordinates(browser, leaderboard):
    browser.open(leaderboard)
    figure = chart(browser, "Settings against val_rmse")
    assert len(browser.all("path.job", figure)) == 11
    assert browser.one(".tools", figure).text.startswith("11 of 11 jobs")
    stage = browser.one(".stage", figure)
    browser.script("arguments[0].focus()", stage)
    browser.keys(Keys.ARROW_RIGHT)
    heading, lines = tooltip(browser, figure)
    assert heading == "job 12, finished"
    assert lines["data"] == EVIL
    assert number(lines["val_rmse"]) == 1.17
    # the best six by a drag along the axis of the objective
    width = stage.size["width"]
    low, high = ((310 - share * 270) / stage.size["height"] for share in (-0.03, 0.55))
    browser.drag(stage, (1 - 46 / width, low), (1 - 46 / width, high))
    assert browser.one(".tools", figure).text.startswith("6 of 11 jobs")
    assert len(browser.all("path.job.out", figure)) == 5
    browser.keys(Keys.ESCAPE)
    assert browser.one(".tools", figure).text.startswith("11 of 11 jobs")
    assert browser.complaints() == []


def test_policy_stops_what_got_past_the_escaping(browser, reported):
    browser.open(reported()[0])
    browser.script(
        """
        const script = document.createElement('script');
        script.textContent = 'window.hit = 1';
        document.body.append(script);
        document.body.insertAdjacentHTML('beforeend', '<img src="x" onerror="window.hit = 1">');
        fetch('https://forecast.example/').catch(() => {});
        """
    )
    browser.settle()
    assert browser.script("return window.hit ?? null") is None
    complaints = browser.complaints()
    for directive in ("script-src", "default-src"):
        assert any(directive in text and "Content Security Policy" in text for text in complaints)
    assert browser.requests() == []


def light(colour):
    """Relative luminance of `rgb(...)`, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_told_apart(browser, reported, scheme):
    browser.open(reported()[0])
    browser.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    try:
        for selector in (
            "body",
            "h1",
            ".subject",
            ".legend",
            "nav a",
            ".keys button",
            "svg text",
            "svg path.line",
        ):
            text, ground = browser.script(
                """
                const element = document.querySelector(arguments[0]);
                const style = getComputedStyle(element);
                const drawn = element instanceof SVGElement;
                let holder = element;
                while (getComputedStyle(holder).backgroundColor === 'rgba(0, 0, 0, 0)') holder = holder.parentElement;
                const colour = !drawn ? style.color : style.fill === 'none' ? style.stroke : style.fill;
                return [colour, getComputedStyle(holder).backgroundColor];
                """,
                selector,
            )
            one, other = sorted((light(text), light(ground)))
            contrast = (other + 0.05) / (one + 0.05)
            assert contrast >= (3 if selector.endswith("path.line") else 4.5), selector
        assert (light(browser.script("return getComputedStyle(document.body).backgroundColor")) < 0.1) == (
            scheme == "dark"
        )
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_on_paper(browser, reported, leaderboard):
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        for page in (reported(("AAPL", EVIL, "MSFT"), folds=3)[0], leaderboard):
            browser.open(page, (700, 990))  # A4 with margins
            width, wider = browser.script(WIDER)
            assert width <= 700
            assert wider == []
            assert not any(part.is_displayed() for part in browser.all("nav, .chart .tools, .readout"))
            assert browser.script(DRAWN)[0][1] > 0
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_inside_another_page(browser, reported, tmp_path):
    page = tmp_path / "notebook.html"
    page_in_frame = notebook_html(reported()[0].parent)
    page.write_text(f"<!DOCTYPE html><title>notebook</title><p>before</p>{page_in_frame}", "utf-8")
    browser.open(page)
    browser.driver.switch_to.frame(browser.one("iframe"))
    try:
        browser.settle()
        assert browser.script(DRAWN)[0][1] > 0
    finally:
        browser.driver.switch_to.default_content()
    assert browser.complaints() == []
    assert browser.requests() == []


def test_a_missing_browser_is_a_failure_that_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "none"))
    with pytest.raises(AssertionError, match="apt-get install chromium chromium-driver"):
        program("CHROMIUM")


def test_hours_are_read_and_ticked(browser, walk, tmp_path):
    """Bars within a day: hover names the time, and a close look has ticks of hours."""
    start = np.datetime64("2024-03-04T09:00", "ns")
    table = walk(days=300)
    table["date"] = start + np.arange(len(table)) * np.timedelta64(1, "h")
    page = report.write(
        tmp_path,
        verdict=Verdict(metrics={}, tickers=["AAPL"], strategy="s", horizon=1),
        metrics={},
        health={"bar": "hour"},
        config_text="",
        reproduce="",
        forecasts=table,
    )
    browser.open(page)
    figure = chart(browser, "forecast and actual on test")
    labels = browser.script(
        "return [...arguments[0].querySelectorAll('.axes text')].map((t) => t.textContent)", figure
    )
    assert "12:00" in labels
    browser.hover(browser.one(".stage", figure))
    heading, _ = tooltip(browser, figure)
    assert re.fullmatch(r"2024-03-\d\d( \d\d:00)?", heading)
