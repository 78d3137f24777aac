"""The page of a sweep."""

import json
import re

import pytest
from evaluations import EVIL

from forecast.evaluate.report import write_leaderboard

JOBS = [
    {
        "number": 3,
        "status": "finished",
        "metric": "val_rmse",
        "objective": 1.1,
        "best": True,
        "skill": 0.5,
        "overrides": {"seed": "1", "model.hidden_size": "64", "data": EVIL, "trainer.max_epochs": "5"},
        "history": [{"epoch": 0, "val_rmse": 1.3}, {"epoch": 1, "val_rmse": 1.1}],
    },
    {
        "number": 1,
        "status": "pruned",
        "objective": 1.2,
        "theil_u": 1.002,
        "params": {"seed": 2, "model.hidden_size": 16, "data": "range_single", "trainer.max_epochs": 5},
        "history": [{"epoch": 0, "val_rmse": 1.2}],
    },
    {
        "number": 2,
        "status": "failed",
        "objective": None,
        "overrides": ["seed=3", "model.hidden_size=32", "data=range_single", "trainer.max_epochs=5"],
        "error": f"ValueError: {EVIL}",
    },
]


def page(path, jobs, **given):
    written = write_leaderboard(path / "leaderboard.html", jobs, **{"title": "t", **given})
    source = written.read_text("utf-8")
    specs = [
        json.loads(found) for found in re.findall(r'<script type="application/json">(.*?)</script>', source)
    ]
    return source, specs


def test_table_headline_and_notes(tmp_path):
    source, _ = page(tmp_path, JOBS, notes=["best of 3 trials", EVIL])
    assert "<h1>Best of 3: job 3, seed=1 model.hidden_size=64 data=&lt;img" in source
    assert "<p>best of 3 trials</p>" in source
    assert "3 jobs: 1 finished, 1 pruned, 1 failed." in source
    assert source.index("best of 3 trials") < source.index("<table")
    heads = re.findall(r'<th scope="col">(.*?)</th>', source)
    # what is the same in all jobs is no column
    assert heads == [
        "job",
        "status",
        "val_rmse",
        "skill %",
        "test skill %",
        "seed",
        "model.hidden_size",
        "data",
        "epochs",
        "seconds",
        "directory",
    ]
    assert '<tr class="best"><th scope="row">3</th><td>finished</td><td>1.1</td><td>+0.50</td>' in source
    assert '<th scope="row">1</th><td>pruned</td><td>1.2</td><td>-0.20</td>' in source
    assert "<img" not in source
    assert "job 2 (seed=3 model.hidden_size=32" in source


def test_parallel_coordinates_and_curves(tmp_path):
    _, (parallel, curves) = page(tmp_path, JOBS)
    axes = {axis["name"]: axis for axis in parallel["axes"]}
    assert list(axes) == ["seed", "model.hidden_size", "data", "val_rmse"]
    assert axes["seed"]["values"] == [1, 2]
    assert not axes["seed"]["log"]
    assert axes["data"]["names"] == sorted([EVIL, "range_single"])
    assert axes["model.hidden_size"]["short"] == "hidden_size"
    assert axes["val_rmse"]["values"] == [1.1, 1.2]  # the failed one has none
    assert parallel["best"] == 0
    assert [series["name"] for series in curves["series"]] == ["job 1", "job 3"]
    assert [series["values"] for series in curves["series"]] == [[1.2, None], [1.3, 1.1]]
    assert [series["role"] for series in curves["series"]] == ["stopped", "other"]


def test_history_is_read_from_the_directory(tmp_path):
    (tmp_path / "history.json").write_text(json.dumps(JOBS[0]["history"]), "utf-8")
    job = {key: value for key, value in JOBS[0].items() if key != "history"} | {"directory": str(tmp_path)}
    _, (curves,) = page(tmp_path, [job])
    assert curves["series"][0]["values"] == [1.3, 1.1]


@pytest.mark.parametrize("content", ["", "{", '{"a": 1}', "[1]"], ids=["empty", "half", "mapping", "numbers"])
def test_a_damaged_history_is_none(tmp_path, content):
    (tmp_path / "history.json").write_text(content, "utf-8")
    _, specs = page(tmp_path, [{"number": 0, "directory": str(tmp_path)}])
    assert specs == []


@pytest.mark.parametrize(
    ("jobs", "headline"),
    [
        pytest.param([], "No best job: none has an objective", id="no job"),
        pytest.param([{}], "No best job: none has an objective", id="a bare job"),
        pytest.param([{"number": 0, "objective": 1.0}] * 2, "No best job", id="not ranked"),
    ],
)
def test_no_winner(tmp_path, jobs, headline):
    source, specs = page(tmp_path, jobs)
    assert f"<h1>{headline}</h1>" in source
    assert specs == []
    assert "no two finished jobs that differ, and no epochs" in source


def test_a_thousand_jobs_stay_a_page(tmp_path):
    jobs = [
        {
            "number": n,
            "status": "finished",
            "metric": "val_rmse",
            "objective": 1 + n / 1e4,
            "overrides": {"a": str(n), "b": str(n % 7)},
            "history": [{"epoch": e, "val_rmse": 1.0} for e in range(50)],
        }
        for n in range(3000)
    ]
    source, (parallel, curves) = page(tmp_path, jobs)
    assert len(source) < 2_000_000
    assert source.count("<tr") == 2001
    assert "2,000 of 3,000 jobs; leaderboard.csv has all." in source
    assert len(parallel["names"]) == 1000
    assert "The first 1,000 of 3,000 jobs." in source
    assert len(curves["series"]) == 100
    assert "The best 100 of 3,000 jobs." in source
    assert curves["series"][-1]["name"] == "job 0"
