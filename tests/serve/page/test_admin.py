"""What an operator does on the page: champions, rollback, training; each asks for the admin key."""

import csv
import io
import re
import shutil

import pytest
from browsing import DESKTOP, PHONE
from paging import enter, text
from retraining import World, make_run, write_bars
from selenium.webdriver.common.keys import Keys
from service import serving

from forecast.serve.routes.ui import list_champions

ADMIN = "admin-sesame"


@pytest.fixture(scope="module")
def operated(tmp_path_factory):
    """A server of the second of two champions, with an admin key."""
    folder = tmp_path_factory.mktemp("operated")
    write_bars(folder / "bars")
    world = World(folder, make_run(folder / "run", folder / "bars"))
    world.promote()
    world.promote(world.another_run("other", "seed=1"))
    with serving(folder, f"admin_key={ADMIN}", "champion_poll_s=0.1") as service:
        yield service


def rows(browser):
    return browser.script(
        "return [...document.querySelectorAll('#champions tbody tr')].map((row) => [...row.cells].map((c) => c.textContent))"
    )


def test_champions_rollback_and_training(browser, operated):
    enter(browser, operated, PHONE)
    browser.wait("document.querySelectorAll('#champions tbody tr').length === 2")
    assert [(row[0][:2], row[1]) for row in rows(browser)] == [("2-", "current"), ("1-", "kept")]
    assert all("val_rmse" in row[3] and "tomorrow = today" in row[4] for row in rows(browser))
    button = browser.one("#rollback")
    browser.script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    assert "Yes" in button.text  # nothing happened yet
    assert operated.get("/ui/champions").json()["champions"][0]["current"]
    browser.complaints()
    button.click()
    browser.wait("!document.querySelector('#admin-login').hidden")
    assert browser.script("return document.activeElement.id") == "admin-key"
    browser.keys("wrong", Keys.ENTER)
    browser.wait("document.querySelector('#admin-login-trouble').textContent.includes('wrong one')")
    browser.keys(ADMIN, Keys.ENTER)
    browser.wait("document.querySelector('#job').textContent.startsWith('Back to 1-')")
    browser.wait("document.querySelector('#version').textContent.startsWith('model 1-')")
    browser.wait("document.querySelector('#champions tbody tr').cells[1].textContent === 'rolled back'")
    assert [(row[0][:2], row[1]) for row in rows(browser)] == [("2-", "rolled back"), ("1-", "current")]
    assert not button.is_enabled()  # there is none before it
    assert browser.script("return document.documentElement.scrollWidth") <= PHONE[0]
    browser.complaints()  # a browser notes every 401

    browser.one("#retrain").click()  # with the key that the tab knows by now
    assert browser.wait("document.querySelector('#cancel:not([hidden])') !== null")
    assert browser.wait("document.querySelector('#job-progress:not([hidden])') !== null")
    done = browser.wait(
        "/^(Kept|Promoted) after/.test(document.querySelector('#job').textContent)", seconds=120
    )
    assert done
    assert "of the champion" in text(browser, "#job")
    assert "epoch 0" in text(browser, "#job-log")  # what the job printed, without paths of the server
    assert str(operated.folder) not in text(browser, "#job-log")
    assert not browser.one("#cancel").is_displayed()
    assert browser.complaints() == []


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_two_champions_are_compared_by_keyboard(browser, operated, size):
    enter(browser, operated, size)
    browser.wait("!document.querySelector('#compare').hidden")
    browser.script("document.querySelector('#compare-first').focus()")
    browser.keys(Keys.TAB, Keys.TAB, Keys.ENTER)  # to the other one, to the button
    names = [one["name"] for one in operated.get("/ui/champions").json()["champions"]][:2][::-1]
    rows = browser.wait(
        "[...document.querySelectorAll('#comparison tr')].map((row) => [...row.cells].map((c) => c.textContent))"
    )
    assert rows[0][1:3] == names
    table = {row[0]: row[1:] for row in rows[1:]}
    kept = {one["name"]: one for one in operated.get("/ui/champions").json()["champions"]}
    for place, name in enumerate(names):
        assert float(table["test_rmse"][place]) == pytest.approx(kept[name]["figures"]["test_rmse"], rel=1e-4)
    assert table["target"][0] == "close"
    assert browser.script("return document.documentElement.scrollWidth") <= size[0]
    assert browser.complaints() == []


