"""The page at /ui, as a person has it before them."""

from browsing import DESKTOP
from selenium.webdriver.common.keys import Keys

KEY = "open-sesame"
SHOWN = "document.querySelector('#future-said').textContent.includes('Last close')"
CSV = "Date,Open,High,Low,Close,Volume\n" + "\n".join(
    f"2024-01-{n + 1:02},9,{11 + n / 8},{10 + n / 8},{10.5 + n / 8},{1000 + n}" for n in range(25)
)
ROWS = [[11 + n / 8, 10 + n / 8, 10.5 + n / 8, 1000 + n] for n in range(25)]


def enter(browser, served, size=DESKTOP):
    """Open the page and wait until it shows a forecast."""
    browser.open(f"{served.url}/ui", size)
    browser.wait(SHOWN)
    browser.settle()


def unlock(browser, locked):
    """Open the page with the key, which the tab may know already."""
    browser.open(f"{locked.url}/ui")
    browser.wait("!document.querySelector('#login').hidden || !document.querySelector('#main').hidden")
    if browser.one("#login").is_displayed():
        browser.one("#key").send_keys(KEY, Keys.ENTER)


def text(browser, selector):
    """What stands in an element."""
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
