"""The Open Inference Protocol, version 2."""

from __future__ import annotations

import json

import numpy as np
import pytest

from forecast.finished_runs import package_version

INFER = "/v2/models/champion/infer"


@pytest.fixture(scope="module")
def service(panel):
    return panel


@pytest.fixture(scope="module")
def model(panel):
    return panel.store.current


def bars(count: int, rows: int = 20) -> np.ndarray:
    """(count, rows, 4) High, Low, Close, Volume."""
    close = 50 * np.exp(0.02 * np.random.default_rng(0).normal(size=(count, rows)).cumsum(axis=1))
    return np.stack((1.01 * close, 0.99 * close, close, np.full_like(close, 1e6)), axis=-1)


def sequence(values, datatype="FP64", **changed) -> dict:
    values = np.asarray(values)
    return {"name": "sequence", "shape": list(values.shape), "datatype": datatype, "data": values.ravel().tolist()} | changed  # fmt: skip


def tickers(*names, **changed) -> dict:
    return {"name": "ticker", "shape": [len(names)], "datatype": "BYTES", "data": list(names)} | changed


def outputs(said) -> dict[str, np.ndarray]:
    return {
        output["name"]: np.reshape(output["data"], output["shape"])
        for output in said.json()["outputs"]
        if output["datatype"] == "FP64"
    }


def test_facts(service, model):
    assert service.get("/v2").json() == {
        "name": "forecast",
        "version": package_version(),
        "extensions": ["binary_tensor_data"],
    }
    facts = {
        "name": "champion",
        "versions": [model.version],
        "platform": "forecast_pytorch",
        "inputs": [{"name": "sequence", "datatype": "FP64", "shape": [-1, -1, 4]}],
        "outputs": [
            {"name": name, "datatype": "FP64", "shape": [-1, 3]} for name in ("forecast", "lower", "upper")
        ],
    }
    assert service.get("/v2/models/champion").json() == facts
    assert service.get(f"/v2/models/champion/versions/{model.version}").json() == facts


def test_health(service, model):
    assert service.get("/v2/health/live").json() == {"live": True}
    assert service.get("/v2/health/ready").json() == {"ready": True}
    assert service.get("/v2/models/champion/ready").json() == {"name": "champion", "ready": True}
    said = service.get(f"/v2/models/champion/versions/{model.version}/ready")
    assert said.json() == {"name": "champion", "ready": True}
    assert service.get("/v2/models/champion/versions/other/ready").status == 404
    counted = {(one["route"], one["status"]) for one in service.get("/monitor").json()["routes"]}
    assert {
        ("/v2/models/champion/ready", 200),
        ("/v2/models/champion/versions/{version}/ready", 404),
    } <= counted


def test_the_answers_are_those_of_infer(service, model):
    windows = bars(3)
    names = ["AAPL", "IBM", "ELSE"]
    body = {"id": "abc", "inputs": [sequence(windows), tickers(*names)]}
    said = service.post(INFER, body)
    assert said.status == 200
    assert set(said.json()) == {"model_name", "model_version", "id", "parameters", "outputs"}
    assert [said.json()[name] for name in ("model_name", "model_version", "id")] == [
        "champion",
        model.version,
        "abc",
    ]
    warnings = [*model.interval_warnings, "not trained on ELSE, but on AAPL, IBM, MSFT"]
    assert said.json()["parameters"] == {
        "target": "close",
        "unit": "price",
        "level": 0.9,
        "warnings": "; ".join(warnings),
    }
    found = outputs(said)
    assert list(found) == ["forecast", "lower", "upper"]
    for place, (window, name) in enumerate(zip(windows.tolist(), names, strict=True)):
        own = service.post("/infer", {"sequence": window, "ticker": name}).json()
        for output in ("forecast", "lower", "upper"):
            np.testing.assert_allclose(found[output][place], own[output], rtol=1e-6)


def test_a_batch_larger_than_is_computed_at_once(service):
    windows = bars(100)
    together = outputs(service.post(INFER, {"inputs": [sequence(windows)]}))["forecast"]
    alone = [
        outputs(service.post(INFER, {"inputs": [sequence(windows[place : place + 1])]}))["forecast"][0]
        for place in (0, 31, 32, 63, 64, 99)
    ]
    np.testing.assert_allclose(together[[0, 31, 32, 63, 64, 99]], np.array(alone), rtol=1e-6)


