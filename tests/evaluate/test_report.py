"""The report is one page that fetches nothing and believes no text."""

import base64
from html.parser import HTMLParser

import pytest

from forecast.evaluate import Verdict, from_table, report

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
VOID = {"meta", "img", "br"}
EVIL = "</pre><script src='https://evil.example/x.js'>alert(1)</script>\"&'"


class Page(HTMLParser):
    """Tags, attributes and texts of a page; fails where a tag is closed that was not open."""

    def __init__(self, source):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def of(self, tag):
        return [text for name, text in self.texts if name == tag]


@pytest.fixture
def written(tmp_path, walk):
    """A maker of reports; gives the source and the page."""

    def make(**changes):
        metrics = from_table(walk()) | {"epochs": 12, "val_loss": None}
        tickers = changes.pop("tickers", ["AAPL"])
        plots = []
        for name in ("learning_curves", "moves"):
            plots.append(tmp_path / f"{name}.png")
            plots[-1].write_bytes(PIXEL)
        given = {
            "verdict": Verdict(metrics=metrics, tickers=tickers, strategy="range_single", horizon=1),
            "metrics": metrics,
            "plots": plots,
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
    assert source.index("<h1>") < source.index("<table>") < source.index("<img") < source.index("<details>")
    assert set(verdict.legend) <= set(page.of("span"))
    figures = dict(
        zip(page.of("th")[-len(given["metrics"]) :], page.of("td")[-len(given["metrics"]) :], strict=True)
    )
    assert figures["epochs"] == "12"
    assert figures["val_loss"] == "-"


def test_plots_stand_inside(written):
    _, _, page = written()
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [image["alt"] for image in images] == [
        report.CAPTIONS["learning_curves"],
        report.CAPTIONS["moves"],
    ]
    for image in images:
        kind, data = image["src"].split(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data) == PIXEL


def test_every_picture_of_a_run_has_a_caption(tmp_path, walk):
    from forecast.evaluate import plots

    made = plots.write(tmp_path, forecasts=walk(days=200), history=[], ticker="AAPL", metrics={})
    assert {path.stem for path in made} == set(report.CAPTIONS)


def test_nothing_is_fetched(written):
    _, source, page = written()
    assert not {"script", "link", "iframe", "object", "base", "form"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "style"):
            assert attributes.get(name, "data:").startswith("data:")
    assert "//" not in source.split("base64,")[0]
    assert "url(" not in source
    policy = next(attributes for _, attributes in page.tags if "http-equiv" in attributes)
    assert policy["content"].startswith("default-src 'none';")


def test_a_phone_can_read_it(written):
    _, source, page = written()
    assert any(a.get("name") == "viewport" and "width=device-width" in a["content"] for _, a in page.tags)
    assert source.count("<table>") == source.count('<div class="wide"><table>')
    assert "max-width: 100%" in source


def test_texts_are_escaped_wherever_they_come_from(written):
    health = {EVIL: [{EVIL: EVIL}], "nested": {"deep": [[EVIL]], "list": [EVIL]}}
    _, source, page = written(tickers=[EVIL], health=health, config_text=EVIL, reproduce=EVIL)
    assert "script" not in {tag for tag, _ in page.tags}
    assert "<script" not in source
    told = [text for _, text in page.texts]
    assert sum(EVIL in text for text in told) >= 8


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
