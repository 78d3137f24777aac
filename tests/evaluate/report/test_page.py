"""The report is one page that fetches nothing and believes no text."""

import base64
import hashlib
import re
from dataclasses import fields
from html import unescape

import numpy as np
import pytest
from evaluations import EVIL as TAG, evaluation
from pages import Page, specs

from forecast.evaluate import Verdict, from_table, report
from forecast.evaluate.report.page import CHART, PARALLEL, START, render
from forecast.evaluate.report.parts import Table
from forecast.finished_runs import Run

EVIL = "</pre><script src='https://evil.example/x.js'>alert(1)</script>\"&'"


@pytest.fixture
def written(tmp_path, walk):
    """A maker of reports; gives the source and the page."""

    def make(**changes):
        metrics = from_table(walk()) | {"epochs": 12, "val_loss": None}
        tickers = changes.pop("tickers", ["AAPL"])
        given = {
            "verdict": Verdict(metrics=metrics, tickers=tickers, strategy="range_single", horizon=1),
            "metrics": metrics,
            "health": {"rows": 3270, "faults": []},
            "config_text": "seed: 0\n",
            "reproduce": "python run.py -cd outputs/x -cn config",
        } | changes
        path = report.write(tmp_path / "run", **given)
        assert path == tmp_path / "run" / "report.html"
        assert [found.name for found in path.parent.iterdir()] == ["report.html"]
        source = path.read_text(encoding="utf-8")
        return given, source, Page(source)

    return make


def test_order_and_content(written):
    given, source, page = written()
    verdict = given["verdict"]
    (headline,) = page.of("h1")
    assert headline.lower() == verdict.sentence.lower()
    assert page.of("h2") == ["Plots", "Data", "Reproduce", "All figures and the config"]
    assert page.of("title") == [verdict.subject]
    assert page.of("pre") == ["python run.py -cd outputs/x -cn config", "seed: 0\n"]
    cells = [cell for row in verdict.cells for cell in row if cell]
    assert [text for tag, text in page.texts if tag in ("th", "td")][: len(cells)] == cells
    assert source.index("<h1 ") < source.index("<table>") < source.index("<details>")
    assert set(verdict.legend) <= set(page.of("span"))
    figures = dict(
        zip(page.of("th")[-len(given["metrics"]) :], page.of("td")[-len(given["metrics"]) :], strict=True)
    )
    assert figures["epochs"] == "12"
    assert figures["val_loss"] == "-"


def test_nothing_is_fetched(written):
    _, source, page = written()
    assert not {"link", "iframe", "object", "base", "form"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert "style" not in attributes
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "#").startswith("#")
    assert set(re.findall(r"\w*://[^\"\s]*", source)) == {
        "http://www.w3.org/2000/svg"
    }  # a name, not an address
    assert "url(" not in source
    policy = next(attributes for _, attributes in page.tags if "http-equiv" in attributes)
    assert policy["content"].startswith("default-src 'none';")
    assert "unsafe" not in policy["content"]


def test_a_phone_can_read_it(written):
    _, source, page = written()
    assert any(a.get("name") == "viewport" and "width=device-width" in a["content"] for _, a in page.tags)
    assert source.count("<table") == source.count('<div class="wide"><table') > 0


def test_texts_are_escaped_wherever_they_come_from(written):
    health = {EVIL: [{EVIL: EVIL}], "nested": {"deep": [[EVIL]], "list": [EVIL]}}
    _, source, page = written(tickers=[EVIL], health=health, config_text=EVIL, reproduce=EVIL)
    assert [tag for tag, _ in page.tags].count("script") == source.count("<script") == 1  # the page's own
    assert sum(EVIL in text for _, text in page.texts) >= 8


def test_bytes_that_are_no_text_do_not_stop_it(written):
    _, source, _ = written(reproduce="python run.py -cd out\udcff -cn config")
    assert "-cd out&#56575; -cn config" in source


def test_warnings_stand_above_the_table(written, walk):
    metrics = from_table(walk(knows=0.5, noise=0.0))
    leak = Verdict(metrics=metrics, tickers=["AAPL"], strategy="range_single", horizon=1)
    given, source, page = written(verdict=leak)
    (warning,) = leak.warnings
    assert f"Warning: {warning}" in page.of("p")
    assert source.index("suspect a leak") < source.index("<table>")
    assert given["verdict"] is leak


