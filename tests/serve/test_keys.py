"""Keys, and a model that takes another's place: nobody gets in beside them, and no evil one gets in at all."""

import json
import os
import shutil

import pytest
from forgery import seal, set_config
from service import serving, window

KEY, ADMIN_KEY = "the-key", "the-other"
OPEN = ["/", "/livez", "/health", "/readyz", "/livez/", "//", "/readyz//"]
GUARDED = [
    "/config",
    "/monitor",
    "/metrics",
    "/docs",
    "/openapi.json",
    "/ui",
    "/ui/model",
    "/v2",
    "/v2/health/live",
    "/v2/models/champion",
    "/forecast/AAPL",
    "/train/1",
    "/nothing",
    "/config/",
    "//config",
    "/livez/../config",
    "/%63onfig",
]
ADMINS = [("POST", "/train"), ("POST", "/train/update"), ("GET", "/train/1"), ("POST", "/champion/rollback")]
ADMINS += [("POST", "/train/"), ("POST", "/%74rain"), ("DELETE", "/train/1")]
WRONG = {
    "none": {},
    "empty": {"X_API_Key": ""},
    "wrong": {"X_API_Key": "the-keys"},
    "start": {"X_API_Key": "the-ke"},
    "case": {"X_API_Key": "THE-KEY"},
    "not-ascii": {"X_API_Key": "\xff"},
    "bearer": {"Authorization": f"Bearer {KEY}"},
    "other-header": {"API_Key": KEY},
    "cookie": {"Cookie": f"X-API-Key={KEY}"},
}


@pytest.fixture(scope="module")
def link(bundle, tmp_path_factory):
    made = tmp_path_factory.mktemp("champions") / "champion"
    made.symlink_to(bundle)
    return made


@pytest.fixture(scope="module")
def service(link, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    keys = {"FORECAST_API_KEY": KEY, "FORECAST_ADMIN_KEY": ADMIN_KEY}
    with serving(folder, f"bundle={link}", "champion_poll_s=0.05", **keys) as running:
        yield running


def refused(reply):
    return reply.status == 401 and "X-API-Key" in reply.detail() and "www-authenticate" in reply.headers


@pytest.mark.parametrize("path", OPEN)
def test_open_to_all(service, path):
    assert service.get(path).status == 200


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_wrong_key(service, wrong):
    for path in GUARDED:
        assert refused(service.get(path, **wrong)), path
        assert refused(service.get(f"{path}?X-API-Key={KEY}&api_key={KEY}", **wrong)), path
    assert refused(service.post("/infer", {"sequence": window(20)}, **wrong))
    assert refused(service.post("/infer", b"{", **wrong))
    for method, path in ADMINS:
        assert refused(service.ask(method, path, **wrong)), path


@pytest.mark.parametrize("key", [KEY, ADMIN_KEY])
def test_right_key(service, key):
    assert service.post("/infer", {"sequence": window(20)}, X_API_Key=key).status == 200
    for path in ("/config", "/metrics", "/docs", "/openapi.json", "/config/"):
        assert service.get(path, X_API_Key=key).status == 200


def test_admins_routes(service):
    for method, path in ADMINS:
        assert refused(service.ask(method, path, X_API_Key=KEY)), path
    assert service.get("/train/1", X_API_Key=ADMIN_KEY).status == 404


def test_refused_before_the_body(service):
    """Whoever has no key need not be listened to."""
    head = b"POST /infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    assert refused(service.raw_reply(head))


def test_key_is_said_nowhere(service):
    service.get("/config", X_API_Key=KEY)
    kept = [path.read_bytes() for path in service.folder.rglob("*") if path.is_file()]
    told = [
        service.get(path, X_API_Key=KEY).body for path in ("/config", "/metrics", "/monitor", "/openapi.json")
    ]
    for text in [*kept, *told]:
        assert KEY.encode() not in text
        assert ADMIN_KEY.encode() not in text


def version(service):
    return service.post("/infer", {"sequence": window(20)}, X_API_Key=KEY).json()["model_version"]


def point(link, run):
    scratch = link.with_name("scratch")
    scratch.symlink_to(run)
    os.replace(scratch, link)


def test_evil_model_does_not_take_the_place(service, link, bundle, tmp_path):
    """It is refused in the log, once; the one that was served is still, and a good one is taken after it."""
    before = version(service)
    evil = shutil.copytree(bundle, tmp_path / "evil")
    done = tmp_path / "done"
    set_config(evil, "model", {"_target_": "forecast.data.market.os.system", "command": f"touch {done}"})
    seal(evil)
    point(link, evil)
    service.wait(lambda: "refused a new model" in service.said(), "it to be refused")
    assert version(service) == before
    half = shutil.copytree(bundle, tmp_path / "half")
    (half / "model.safetensors").write_bytes(b"")
    point(link, half)
    service.wait(lambda: service.said().count("refused a new model") == 2, "the other to be refused")
    assert version(service) == before
    shutil.rmtree(half)
    good = shutil.copytree(bundle, tmp_path / "good")
    manifest = json.loads((good / "manifest.json").read_text())
    (good / "manifest.json").write_text(json.dumps(manifest))
    point(link, good)
    service.wait(lambda: version(service).startswith("good@"), "the good one")
    assert not done.exists()
    assert service.said().count("refused a new model") == 2
    assert "Traceback" not in service.said()
    assert service.is_ready()