def test_nested_values_and_32_bits(service):
    windows = bars(2)
    flat = outputs(service.post(INFER, {"inputs": [sequence(windows)]}))
    nested = outputs(service.post(INFER, {"inputs": [sequence(windows, data=windows.tolist())]}))
    np.testing.assert_allclose(nested["forecast"], flat["forecast"], rtol=1e-6)
    short = outputs(service.post(INFER, {"inputs": [sequence(windows, "FP32")]}))
    np.testing.assert_allclose(short["forecast"], flat["forecast"], rtol=1e-6)


def test_closes_alone(service):
    closes = bars(2)[..., 2:3]
    said = service.post(INFER, {"inputs": [sequence(closes)]})
    own = service.post("/infer", {"sequence": closes[1, :, 0].tolist()}).json()
    np.testing.assert_allclose(outputs(said)["forecast"][1], own["forecast"], rtol=1e-6)
    assert said.json()["parameters"]["warnings"] == "; ".join(own["warnings"])


def test_only_what_is_wanted_is_given(service):
    body = {"inputs": [sequence(bars(1))], "outputs": [{"name": "upper"}]}
    assert list(outputs(service.post(INFER, body))) == ["upper"]


def test_one_version_or_none(service, model):
    path = "/v2/models/champion/versions/{}/infer"
    body = {"inputs": [sequence(bars(1))]}
    assert service.post(path.format(model.version), body).status == 200
    said = service.post(path.format("other"), body)
    assert said.status == 404
    assert said.json()["error"] == f"version 'other' is not served; expected {model.version}"