def test_an_earlier_report_is_replaced(written):
    written()
    _, _, page = written(config_text="seed: 1\n")
    assert page.of("pre")[1] == "seed: 1\n"


def test_sections_follow_the_records(written, walk):
    table = walk(days=300)
    history = [{"epoch": 0, "train_loss": 1.0, "val_loss": 0.9, "val_rmse": 1.1}]
    _, source, page = written(evaluation=evaluation(folds=3), forecasts=table, history=history)
    assert page.of("h2") == [
        "Folds",
        "Baselines",
        "Significance",
        "Intervals",
        "Figures of the field",
        "A trading rule, for illustration only",
        "Of my own",
        "Plots",
        "Data",
        "Reproduce",
        "All figures and the config",
    ]
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    titles = [attributes["id"] for tag, attributes in page.tags if tag == "h2"]
    assert links == [f"#{title}" for title in titles]
    assert "A record that nobody knows." in page.of("p")
    assert "A sketch, not a profit to be had." in page.of("p")
    assert "img" not in {tag for tag, _ in page.tags}  # drawn by the script instead
    assert set(specs(source)) >= {
        "AAPL: forecast and actual on test",
        "AAPL: errors on test",
        "Reliability of the intervals on test",
        "RMSE ratio to tomorrow = today by fold",
        "RMSE on val",
    }


def test_one_fold_has_no_section(written):
    _, _, page = written(evaluation=evaluation(folds=1))
    assert "Folds" not in page.of("h2")


def test_findings_stand_between_verdict_and_table(written):
    records = evaluation(folds=3)
    metrics = written()[0]["metrics"]
    verdict = Verdict(metrics=metrics, tickers=["A"], strategy="s", horizon=1, evaluation=records)
    _, source, page = written(verdict=verdict, evaluation=records)
    assert [item for item in page.of("li") if item][: len(verdict.findings)] == verdict.findings
    assert source.index("<h1 ") < source.index(verdict.findings[0]) < source.index("<table>")
    assert "drift" in page.of("th")


@pytest.mark.parametrize(
    ("changes", "tone"),
    [
        pytest.param({"test_theil_u": 1.2}, "bad", id="worse"),
        pytest.param({"test_theil_u": 0.5, "test_r2_oos": 0.75, "test_r2_oos_se": 0.01}, "good", id="better"),
        pytest.param(
            {"test_theil_u": 0.99, "test_r2_oos": 0.01, "test_r2_oos_se": 0.9}, "open", id="unclear"
        ),
        pytest.param({"test_rows": 0, "test_rmse": None}, "open", id="none"),
    ],
)
def test_colour_of_the_verdict_follows_its_words(written, changes, tone):
    metrics = written()[0]["metrics"] | changes
    verdict = Verdict(metrics=metrics, tickers=["A"], strategy="s", horizon=1)
    _, _, page = written(verdict=verdict)
    assert ("h1", {"class": tone}) in page.tags


def test_a_ticker_that_is_a_tag_stays_a_text(written, walk):
    table = walk(days=300, tickers=(TAG,))
    records = evaluation((TAG, "AAPL"), folds=2)
    _, source, page = written(tickers=[TAG, "AAPL"], evaluation=records, forecasts=table)
    assert "img" not in {tag for tag, _ in page.tags}
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert f"{TAG}: forecast and actual on test" in page.of("figcaption")
    assert TAG in specs(source)["Share of right signs by ticker, with Wilson's 95 % interval"]["x"]["names"]


