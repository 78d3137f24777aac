"""POST /infer takes whatever a caller can send, says what is wrong with it in a line, and is as it was before."""

import json

import numpy as np
import pandas as pd
import pytest
from commands import SMALL
from exchange import list_bars
from markets import random_bars
from service import in_process, window
from trained import run_without_plots

from forecast.serve.model_store import load_model

ROW = b"[101,99,100,1000]"
ROWS = window(20)


def sequence(*rows):
    return b'{"sequence":[' + b",".join(rows) + b"]}"


def but_last(row):
    """A good window whose last row is another."""
    return sequence(*[ROW] * 19, row)


# body -> status, and what the answer must name
BODIES = {
    "nan": (but_last(b"[101,99,NaN,1]"), 400, "row 20, number 3 is not finite"),
    "infinity": (but_last(b"[Infinity,99,100,1]"), 400, "row 20, number 1 is not finite"),
    "minus-infinity": (but_last(b"[101,-Infinity,100,1]"), 400, "row 20, number 2 is not finite"),
    "1e999": (but_last(b"[101,99,1e999,1]"), 400, "row 20, number 3 is not finite"),
    "400-digits": (but_last(b"[101,99," + b"9" * 400 + b",1]"), 400, "row 20, number 3 is not finite"),
    "5000-digits": (but_last(b"[101,99," + b"9" * 5000 + b",1]"), 422, "out of range"),
    "too-large": (but_last(b"[1e300,99,100,1]"), 400, "row 20, number 1 is 1e+300; is too large"),
    "too-small": (sequence(*[b"[1e-300,1e-300,1e-300,1]"] * 20), 400, "no finite forecast"),
    "steep": (sequence(*[b"[1e38,1e38,1e38,1]"] * 19, b"[1,1,1,1]"), 400, "no finite forecast"),
    "zero-price": (but_last(b"[101,99,0,1]"), 400, "row 20, number 3 is 0; a price must be above 0"),
    "negative-price": (but_last(b"[101,99,-100,1]"), 400, "number 3 is -100; a price must be above 0"),
    "negative-volume": (but_last(b"[101,99,100,-1]"), 400, "number 4 is -1; a volume must be 0 or more"),
    "text": (but_last(b'["101",99,100,1]'), 422, "sequence.19.0: Input should be a valid number"),
    "truth": (but_last(b"[true,99,100,1]"), 422, "sequence.19.0: Input should be a valid number"),
    "null": (but_last(b"null"), 422, "sequence.19: Input should be a valid array"),
    "null-number": (but_last(b"[101,99,null,1]"), 422, "sequence.19.2: Input should be a valid number"),
    "text-among-closes": (
        sequence(*[b"100"] * 19, b'"100"'),
        422,
        "sequence.19: Input should be a valid number",
    ),
    "ragged-short": (but_last(b"[101,99,100]"), 400, "rows of different lengths"),
    "ragged-long": (but_last(b"[101,99,100,1,1]"), 400, "rows of different lengths"),
    "row-among-closes": (sequence(*[b"100"] * 19, ROW), 422, "sequence.19"),
    "narrow": (
        sequence(*[b"[101,99,100]"] * 20),
        400,
        "rows of 3 numbers; expected 4: High, Low, Close, Volume",
    ),
    "wide": (sequence(*[b"[101,99,100,1,1]"] * 20), 400, "rows of 5 numbers; expected 4"),
    "one-row": (sequence(ROW), 400, "too short, got 1 rows; expected 20"),
    "one-row-less-than-half": (sequence(*[ROW] * 9), 400, "too short, got 9 rows; expected 20"),
    "one-close": (sequence(b"100"), 400, "too short, got 1 rows; expected 20"),
    "no-rows": (sequence(), 400, "is empty"),
    "empty-row": (sequence(b"[]"), 422, "sequence.0: List should have at least 1 item"),
    "million-rows": (sequence(*[ROW] * 1_000_000), 413, "at most 1,048,576"),
    "60-megabytes": (b"x" * 60_000_000, 413, "the body has 60,000,000 bytes; at most 1,048,576"),
    "many-texts": (sequence(*[b'"1"'] * 9_000), 422, "sequence.0"),
    "deep-arrays": (b"[" * 100_000, 413, "at most 2,500 are taken"),
    "deep-sequence": (
        b'{"sequence":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        413,
        "at most 2,500 are taken",
    ),
    "deep-objects": (b'{"sequence":' * 70_000 + b"1" + b"}" * 70_000, 422, "recursion limit"),
    "nothing": (b"", 422, "EOF"),
    "brace": (b"{", 422, "EOF"),
    "half": (but_last(ROW)[:-40], 422, "EOF"),
    "no-text": (b"\xff\xfe\x00", 422, "expected value"),
    "array": (b"[]", 422, "Input should be an object"),
    "number": (b"1", 422, "Input should be an object"),
    "no-sequence": (b"{}", 422, "sequence: Field required"),
    "object-sequence": (b'{"sequence":{"0":1}}', 422, "sequence: Input should be a valid array"),
    "unknown-key": (b'{"sequence":[1],"sequences":[1]}', 422, "sequences: Extra inputs"),
    "key-with-line-breaks": (b'{"sequence":[1],"a\\nb\\u2028c":1}', 422, "a b c: Extra inputs"),
    "long-key": (b'{"sequence":[1],"' + b"a" * 100_000 + b'":1}', 422, "a: Extra inputs"),
    "ticker-number": (b'{"sequence":[1],"ticker":5}', 422, "ticker: Input should be a valid string"),
    "ticker-empty": (b'{"sequence":[1],"ticker":""}', 422, "ticker: "),
    "ticker-long": (b'{"sequence":[1],"ticker":"' + b"A" * 33 + b'"}', 422, "ticker: "),
    "ticker-line-break": (b'{"sequence":[1],"ticker":"A\\nB"}', 422, "ticker: "),
    "ticker-separator": (b'{"sequence":[1],"ticker":"A\\u2028B"}', 422, "ticker: "),
    "ticker-half-a-letter": (b'{"sequence":[1],"ticker":"\\ud800"}', 422, "hex escape"),
}


