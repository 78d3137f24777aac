"""GET /docs in a browser: every route, tried out, with the curl line, under the policy that lets nothing else run."""

import json

import pytest
from browsing import DESKTOP, PHONE
from paging import KEY
from selenium.webdriver.common.keys import Keys


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_route_is_tried_with_the_key(browser, locked, size):
    assert locked.get("/docs", Accept="text/html").status == 401
    browser.open(f"{locked.url}/docs", size)
    browser.wait("!document.querySelector('#login').hidden || document.querySelector('.opblock')")
    if browser.one("#login").is_displayed():
        assert browser.script("return document.activeElement.id") == "key"
        browser.keys("wrong", Keys.ENTER)
        browser.wait("document.querySelector('#trouble').textContent.includes('wrong one')")
        browser.keys(KEY, Keys.ENTER)
    routes = browser.wait("document.querySelectorAll('.opblock').length")
    document = locked.get("/openapi.json", X_API_Key=KEY).json()
    assert routes == sum(len(methods) for methods in document["paths"].values())
    assert browser.script("return document.documentElement.scrollWidth") <= size[0]
    browser.complaints()  # a browser notes every 401

    browser.one(".opblock-post button.opblock-summary-control").click()  # POST /infer is the first
    browser.wait("document.querySelector('.is-open button.execute')").click()
    browser.wait("document.querySelector('.is-open .live-responses-table tbody .response-col_status')")
    curl = browser.wait("document.querySelector('.is-open .curl')?.textContent")
    assert f"{locked.url}/infer" in curl
    assert f"X-API-Key: {KEY}" in curl
    status, answer = browser.script(
        "const table = document.querySelector('.is-open .live-responses-table tbody');"
        "return [table.querySelector('.response-col_status').textContent, table.querySelector('pre').textContent]"
    )
    assert status.startswith("200")
    assert json.loads(answer)["target"] == "close"
    assert browser.complaints() == []
    assert [url for url in browser.requests() if not url.startswith(locked.url)] == []
