"""Requests made up from /openapi.json: each is answered as that document says, and the server is as it was.

FUZZ=10000 FUZZ_TRAIN=20 python -m pytest tests/serve/test_schema.py   so many instead of the few of the suite, and so
many of those that train
"""

import os
from collections import Counter

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from service import serving, window

REQUESTS = int(os.environ.get("FUZZ", "200"))
TRAININGS = int(os.environ.get("FUZZ_TRAIN", "0"))
KEY, ADMIN_KEY = "key", "admin"
# What a caller cannot bring about, and an operator must act on.
ALLOWED_5XX = {502, 503, 504}
# Each would train a model: what it answers is in the tests of training. Unless FUZZ_TRAIN says how many may, they
# are asked for here without the key for it.
WITHOUT_ADMIN_KEY = {"POST /train", "POST /train/update"}


@pytest.fixture(scope="module")
def service(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    link = ("champion_link=champion",) if TRAININGS else ()
    with serving(
        folder,
        f"bundle={bundle}",
        *link,
        f"api_key={KEY}",
        f"admin_key={ADMIN_KEY}",
    ) as running:
        yield running


@pytest.fixture(scope="module")
def document(service):
    return service.get("/openapi.json", X_API_Key=KEY).json()


@pytest.fixture(scope="module")
def operations(document):
    found = schemathesis.openapi.from_dict(document).get_all_operations()
    return {operation.ok().label: operation.ok() for operation in found}


def forecast(service):
    return service.post("/infer", {"sequence": window(20)}, X_API_Key=KEY).json()["prediction"]


def test_every_route_of_the_contract_is_described(operations):
    assert set(operations) >= {
        "GET /",
        "POST /infer",
        "GET /forecast/{ticker}",
        "POST /train",
        "POST /train/update",
        "GET /train/{job}",
        "GET /monitor",
        "GET /config",
        "GET /health",
        "GET /readyz",
        "GET /livez",
        "GET /v2/health/live",
        "GET /v2/health/ready",
        "GET /v2/models/champion",
        "POST /v2/models/champion/infer",
        "POST /champion/rollback",
        "GET /metrics",
        "GET /ui",
    }


def test_errors_are_described_in_one_way(document):
    """As `{"detail": text}`, to which the Open Inference Protocol adds its own `error`."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            described = {status for status in operation["responses"] if status >= "400"}
            assert {"400", "401", "403", "408", "413", "422", "429", "503", "504"} <= described, (
                method,
                path,
            )
            for status in described:
                answer = operation["responses"][status]
                if (name := answer.get("$ref", "").rpartition("/")[2]) != "":
                    answer = document["components"]["responses"][name]
                (kind, content), *others = answer["content"].items()
                assert (kind, others) == ("application/json", []), (method, path, status)
                name = content["schema"]["$ref"].rpartition("/")[2]
                assert name == "Problem" or path.startswith("/v2"), (method, path, status)


def takes_something(document):
    """Operations that can be asked wrongly: in a body, or behind a question mark."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            query = any(one["in"] == "query" for one in operation.get("parameters", []))
            if query or "requestBody" in operation:
                yield f"{method.upper()} {path}"


def test_answers_are_as_described(service, document, operations):
    """Whatever fits the document, and whatever does not."""
    before = service.tree(), forecast(service)
    asked = [(operation, GenerationMode.POSITIVE) for operation in operations.values()]
    asked += [(operations[label], GenerationMode.NEGATIVE) for label in takes_something(document)]
    seen = Counter()
    try:
        with requests.Session() as session:
            for operation, mode in asked:
                explore(service, session, operation, mode, REQUESTS // len(asked) + 1, seen)
    finally:
        print(sum(seen.values()), dict(sorted(seen.items())))
    assert {status for status in seen if status >= 500} <= ALLOWED_5XX
    assert {200, 400, 401, 404, 422} <= set(seen)
    assert TRAININGS or (service.tree(), forecast(service)) == before
    assert "Traceback" not in service.said()


def explore(service, session, operation, mode, count, seen):
    admin = operation.label not in WITHOUT_ADMIN_KEY or TRAININGS > 0
    count = min(count, TRAININGS) if operation.label in WITHOUT_ADMIN_KEY and admin else count
    # Parameters that a route does not know are ignored; where a body is wrong, too, that is what is refused.
    excluded = [not_a_server_error, positive_data_acceptance]
    excluded += [negative_data_rejection] if operation.label in WITHOUT_ADMIN_KEY else []
    keys = {"X-API-Key": ADMIN_KEY if admin else KEY}

    @settings(
        max_examples=count, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None
    )
    @given(case=operation.as_strategy(mode))
    def one(case):
        answer = case.call(base_url=service.url, session=session, headers=keys, timeout=60)
        seen[answer.status_code] += 1
        # Status, content type, headers and body: all of it is in the document. What a model can be asked is not.
        case.validate_response(answer, excluded_checks=excluded)
        assert answer.status_code < 500 or answer.status_code in ALLOWED_5XX
        if answer.status_code >= 400:
            assert len(answer.json()["detail"].splitlines()) == 1

    one()