@pytest.mark.parametrize(
    "records",
    [
        pytest.param(
            {"baselines": {}, "significance": {}, "intervals": {}, "field": {}, "folds": []}, id="empty"
        ),
        pytest.param(
            {"baselines": {"best": "naive", "figures": {"naive": {}}, "failed": {}}}, id="naive alone"
        ),
        pytest.param(
            {"significance": {"against": {"naive": {"squared": {"overall": {"p": None, "why": "no rows"}}}}}},
            id="no test",
        ),
        pytest.param(
            {"intervals": {"levels": [0.9], "pooled": {"90": {"coverage": None, "rows": 0}}, "tickers": {}}},
            id="no rows in intervals",
        ),
        pytest.param(
            {"folds": [{"fold": 0}, {"fold": 1, "metrics": {"test_theil_u": None}}]}, id="bare folds"
        ),
        pytest.param(
            {"field": {"overall": {"ic": None}}, "economics": {"label": "x", "strategy": {}}}, id="bare"
        ),
        pytest.param({"other": [], "more": None, "text": "said", "list": [1, 2]}, id="unknown"),
    ],
)
def test_records_may_lack_anything(written, records):
    metrics = written()[0]["metrics"]
    verdict = Verdict(metrics=metrics, tickers=["A"], strategy="s", horizon=1, evaluation=records)
    assert verdict.text
    written(verdict=verdict, evaluation=records, history=[])


def test_empty_test_split_is_said(written, walk):
    _, _, page = written(forecasts=walk(days=100).query("split == 'train'"))
    assert "no test rows and no epochs to draw" in page.of("p")


def test_ten_thousand_tickers_stay_a_page(written, walk):
    names = tuple(f"T{n}" for n in range(10_000))
    records = evaluation(names)
    _, source, page = written(evaluation=records, forecasts=walk(days=200), tickers=names)
    assert len(source) < 1_500_000
    assert page.of("p").count("500 of 10,000; evaluation.json has all of them.") == 3
    statistic = specs(source)[
        "Diebold-Mariano statistic against naive by ticker, above 0 where the model errs less"
    ]
    assert len(statistic["notes"]) == 1000
    assert (statistic["notes"][0], statistic["notes"][-1]) == ("T9999", "T0")  # the ends are never left out
    assert "T0" in page.of("th")  # the smallest p of all


def hashed(content):
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def rendered(*scripts, title="t"):
    lists = {"plots": [], "failures": [], "notes": []}
    texts = {"headline": "", "counts": "", "more": ""}
    table = Table(["a"], [])
    return render("leaderboard.html.j2", title=title, scripts=scripts, table=table, **lists, **texts).decode()


def test_policy_names_this_style_and_this_script_alone():
    page = rendered(*CHART, START)
    policy = unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1])
    style = re.search("<style>(.*?)</style>", page, re.DOTALL)[1]
    (script,) = re.findall("<script>(.*?)</script>", page, re.DOTALL)
    assert policy == (
        f"default-src 'none'; img-src data:; style-src {hashed(style)}; base-uri 'none'; form-action 'none'; "
        f"script-src {hashed(script)}"
    )
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_page_without_scripts_allows_none():
    page = rendered()
    assert "<script" not in page
    assert "script-src" not in page


def test_script_needs_no_evaluation_and_holds_no_markup():
    page = rendered(*CHART, PARALLEL, START)
    (script,) = re.findall("<script>(.*?)</script>", page, re.DOTALL)
    markup = ("innerHTML", "insertAdjacentHTML", "document.write")
    for word in ("eval(", "new Function", *markup, "fetch(", "import("):
        assert word not in script
    assert len(page) < 45_000  # hundreds of them stand in a sweep


def test_title_is_a_text():
    assert "<title>&lt;b&gt;</title>" in rendered(title="<b>")


def test_a_notebook_holds_the_page_as_an_attribute(tmp_path):
    source = "<p title=\"x\">'&amp;'</p>"
    (tmp_path / "report.html").write_text(source, "utf-8")
    framed = report.notebook_html(source)
    assert report.notebook_html(tmp_path) == report.notebook_html(tmp_path / "report.html") == framed
    (shown,) = re.findall(r'srcdoc="([^"<>]*)"', framed)
    assert unescape(shown) == source
    assert 'sandbox="allow-scripts"' in framed


def test_a_run_shows_itself_in_a_notebook(tmp_path):
    (tmp_path / "report.html").write_text("<p>verdict</p>", "utf-8")
    run = Run(**dict.fromkeys(field.name for field in fields(Run)) | {"directory": tmp_path})
    assert run._repr_html_() == report.notebook_html("<p>verdict</p>")


