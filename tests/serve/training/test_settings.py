"""What a job trains with: the served model's config, checked, on newer bars."""

import pytest
from omegaconf import OmegaConf

from forecast.config import origin
from forecast.errors import SourceError, UserError
from forecast.serve.training.__main__ import _status
from forecast.serve.training.settings import downloading, newer_bars, settings_of


def config(**data):
    return OmegaConf.create({"data": {"period": "2y", "start": None, "end": None} | data, "source": {}})


@pytest.mark.parametrize(
    ("data", "period", "expected"),
    [
        ({}, None, []),
        ({}, "2y", []),
        ({"end": "2012-12-31"}, None, ["data.end=null"]),
        ({"start": "2001-01-02", "end": "2012-12-31"}, None, ["data.end=null"]),
        (
            {"start": "2001-01-02", "end": "2012-12-31"},
            "30d",
            ["data.end=null", "data.period=30d", "data.start=null"],
        ),
    ],
)
def test_the_end_is_open_and_the_period_is_that_asked_for(data, period, expected):
    assert newer_bars(config(**data), period=period) == expected


@pytest.mark.parametrize("period", ["", "banana", "0d", "-1y", "30 d", "1h", "1y,seed=1"])
def test_what_is_no_period_is_refused(period):
    with pytest.raises(UserError, match="period"):
        newer_bars(config(), period=period)


def test_what_was_asked_for_is_noted_with_the_run(world):
    found = settings_of(world.run, "data.period=1y", allow=[])
    assert found.data.period == "1y"
    assert origin(found)["overrides"][-1] == "data.period=1y"
    assert origin(found)["choices"]["data"] == "no_processing_single"
    with pytest.raises(UserError, match="seq_len"):
        settings_of(world.run, "data.seq_len=0", allow=[])


def test_a_source_with_a_cache_is_told_to_pass_it_by():
    given = OmegaConf.create({"source": {"force_download": False, "offline": False}})
    assert downloading(given).force_download is True
    assert given.source.force_download is False
    assert downloading(config()) == {}
    with pytest.raises(UserError, match=r"source\.offline=true"):
        downloading(OmegaConf.create({"source": {"force_download": False, "offline": True}}))


def test_other_bars_are_no_fault_though_the_config_says_so_of_replays(world):
    found = settings_of(world.run, allow=[])
    assert found.on_data_change == "error"
    assert found.provenance.data_request is None
    assert found.provenance.choices.data == "no_processing_single"


def failure(kind, cause):
    error = kind("it")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (failure(UserError, None), 400),
        (failure(SourceError, None), 502),
        (failure(SourceError, OSError("unreachable")), 502),
        (failure(UserError, OSError("disk full")), 500),
    ],
)
def test_a_failure_is_told_as_whose_it_is(error, status):
    assert _status(error) == status