@pytest.fixture(scope="module")
def service(app):
    return app


@pytest.mark.parametrize(("body", "status", "says"), BODIES.values(), ids=BODIES.keys())
def test_says_what_is_wrong(service, body, status, says):
    reply = service.post("/infer", body)
    assert reply.status == status
    assert says in reply.detail()
    assert len(reply.detail()) < 300


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ";"]
)
def test_wrong_content_type(service, kind):
    reply = service.post("/infer", {"sequence": ROWS}, Content_Type=kind)
    assert reply.status == 422
    assert reply.detail().startswith("Content-Type: ")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/vnd.bars+json", None])
def test_content_types_that_are_json(service, kind):
    named = {} if kind is None else {"Content_Type": kind}
    assert service.ask("POST", "/infer", json.dumps({"sequence": ROWS}).encode(), **named).status == 200


def test_a_byte_order_mark_is_no_part_of_the_body(service):
    body = b"\xef\xbb\xbf" + json.dumps({"sequence": ROWS}).encode()
    assert service.post("/infer", body).status == 200


def test_too_few_rows_say_where_others_come_from(service):
    """The original project's own examples have two and three rows."""
    reply = service.post("/infer", {"sequence": ROWS[:2]})
    assert (reply.status, "GET /forecast/AAPL" in reply.detail(), "/ui" in reply.detail()) == (
        400,
        True,
        True,
    )


def test_the_examples_of_the_document_are_accepted(service):
    document = service.get("/openapi.json").json()
    (example,) = document["components"]["schemas"]["Infer"]["examples"]
    reply = service.post("/infer", example)
    assert reply.status == 200
    assert "warnings" not in reply.json() or "lookback" not in str(reply.json()["warnings"])