def test_words_follow_the_record(written, walk):
    """Of a target that is no price, on bars that are no days."""
    names = {"target": "volatility", "unit": "% a bar", "bar": "hour", "naive": "next = last"}
    table = walk(days=300).assign(date=lambda t: t["date"] + np.timedelta64(90, "m"))
    _, source, page = written(health=names, evaluation=evaluation(horizon=3), forecasts=table)
    plots = specs(source)
    assert plots["AAPL: forecast and actual on test"]["y"]["label"] == "volatility"
    (rolling,) = [plot for title, plot in plots.items() if title.endswith("RMSE of the last 44 hours")]
    assert rolling["y"]["label"] == "% a bar"
    assert [series["name"] for series in rolling["series"]] == ["next = last", "model"]
    moves = plots["AAPL: the moves forecast against the realised moves"]
    assert {note[11:] for note in moves["notes"] if note.startswith("20")} == {"01:30"}
    assert not rolling["x"]["whole"]
    assert moves["x"]["label"] == "move forecast, % a bar"
    (forecast, _) = moves["series"]
    (last,) = table[table["date"] == table["date"].max()].itertuples()
    place = moves["notes"].index(str(last.date)[:16])
    assert moves["x"]["values"][place] == pytest.approx(last.forecast - last.naive, abs=1e-4)
    assert forecast["values"][place] == pytest.approx(last.actual - last.naive, abs=1e-4)
    assert "hours ahead" in page.of("th")
    assert not [text for _, text in page.texts if "price units" in text]


def test_tests_of_intervals_risk_calibration_and_the_confidence_set_are_shown(written, walk):
    tickers = ("AAPL", "IBM")
    records = evaluation(tickers)
    records["intervals"] |= {
        "test": {"90": {"coverage": 0.82, "stat": -4.0, "p": 1e-4, "origins": 491, "fails": "low", "why": None,
                        "tickers": {"IBM": 0.78}}},
        "pit": [12, 10, 8, 10],
    }  # fmt: skip
    columns = {
        name: [0.011, 0.03] for name in ("violations", "simulated_violations", "pinball_ratio", "es_ratio")
    }
    columns |= {name: [0.6, 1e-4] for name in ("kupiec_p", "independence_p", "conditional_p")}
    entry = {name: values[1] for name, values in columns.items()}
    records["risk"] = {
        "method": "filtered historical simulation", "window": 1000, "simulated": 250, "split": "test", "rows": 982,
        "levels": {"1": {**entry, "tickers": {"ticker": list(tickers), "rows": [491, 491], **columns}}},
        "warnings": ["1 % value at risk does not hold: returns of IBM fell below it on 3.00 % of test days"],
        "lines": ["1 % value at risk: fallen below on 3.00 % of test days"],
    }  # fmt: skip
    records["calibration"] = {
        "bins": [{"forecast": 0.45, "observed": 0.5, "rows": 200}, {"forecast": 0.55, "observed": 0.52, "rows": 291}],
        "reliability": 0.001, "resolution": 0.0, "uncertainty": 0.25, "split": "test",
    }  # fmt: skip
    records["significance"]["confidence_set"] = {
        "size": 0.1, "origins": 491,
        "forecasters": {"forecaster": ["naive", "model"], "loss": [1.0, 1.1], "p": [1.0, 0.03],
                        "in_set": [True, False]},
    }  # fmt: skip
    metrics = from_table(walk())
    verdict = Verdict(
        metrics=metrics, tickers=tickers, strategy="range_single", horizon=1, evaluation=records
    )
    _, source, page = written(verdict=verdict, evaluation=records)
    assert {"Value at risk", "Calibration of the probabilities"} <= set(page.of("h2"))
    text = " ".join(text for _, text in page.texts)
    for words in (
        "Warning: 90 % intervals do not hold: they held 82.0 % of test outcomes (p < 0.001",
        "of IBM 78.0 %",
        "Warning: 1 % value at risk does not hold",
        "no: too few inside",
        "Model confidence set: which of all forecasts may be the best?",
    ):
        assert words in text, words
    assert {
        "Where outcomes fell in the forecast distribution (PIT)",
        "Reliability of the probabilities on test",
    } <= set(specs(source))
