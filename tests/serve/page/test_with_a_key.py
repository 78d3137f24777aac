"""Where a key is wanted; and a panel of tickers, days ahead, whose source is changed under it."""

import pandas as pd
from browsing import PHONE
from paging import CSV, KEY, SHOWN, paste, price, text, unlock
from selenium.webdriver.common.keys import Keys


def test_a_key_is_asked_for_once(browser, locked):
    assert locked.get("/ui").detail()
    assert locked.get("/ui", Accept="text/html").status == 401
    browser.open(f"{locked.url}/ui", PHONE)
    browser.script("sessionStorage.clear()")  # the tab may know the key from another test's page
    browser.open(f"{locked.url}/ui", PHONE)
    browser.wait("!document.querySelector('#login').hidden")
    assert not browser.one("#main").is_displayed()
    assert browser.script("return document.activeElement.id") == "key"
    browser.keys("wrong", Keys.ENTER)
    assert (
        "no key, or a wrong one"
        in browser.wait("document.querySelector('#login-trouble').textContent").lower()
    )
    browser.keys(KEY, Keys.ENTER)
    browser.wait(SHOWN)
    assert not browser.one("#login").is_displayed()
    assert browser.script("return document.documentElement.scrollWidth") <= PHONE[0]
    browser.driver.refresh()  # kept as long as the tab
    browser.wait(SHOWN)
    assert KEY not in browser.script("return document.documentElement.outerHTML + location.href")
    assert {url for url in browser.requests() if not url.startswith(locked.url)} == set()
    browser.one("#forget").click()
    assert browser.wait("!document.querySelector('#login').hidden")
    assert browser.script("return sessionStorage.length") == 0
    browser.complaints()  # a browser notes every 401


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
        stated = ""
        for _ in range(200):
            browser.keys(Keys.ARROW_RIGHT)
            stated = text(browser, "#future-chart .spoken")
            if stated.startswith(record["dates"][0]):
                break
        assert f"close {record['actual'][0] / 2:.6g}," in stated
        assert f"model on test bars {record['forecast'][0] / 2:.6g}" in stated
    finally:
        for path, content in before.items():
            path.write_bytes(content)