def test_answers_name_what_they_forecast(service):
    said = service.post("/infer", {"sequence": ROWS}).json()
    assert (said["target"], said["unit"]) == ("close", "price")


def test_a_forecaster_that_looks_beyond_the_lookback_gets_the_rows_it_needs(tmp_path):
    """A moving average of 50 over a window of 20 was the mean of those 20."""
    run = tmp_path / "run"
    choices = ("tracker=none", "baselines=none", "model=moving_average", "model.window=50")
    run_without_plots(SMALL[0], *choices, directory=run)
    model = load_model(run)
    assert model.rows_needed == 50
    with in_process(run, tmp_path) as started:
        reply = started.post("/infer", {"sequence": window(24)})
        assert (reply.status, "got 24 rows; expected 50" in reply.detail()) == (400, True)
        rows = window(60)
        said = started.post("/infer", {"sequence": rows}).json()
    assert said["prediction"] == pytest.approx(np.mean([row[2] for row in rows[-50:]]), rel=1e-6)
    assert "warnings" not in said or "lookback" not in str(said["warnings"])


@pytest.mark.parametrize(("beside", "calendar"), [("7203.T", "null"), ("COIN", "auto")])
def test_rows_of_tickers_that_close_at_different_times(tmp_path, beside, calendar):
    """Rows hold one day each; the server joins them as training did: by the tickers' endings, or by their bars."""
    listed = list_bars(tmp_path / "bars", "AAPL", count=500)
    tables = {"AAPL": pd.read_csv(listed / "AAPL.csv", index_col=0, parse_dates=True)}
    days = tables["AAPL"].index
    every = pd.date_range(days[0], days[-1], freq="B" if beside == "7203.T" else "D", name="Date")
    tables[beside] = random_bars(len(every), seed=1).set_index(every)
    tables[beside].to_csv(listed / f"{beside}.csv")
    names = ["7203.T", "AAPL"] if beside == "7203.T" else ["AAPL", "COIN"]  # the second closes later
    keys = ("data=no_processing_multiple", f"data.tickers=[{','.join(names)}]", f"data.calendar={calendar}")
    plain = ("tracker=none", "baselines=none", "source=files", f"source.path={listed}", "data.horizon=1")
    run = run_without_plots(*SMALL, *plain, *keys, directory=tmp_path / "run")
    first, later = (tables[name][["High", "Low", "Close", "Volume"]] for name in names)
    test = run.forecasts[run.forecasts["split"] == "test"].set_index("date")["forecast"]
    with in_process(run.directory, tmp_path) as app:
        need = app.get("/ui/model").json()["enough"]
        assert need == 21
        whole = 0
        for day in test.index[20:30]:
            common = first.index.intersection(later.index)
            at = common[common.get_loc(day) - need : common.get_loc(day)]
            right = np.concatenate((first.loc[at], later.loc[at]), axis=1)
            answer = app.post("/infer", {"sequence": right.tolist()})
            assert answer.status == 200, answer.body
            assert "joins the bars as training did" in " ".join(answer.json()["warnings"])
            # Training saw the later one's own bar before each, which rows of common days may lack: COIN's of Sundays.
            before = later.index[later.index.get_indexer(at[1:]) - 1]
            if (before == at[:-1]).all():
                whole += 1
                assert answer.json()["prediction"] == pytest.approx(test[day], rel=1e-6)
            # A caller who joins them has the later one two days late.
            wrong = np.concatenate((right[1:, :4], right[:-1, 4:]), axis=1)
            other = app.post("/infer", {"sequence": [right[0].tolist(), *wrong.tolist()]})
            assert other.json()["prediction"] != answer.json()["prediction"]
        assert whole > 2 or beside == "COIN"
        one = app.post("/infer", {"sequence": right[:, :4].tolist()})
        assert (one.status, "of 4 numbers; expected 8" in one.detail()) == (400, True)
