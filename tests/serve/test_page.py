"""The page at /ui in a real browser, of a real server: it shows what the routes answer, and asks nobody else."""

import base64
import dataclasses
import hashlib
import os
import re

import pandas as pd
import pytest
from browsing import DESKTOP, PHONE
from commands import SMALL
from selenium.webdriver.common.keys import Keys
from service import serving

import forecast
from forecast.champion.candidate import from_directory
from forecast.champion.metadata import Choice, metadata
from forecast.data.sources import SampleSource
from forecast.errors import UserError
from forecast.serve.page.about import about
from forecast.serve.served import load_served

SIZES = [pytest.param(DESKTOP, id="desktop"), pytest.param(PHONE, id="phone")]
SHOWN = "document.querySelector('#future-said').textContent.includes('Last close')"
WIDER = """
return [...document.querySelectorAll('body *')].filter((element) =>
  !element.parentElement.closest('.wide, .skip') && !element.matches('.skip')
  && element.getBoundingClientRect().right > document.documentElement.clientWidth + 1
).map((element) => element.tagName + '.' + element.className)
"""

KEY = "open-sesame"


@pytest.fixture(scope="module")
def runs(bundle, tmp_path_factory):
    """Two models: one ticker a day ahead, and a panel three days ahead, whose bars are files."""
    folder = tmp_path_factory.mktemp("runs")
    source = SampleSource()
    (folder / "bars").mkdir()
    for ticker in ("AAPL", "IBM"):
        source.bars(ticker).to_csv(folder / "bars" / f"{ticker}.csv")
    files = ("source=files", f"source.path={folder / 'bars'}", "data.tickers=[AAPL,IBM]")
    panel = ("data=no_processing_panel", "data.horizon=3", "tracker=none", "baselines=none", *files)
    return [bundle, forecast.run(*SMALL, *panel, directory=folder / "panel").directory]