def test_what_it_is_and_which_year(browser, operated):
    enter(browser, operated, PHONE)
    assert "forecasts close (price)" in text(browser, "#model")
    assert operated.get("/ui/model").json()["model_version"] in text(browser, "#model")
    champions, served = operated.get("/ui/champions").json(), operated.get("/monitor").json()["model"]
    made = {operated.get("/config").json()["metadata"]["exported_at"], served["exported_at"]}
    assert made <= {one["promoted"] for one in champions["champions"]}
    assert all(time.endswith("Z") for time in made)
    ticks = browser.script(
        "return [...document.querySelectorAll('#future-chart svg text')].map((one) => one.textContent)"
    )
    assert any(re.search(r"\b(19|20)\d\d\b", tick) for tick in ticks), ticks


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_controls_are_large_enough_and_what_is_wide_is_seen_to_scroll(browser, operated, size, scheme):
    browser.colours(scheme)
    try:
        enter(browser, operated, size)
        small = browser.script(
            "return [...document.querySelectorAll('button, input:not([type=file]), textarea, select, summary, footer a')]"
            ".filter((one) => one.offsetParent && one.getBoundingClientRect().height < 44).map((one) => one.outerHTML)"
        )
        assert small == []
        hidden = browser.script(
            "return [...document.querySelectorAll('.wide')].filter((one) => one.offsetParent && one.scrollWidth > one.clientWidth"
            " && one.offsetHeight - one.clientHeight < 8).map((one) => one.getAttribute('aria-label'))"
        )
        assert hidden == []  # each has a bar that shows it
        paper, ink = browser.script(
            "const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]"
        )
        light = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (paper, ink)]
        assert (light[0] > light[1]) is (scheme == "light")
    finally:
        browser.colours("light")


def test_every_control_is_reached_by_the_keyboard(browser, operated):
    enter(browser, operated)
    wanted = browser.script(
        "return [...document.querySelectorAll('button, input, textarea, select, summary, a')]"
        ".filter((one) => one.offsetParent && !one.disabled && one.tabIndex >= 0).length"
    )
    browser.script(
        "document.body.focus(); window.reached_ = new Set();"
        "document.addEventListener('focusin', (event) => window.reached_.add(event.target))"
    )
    for _ in range(wanted + 40):  # charts and tables that scroll are on the way
        browser.keys(Keys.TAB)
    missed = browser.script(
        "return [...document.querySelectorAll('button, input, textarea, select, summary, a')]"
        ".filter((one) => one.offsetParent && !one.disabled && one.tabIndex >= 0 && !window.reached_.has(one)).map((one) => one.outerHTML)"
    )
    assert missed == []


def test_forecasts_as_a_file(browser, operated):
    enter(browser, operated)
    browser.script(
        "URL.createObjectURL = (blob) => { blob.text().then((text) => { window.savedTable = text; }); return 'blob:none'; };"
        "HTMLAnchorElement.prototype.click = function () { window.name_ = this.download; };"
    )
    browser.one("#download").click()
    table = list(csv.DictReader(io.StringIO(browser.wait("window.savedTable"))))
    assert browser.script("return window.name_") == "AAA.csv"
    assert {row["unit"] for row in table} == {"price"}
    record = operated.get("/ui/record?ticker=AAA").json()
    of_day = {row["date"]: row for row in table}
    for day, forecast in zip(record["dates"], record["forecast"], strict=True):
        assert float(of_day[day]["model"]) == pytest.approx(forecast)
    ahead = operated.get("/forecast/AAA").json()["forecast"][0]
    assert float(of_day[ahead["date"]]["forecast"]) == pytest.approx(ahead["prediction"])
    browser.script(  # as of a model of hourly bars
        "const real = window.fetch; window.savedTable = null; window.fetch = async (...asked) => {"
        "  const reply = await real(...asked);"
        "  if (!String(asked[0]).includes('/forecast/')) return reply;"
        "  const text = (await reply.text()).replace(/(\\d{4}-\\d\\d-\\d\\d)\"/g, '$1T15:30Z\"');"
        "  return new Response(text, { headers: reply.headers });"
        "};"
    )
    browser.one("#ask button[type=submit]").click()
    browser.wait("document.querySelector('#future-said').textContent.includes('15:30 UTC')")
    browser.one("#download").click()
    hourly = list(csv.DictReader(io.StringIO(browser.wait("window.savedTable"))))
    assert float(hourly[-1]["forecast"]) == pytest.approx(ahead["prediction"])
    assert hourly[-1]["date"] == f"{ahead['date']}T15:30Z"


def test_a_link_that_is_none_of_ours_has_no_champions(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "champion").symlink_to(tmp_path / "run")
    found = list_champions(tmp_path / "champion")
    assert found.champions == []
    assert "no champion of" in found.note
    shutil.rmtree(tmp_path / "run")
    assert list_champions(tmp_path / "nothing").note == "there is no champion yet"