BAD = {
    "no inputs": ({"inputs": []}, "inputs: "),
    "no tensor": ({"inputs": [{}]}, "inputs.0."),
    "another input": ({"inputs": [sequence(bars(1), name="x")]}, "inputs: 'x'; expected sequence"),
    "an input twice": ({"inputs": [sequence(bars(1))] * 2}, "inputs: 'sequence' again"),
    "no sequence": ({"inputs": [tickers("A")]}, "inputs: no sequence"),
    "two axes": ({"inputs": [sequence(bars(1)[0])]}, "sequence: shape is [20, 4]; expected [batch, rows, columns]"),
    "no windows": ({"inputs": [sequence(np.empty((0, 20, 4)))]}, "sequence: a batch of 0 windows; expected 1 to 256"),
    "too many": ({"inputs": [sequence(np.ones((257, 2, 4)))]}, "sequence: a batch of 257 windows"),
    "no rows": ({"inputs": [sequence(np.empty((1, 0, 4)))]}, "sequence: "),
    "no columns": ({"inputs": [sequence(np.empty((1, 20, 0)))]}, "sequence: "),
    "wrong columns": ({"inputs": [sequence(np.ones((2, 20, 3)))]}, "window 1: sequence: rows of 3 numbers; expected 4"),
    "too short": ({"inputs": [sequence(bars(1, 3))]}, "sequence: too short, got 3 rows"),
    "a bad price": ({"inputs": [sequence(bars(2) * [[[1]], [[-1]]])]}, "window 2: sequence: row 1, number 1 is -"),
    "integers": ({"inputs": [sequence(bars(1), "INT64")]}, "sequence: datatype is INT64; expected FP32 or FP64"),
    "text": ({"inputs": [sequence(bars(1), data=["1"] * 80)]}, "sequence: data holds text"),
    "fewer than the shape": ({"inputs": [sequence(bars(1), data=[1.0])]}, "sequence: data holds 1 values; expected 80"),
    "a shape below 0": ({"inputs": [sequence(bars(1), shape=[-1, 20, 4])]}, "inputs.0.shape.0: "),
    "too large for 32 bits": ({"inputs": [sequence(bars(1) * 1e38, "FP32")]}, "sequence: row 1, number 1 is not finite"),
    "fewer names": ({"inputs": [sequence(bars(2)), tickers("A")]}, "ticker: 1 names for 2 windows"),
    "no names": ({"inputs": [sequence(bars(1)), tickers("A", datatype="FP64")]}, "ticker: datatype is FP64"),
    "another output": ({"inputs": [sequence(bars(1))], "outputs": [{"name": "up"}]}, "outputs: 'up'; expected of forecast, lower, upper"),
    "no object": ([], "body: "),
    "no JSON": (b'{"inputs"', "body: Invalid JSON"),
    "a name that is none": ({"inputs": [sequence(bars(1)), tickers("A" * 33)]}, "ticker: 'AAAA"),
    "NaN": (b'{"inputs": [{"name": "sequence", "shape": [1, 2, 1], "datatype": "FP64", "data": [NaN, 1e999]}]}', ""),
    "deep": (b"[" * 100_000, ""),
    "empty": (b"", "body: "),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(service, case):
    body, expected = BAD[case]
    said = service.post(INFER, body)
    assert said.status == 400
    assert set(said.json()) == {"error", "detail"}
    assert said.json()["error"] == said.json()["detail"]
    assert said.json()["error"].startswith(expected)
    assert "\n" not in said.json()["error"]


def test_other_bodies_than_json(service):
    body = {"inputs": [sequence(bars(1))]}
    said = service.post(INFER, body, Content_Type="text/plain")
    assert (said.status, set(said.json())) == (400, {"error", "detail"})


def binary(body, *parts, **headers):
    """The arguments of a request of the binary tensor data extension."""
    head = json.dumps(body).encode()
    headers = {
        "Inference_Header_Content_Length": str(len(head)),
        "Content_Type": "application/octet-stream",
    } | headers
    return head + b"".join(parts), headers


def behind(said) -> dict[str, np.ndarray]:
    """Outputs of an answer of that extension."""
    size = int(said.headers["inference-header-content-length"])
    head, rest, found = json.loads(said.body[:size]), said.body[size:], {}
    assert said.headers["content-type"] == "application/octet-stream"
    for output in head["outputs"]:
        length = output["parameters"]["binary_data_size"]
        found[output["name"]] = np.frombuffer(rest[:length], "<f8").reshape(output["shape"])
        assert "data" not in output
        rest = rest[length:]
    assert rest == b""
    return found


def test_binary_tensors(service):
    """As the usual Triton client sends and wants them by default: all inputs and outputs as bytes behind the JSON."""
    windows, names = bars(2), ["AAPL", "IBM"]
    plain = outputs(service.post(INFER, {"inputs": [sequence(windows), tickers(*names)]}))
    for kind, dtype in (("FP64", "<f8"), ("FP32", "<f4")):
        raw = windows.astype(dtype).tobytes()
        texts = b"".join(len(name).to_bytes(4, "little") + name.encode() for name in names)
        inputs = [
            {
                "name": "sequence",
                "shape": [2, 20, 4],
                "datatype": kind,
                "parameters": {"binary_data_size": len(raw)},
            },
            {
                "name": "ticker",
                "shape": [2],
                "datatype": "BYTES",
                "parameters": {"binary_data_size": len(texts)},
            },
        ]
        body, headers = binary({"inputs": inputs, "parameters": {"binary_data_output": True}}, raw, texts)
        said = service.post(INFER, body, **headers)
        assert said.status == 200, said.body
        found = behind(said)
        assert list(found) == ["forecast", "lower", "upper"]
        for name, values in found.items():
            np.testing.assert_allclose(values, plain[name], rtol=1e-6)
    # one input in the JSON, one output of two as bytes
    body, headers = binary({"inputs": [inputs[0], tickers(*names)], "outputs": [{"name": "forecast"}, {"name": "upper", "parameters": {"binary_data": True}}]}, raw)  # fmt: skip
    said = service.post(INFER, body, **headers)
    forecast, upper = json.loads(said.body[: int(said.headers["inference-header-content-length"])])["outputs"]
    np.testing.assert_allclose(np.reshape(forecast["data"], (2, 3)), plain["forecast"], rtol=1e-6)
    assert upper["parameters"] == {"binary_data_size": 48}


SIZED = {"name": "sequence", "shape": [1, 20, 4], "datatype": "FP64", "parameters": {"binary_data_size": 640}}
ZEROS = bytes(640)
BAD_BINARY = {
    "fewer bytes": (*binary({"inputs": [SIZED]}, ZEROS[:-1]), "sequence: binary_data_size is 640; 639 bytes are left"),
    "more bytes": (*binary({"inputs": [SIZED]}, ZEROS, b"1"), "inputs: 1 bytes behind the JSON belong to no tensor"),
    "another shape": (*binary({"inputs": [SIZED | {"shape": [1, 19, 4]}]}, ZEROS), "sequence: binary_data_size is 640; expected 608"),
    "both": (*binary({"inputs": [SIZED | {"data": [1.0]}]}, ZEROS), "sequence: expected either data or parameters.binary_data_size"),
    "neither": (*binary({"inputs": [SIZED | {"parameters": {}}]}, ZEROS), "sequence: expected either data"),
    "a size below 0": (*binary({"inputs": [SIZED | {"parameters": {"binary_data_size": -1}}]}), "sequence: binary_data_size is -1"),
    "a size that is no number": (*binary({"inputs": [SIZED | {"parameters": {"binary_data_size": "a"}}]}), "sequence: binary_data_size is a"),
    "a header beyond the body": (*binary({"inputs": [SIZED]}, Inference_Header_Content_Length="9999"), "Inference-Header-Content-Length: 9999"),
    "a header that is no number": (*binary({}, Inference_Header_Content_Length="-1"), "Inference-Header-Content-Length: -1"),
    "a text that ends too early": (*binary({"inputs": [sequence(bars(1)), tickers("A", data=None, parameters={"binary_data_size": 5})]}, b"\x09\0\0\0A"), "ticker: its bytes end within a text"),
    "a text that is none": (*binary({"inputs": [sequence(bars(1)), tickers("A", data=None, parameters={"binary_data_size": 5})]}, b"\x01\0\0\0\xff"), "ticker: text 1 is no UTF-8"),
    "a name of two lines": (*binary({"inputs": [SIZED | {"name": "a\nb", "parameters": {}}]}, ZEROS), "a b: expected either data"),
    "prices of 0": (*binary({"inputs": [SIZED]}, ZEROS), "sequence: row 1, number 1 is 0; a price must be above 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_BINARY)
def test_bytes_that_are_refused(service, case):
    body, headers, expected = BAD_BINARY[case]
    said = service.post(INFER, body, **headers)
    assert (said.status, set(said.json())) == (400, {"error", "detail"})
    assert said.json()["error"].startswith(expected)
    assert len(said.json()["error"].splitlines()) == 1


def test_another_model(service):
    for method, path in (("GET", ""), ("GET", "/ready"), ("POST", "/infer")):
        said = service.ask(method, f"/v2/models/other{path}", b"{}" if method == "POST" else None)
        assert (said.status, said.json()["error"]) == (404, "'other': no such model; expected champion")


def test_other_ways_to_ask(service):
    for method, path in (("POST", ""), ("POST", "/ready"), ("GET", "/infer")):
        said = service.ask(method, f"/v2/models/champion{path}")
        assert (said.status, set(said.json())) == (405, {"error", "detail"})
        assert said.headers["allow"] == ("GET" if method == "POST" else "POST")
    assert service.get("/v2/models/champion/stats").status == 404
    assert service.ask("DELETE", "/v2/models/champion").status == 405


def test_the_schema_is_whole_and_names_every_error(service):
    document = service.get("/openapi.json").json()
    post = document["paths"]["/v2/models/champion/infer"]["post"]
    body = post["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/InferRequest"}
    parts = document["components"]["schemas"]
    assert parts["InferRequest"]["properties"]["inputs"]["items"] == {"$ref": "#/components/schemas/Tensor"}
    assert parts["Tensor"]["properties"]["datatype"] == {"title": "Datatype", "type": "string"}
    assert "application/octet-stream" in post["requestBody"]["content"]
    (example,) = parts["InferRequest"]["examples"]
    assert service.post(INFER, example).status == 200
    assert {path for path in document["paths"] if path.startswith("/v2")} == {
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/champion",
        "/v2/models/champion/ready",
        "/v2/models/champion/infer",
        "/v2/models/champion/versions/{version}",
        "/v2/models/champion/versions/{version}/ready",
        "/v2/models/champion/versions/{version}/infer",
    }
    fault = {"application/json": {"schema": {"$ref": "#/components/schemas/Fault"}}}
    for status in ("400", "404"):
        assert post["responses"][status] == {"$ref": f"#/components/responses/Fault{status}"}
        assert document["components"]["responses"][f"Fault{status}"]["content"] == fault
    assert set(post["responses"]) >= {"200", "400", "401", "404", "413", "422", "429", "500", "503", "504"}
