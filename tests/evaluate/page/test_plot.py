"""What a plot hands to the script."""

import json
import math

import numpy as np
import pytest

from forecast.evaluate.page.plot import Plot, Series, rounded
from forecast.evaluate.page.ticker_plots import MOST, ticker_plot


def spec(html):
    return json.loads(html.split('<script type="application/json">')[1].split("</script>")[0])


def test_numbers_keep_the_digits_that_show():
    assert rounded([12345.678901, 0.1234567]) == [12345.68, 0.12]
    assert rounded([1.23456789e-7, None, math.nan, math.inf, 0.0]) == [1.234568e-7, None, None, None, 0.0]
    assert rounded(np.array([1e300, 1.0])) == [1e300, 1.0]
    assert rounded([]) == []


def test_no_text_ends_the_data():
    evil = "</script><script>alert(1)</script><!--"
    series = Series(name=evil, kind="line", role="model", values=[1.0, 2.0])
    html = Plot(title=evil, names=[evil, "b"], series=[series]).html()
    assert html.count("<script") == html.count("</script>") == 1
    assert "<!--" not in html
    assert spec(html)["x"]["names"] == [evil, "b"]
    assert spec(html)["series"][0]["name"] == evil


def test_bytes_that_are_no_text_stay_data():
    html = Plot(
        title="t", names=["a\udcff"], series=[Series(name="s", kind="dots", role="model", values=[1.0])]
    ).html()
    assert "\\udcff" in html


def test_nothing_to_draw_is_said():
    html = Plot(title="t", x=[], series=[]).html()
    assert "nothing to draw" in html
    assert "chart" not in html


@pytest.mark.parametrize("values", [[], [None, None], [1.0, None]], ids=["none", "unknown", "one"])
def test_a_plot_of_tickers_wants_two(values):
    names = [f"T{n}" for n in range(len(values))]
    assert ticker_plot("t", names, values, y_label="y", level=(0.0, "l")) is None


def test_tickers_stand_by_size_and_the_ends_stay():
    names = [f"T{n}" for n in range(5000)]
    values = [float(n * 7 % 5000) for n in range(5000)]
    drawn = spec(ticker_plot("t", names, values, y_label="y", level=(0.0, "l")).html())
    (series,) = drawn["series"]
    assert len(series["values"]) == len(drawn["notes"]) == MOST
    assert series["values"] == sorted(series["values"])
    assert (series["values"][0], series["values"][-1]) == (0.0, 4999.0)
    assert [values[names.index(name)] for name in drawn["notes"]] == series["values"]
