"""What the page is made of and asks for: its policy, the record of the test days, the verdict."""

import base64
import dataclasses
import hashlib
import re

import pandas as pd
import pytest
from paging import enter

from forecast.champion.candidate import from_directory
from forecast.champion.metadata import Choice, champion_metadata
from forecast.errors import UserError
from forecast.serve.model_store import load_model
from forecast.serve.routes.ui import model_card


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
    said = served.get("/ui/record?ticker=AAPL&days=7").json()
    assert said.pop("ticker") == "AAPL"
    newest = rows.sort_values("date").tail(7)
    assert said.pop("dates") == [str(day.date()) for day in newest["date"]]
    for name, values in said.items():
        assert values == [None if pd.isna(value) else value for value in newest[name]], name
    assert len(served.get("/ui/record?ticker=AAPL").json()["dates"]) == min(500, len(rows))
    refused = served.get("/ui/record?ticker=NOSUCH")
    assert (refused.status, refused.detail()) == (404, "NOSUCH: the model has no test days of it")
    assert served.get("/ui/record?ticker=AAPL&days=0").status == 422
    assert served.get("/ui/record").status == 422


def test_a_champion_says_how_it_was_chosen(bundle):
    model = load_model(bundle)
    choice = Choice(metric="val_rmse", mode="min", candidates=24)
    said = champion_metadata(from_directory(bundle), choice, number=3, audit="passed")
    assert model_card(model).champion == []
    champion = model_card(dataclasses.replace(model, metadata=said)).champion
    assert champion[0].startswith("Champion 3: ")
    assert "best of 24 candidates" in champion[1]
    with pytest.raises(UserError, match="its run directory is gone"):
        model_card(dataclasses.replace(model, directory=bundle / "nowhere"))
