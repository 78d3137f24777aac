"""GET /: open to all, and says what answers."""

from __future__ import annotations

from forecast.runs import package_version


def test_what_answers(service):
    told = service.get("/")
    assert told.status == 200
    assert set(told.json()) == {"title", "description", "version"}
    assert told.json()["version"] == package_version()
    assert all(isinstance(text, str) and text for text in told.json().values())