@pytest.fixture(scope="module")
def served(runs, tmp_path_factory):
    """A server of whatever `outputs/champion` leads to: at first the first model."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "outputs").mkdir()
    (folder / "outputs" / "champion").symlink_to(runs[0])
    with serving(folder) as service:
        yield service


@pytest.fixture(scope="module")
def locked(runs, tmp_path_factory):
    """A server of the second model that wants a key."""
    with serving(tmp_path_factory.mktemp("locked"), f"bundle={runs[1]}", f"api_key={KEY}") as service:
        yield service


def enter(browser, served, size=DESKTOP):
    """Open the page and wait until it shows a forecast."""
    browser.open(f"{served.url}/ui", size)
    browser.wait(SHOWN)
    browser.settle()


def text(browser, selector):
    return browser.script("return document.querySelector(arguments[0]).textContent", selector)


def price(value):
    """As the page writes one of 10 or more."""
    assert value >= 10
    return f"{value:,.2f}"


def paste(browser, content):
    """Type bars and ask for a forecast; the answer, or what is wrong."""
    browser.script(
        "document.querySelector('#window-said').textContent = '';"
        "document.querySelector('#bars').value = arguments[0]",
        content,
    )
    browser.one("#own button[type=submit]").click()
    return browser.wait(
        "document.querySelector('#window-said').textContent"
        " || document.querySelector('#window-trouble:not([hidden])')?.textContent"
    )


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
    told = text(browser, "#future-chart .spoken")
    assert "close " in told
    assert "model on test days " in told
    browser.script("arguments[0].scrollIntoView({block: 'center'})", stage)
    browser.hover(stage, across=0.985)
    read = text(browser, "#future-chart .readout")
    answer = served.get("/forecast/AAPL").json()
    assert read.startswith(answer["forecast"][0]["date"])
    assert f"{answer['forecast'][0]['prediction']:.6g}" in read


CSV = "Date,Open,High,Low,Close,Volume\n" + "\n".join(
    f"2024-01-{n + 1:02},9,{11 + n / 8},{10 + n / 8},{10.5 + n / 8},{1000 + n}" for n in range(25)
)
ROWS = [[11 + n / 8, 10 + n / 8, 10.5 + n / 8, 1000 + n] for n in range(25)]
SAME = [
    pytest.param(CSV, id="CSV with other columns"),
    pytest.param(CSV.replace(",", "\t"), id="spreadsheet"),
    pytest.param(CSV.replace(",", ";").replace(".", ","), id="decimal commas"),
    pytest.param("\n".join([CSV.splitlines()[0], *CSV.splitlines()[:0:-1]]), id="newest first"),
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
    assert ("turned round" in notes) == (content.splitlines()[-1].startswith("2024-01-01"))
    assert len(browser.all("#window-chart circle")) >= 1
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
def test_colours_can_be_told_apart(browser, served, scheme):
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


def test_policy_names_this_style_and_this_script_alone(served):
    answer = served.get("/ui")
    page = answer.body.decode()
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    for directive, tag in (("script-src", "script"), ("style-src", "style")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert policy.pop(directive) == f"'sha256-{digest}'"
    assert policy == {
        "default-src": "'none'",
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert " style=" not in page
    assert served.get("/ui/").body == answer.body
    again = served.get("/ui", If_None_Match=answer.headers["etag"])
    assert (again.status, again.body) == (304, b"")


def test_policy_stops_what_got_past(browser, served):
    enter(browser, served)
    browser.complaints()
    browser.script(
        """
        const script = document.createElement('script');
        script.textContent = 'window.hit = 1';
        document.body.append(script);
        document.body.insertAdjacentHTML('beforeend', '<p style="color: red" onclick="window.hit = 1">x</p>');
        fetch('https://forecast.example/').catch(() => {});
        """
    )
    browser.settle()
    assert browser.script("return window.hit ?? null") is None
    complaints = browser.complaints()
    for directive in ("script-src", "style-src", "connect-src"):
        assert any(directive in line for line in complaints), complaints


def test_record_is_the_runs_own(served, runs):
    table = pd.read_parquet(runs[0] / "forecasts.parquet")
    rows = table[(table["split"] == "test") & (table["step"] == 1) & (table["ticker"] == "AAPL")]
    told = served.get("/ui/record?ticker=AAPL&days=7").json()
    assert told.pop("ticker") == "AAPL"
    newest = rows.sort_values("date").tail(7)
    assert told.pop("dates") == [str(day.date()) for day in newest["date"]]
    for name, values in told.items():
        assert values == [None if pd.isna(value) else value for value in newest[name]], name
    assert len(served.get("/ui/record?ticker=AAPL").json()["dates"]) == min(500, len(rows))
    refused = served.get("/ui/record?ticker=NOSUCH")
    assert (refused.status, refused.detail()) == (404, "NOSUCH: the model has no test days of it")
    assert served.get("/ui/record?ticker=AAPL&days=0").status == 422
    assert served.get("/ui/record").status == 422


def test_a_champion_says_how_it_was_chosen(bundle):
    model = load_served(bundle)
    choice = Choice(metric="val_rmse", mode="min", candidates=24)
    told = metadata(from_directory(bundle), choice, number=3, audit="passed")
    assert about(model).champion == []
    champion = about(dataclasses.replace(model, metadata=told)).champion
    assert champion[0].startswith("Champion 3: ")
    assert "best of 24 candidates" in champion[1]
    with pytest.raises(UserError, match="its run directory is gone"):
        about(dataclasses.replace(model, directory=bundle / "nowhere"))


def test_a_key_is_asked_for_once(browser, locked):
    assert locked.get("/ui").detail()
    assert locked.get("/ui", Accept="text/html").status == 401
    browser.open(f"{locked.url}/ui", PHONE)
    browser.wait("!document.querySelector('#door').hidden")
    assert not browser.one("#main").is_displayed()
    assert browser.script("return document.activeElement.id") == "key"
    browser.keys("wrong", Keys.ENTER)
    assert (
        "no key, or a wrong one" in browser.wait("document.querySelector('#door-said').textContent").lower()
    )
    browser.keys(KEY, Keys.ENTER)
    browser.wait(SHOWN)
    assert not browser.one("#door").is_displayed()
    assert browser.script("return document.documentElement.scrollWidth") <= PHONE[0]
    browser.driver.refresh()  # kept as long as the tab
    browser.wait(SHOWN)
    assert KEY not in browser.script("return document.documentElement.outerHTML + location.href")
    assert {url for url in browser.requests() if not url.startswith(locked.url)} == set()
    browser.one("#forget").click()
    assert browser.wait("!document.querySelector('#door').hidden")
    assert browser.script("return sessionStorage.length") == 0
    browser.complaints()  # a browser notes every 401


def unlock(browser, locked):
    """Open the page with the key, which the tab may know already."""
    browser.open(f"{locked.url}/ui")
    browser.wait("!document.querySelector('#door').hidden || !document.querySelector('#main').hidden")
    if browser.one("#door").is_displayed():
        browser.one("#key").send_keys(KEY, Keys.ENTER)


def test_several_tickers_and_days(browser, locked):
    unlock(browser, locked)
    browser.wait(SHOWN)
    options = browser.script(
        "return [...document.querySelectorAll('#tickers option')].map((one) => one.value)"
    )
    assert options == ["AAPL", "IBM"]
    field = browser.one("#ticker")
    field.clear()
    field.send_keys("ibm")
    browser.script("document.querySelector('#horizon').value = 2")
    field.send_keys(Keys.ENTER)
    browser.wait("document.querySelector('#future-said').textContent.startsWith('IBM: ') && " + SHOWN)
    answer = locked.get("/forecast/IBM?horizon=2", X_API_Key=KEY).json()
    rows = browser.script(
        "return [...document.querySelectorAll('#future-table tbody tr')].map((row) => [...row.cells].map((c) => c.textContent))"
    )
    assert [row[:2] for row in rows] == [
        [day["date"], price(day["prediction"])] for day in answer["forecast"]
    ]
    assert len(rows) == 2
    said = paste(browser, "\n".join(str(100 + n / 4) for n in range(20)))
    body = {"sequence": [100 + n / 4 for n in range(20)]}
    answer = locked.post("/infer", body, X_API_Key=KEY).json()
    assert said.startswith(f"Next close: {price(answer['prediction'])}")
    rows = browser.script(
        "return [...document.querySelectorAll('#window-table tbody tr')].map((row) => row.cells[1].textContent)"
    )
    assert rows == [price(value) for value in answer["forecast"]]


def test_source_that_fails_leaves_the_rest(browser, locked, runs):
    bars = runs[1].parent / "bars"
    bars.rename(bars.with_name("gone"))
    try:
        unlock(browser, locked)
        shown = browser.wait("document.querySelector('#future-trouble:not([hidden])')?.textContent")
        assert shown.lower() == locked.get("/forecast/AAPL", X_API_Key=KEY).detail().lower()
        assert (
            len(browser.wait("document.querySelector('#future-chart path.model')?.getAttribute('d')")) > 100
        )
        assert paste(browser, CSV).startswith("Next close: ")
    finally:
        bars.with_name("gone").rename(bars)


def test_prices_that_were_adjusted_anew(browser, locked, runs):
    bars = runs[1].parent / "bars"
    before = {path: path.read_bytes() for path in bars.iterdir()}
    for path in before:
        table = pd.read_csv(path)
        table[["Open", "High", "Low", "Close"]] /= 2
        table.to_csv(path, index=False)
    try:
        unlock(browser, locked)
        browser.wait(SHOWN)
        assert "adjusted anew" in text(browser, "#future-notes")
        record = locked.get("/ui/record?ticker=AAPL&days=1", X_API_Key=KEY).json()
        stage = browser.one("#future-chart .stage")
        browser.script("arguments[0].focus()", stage)
        told = ""
        for _ in range(200):
            browser.keys(Keys.ARROW_RIGHT)
            told = text(browser, "#future-chart .spoken")
            if told.startswith(record["dates"][0]):
                break
        assert f"close {record['actual'][0] / 2:.6g}," in told
        assert f"model on test days {record['forecast'][0] / 2:.6g}" in told
    finally:
        for path, content in before.items():
            path.write_bytes(content)


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
