"""Hydra's sweep grammar, read as a space."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from hydra_plugins.ray_tune_sweeper._settings import Axis, Interval, Space, SweepError, read_space


@pytest.fixture
def reading(app: Path, hydra_restore_singletons: Any) -> Any:
    del hydra_restore_singletons

    def space(*arguments: str, **params: Any) -> Space:
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(app / "conf"), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            named = {key.replace("__", "."): value for key, value in params.items()}
            return read_space(named, arguments, loader, name="tuner.space")

    return space


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("choice(a,b)", ("a", "b")),
        ("1,2", ("1", "2")),
        ("range(1,4)", ("1", "2", "3")),
        ("range(0,1,0.5)", ("0.0", "0.5")),
        ("'a b','c'", ("'a b'", "'c'")),
        ("choice([1,2],{k:v})", ("[1,2]", "{k:v}")),
        ("null,true", ("null", "True")),
        ("interval(0,1)", Interval(0, 1, log=False, whole=False)),
        ("tag(log,interval(1e-4,1e-2))", Interval(1e-4, 1e-2, log=True, whole=False)),
        ("tag(int,interval(1,8))", Interval(1, 8, log=False, whole=True)),
        ("int(interval(1,8))", Interval(1, 8, log=False, whole=True)),
        ("tag(int,log,interval(1,8))", Interval(1, 8, log=True, whole=True)),
        ("tag(int,interval(0.5,2.5))", Interval(1, 2, log=False, whole=True)),
    ],
)
def test_grammar(reading, text, values):
    assert reading(f"x={text}").axes == (Axis("x", values),)
    assert reading(x=text).axes == (Axis("x", values),)


def test_glob_takes_the_options_of_a_group(reading):
    assert reading("net=glob(*)").axes == (Axis("net", ("large", "small")),)
    assert reading("net=glob(*,exclude=large)").axes == (Axis("net", ("small",)),)


def test_the_command_line_wins_over_the_config_and_keeps_its_place(reading):
    space = reading("b=7,8", "c=9", a="choice(1,2)", b="choice(3,4)", c="interval(0,1)")
    assert space.entries == (Axis("a", ("1", "2")), Axis("b", ("7", "8")), "c=9")
    assert list(space.grid()) == [("1", "7"), ("1", "8"), ("2", "7"), ("2", "8")]
    assert space.overrides(("2", "7")) == ["a=2", "b=7", "c=9"]


def test_added_keys_are_the_same_key(reading):
    assert reading("+a=3,4", a="choice(1,2)").entries == (Axis("+a", ("3", "4")),)


def test_the_whole_space_can_be_replaced_on_the_command_line(reading):
    replaced = reading("++tuner.space={b: 'choice(3,4)'}", a="choice(1,2)")
    assert replaced.axes == (Axis("b", ("3", "4")),)
    assert reading("tuner.space={}", a="choice(1,2)").axes == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tag(log,interval(0,1))", "begin above 0"),
        ("interval(1,1)", "from a lower to a higher"),
        ("tag(int,interval(1.2,1.8))", "holds no whole number"),
        ("tag(log10,interval(1,2))", "unknown tag log10; known: log, int"),
        ("glob(q*)", "nothing to choose from"),
        ("range(3,3)", "nothing to choose from"),
        ("range(1,2,0)", "never ends"),
    ],
)
def test_what_cannot_be_tried_is_refused(reading, text, said):
    key = "net" if "glob" in text else "x"
    with pytest.raises(SweepError, match=said) as refused:
        reading(f"{key}={text}")
    assert str(refused.value).startswith(f"{key}={text}: ")


def test_a_list_in_yaml_is_refused(reading):
    with pytest.raises(SweepError, match=r"^tuner\.space\.x=\[1, 2\]: must be text such as choice\(1,2\)"):
        reading(x=[1, 2])


def test_a_grid_has_no_intervals(reading):
    with pytest.raises(SweepError, match=r"^x: an interval has no end of points"):
        reading("x=interval(0,1)").grid()


def test_points_are_drawn_once_each(reading):
    space = reading("a=range(0,10)", "b=range(0,10)")
    assert space.size() == 100
    some = space.sample(num_samples=30, seed=0)
    assert len(set(some)) == 30
    assert some == space.sample(num_samples=30, seed=0)
    assert some != space.sample(num_samples=30, seed=1)
    assert sorted(space.sample(num_samples=500, seed=0)) == sorted(space.grid())


@pytest.mark.timeout(20)
@pytest.mark.parametrize("num_samples", [1, 2, 5])
def test_choices_given_twice_are_one_point(reading, num_samples):
    space = reading("seed=choice(1,1,1,1,1,1,1,1,2)", "x=1,1")
    assert space.size() == 2
    points = space.sample(num_samples, seed=0)
    assert len(points) == len(set(points)) == min(num_samples, 2)
    assert list(space.grid()) == [("1", "1"), ("2", "1")]


def test_draws_follow_the_distribution(reading):
    space = reading("lr=tag(log,interval(1e-4,1e-2))", "n=tag(int,interval(1,3))", "x=interval(-1,1)")
    points = space.sample(num_samples=400, seed=0)
    rates, counts, numbers = zip(*points, strict=True)
    assert min(rates) >= 1e-4
    assert max(rates) < 1e-2
    assert 0.4 < sum(rate < 1e-3 for rate in rates) / 400 < 0.6  # half of them below the middle decade
    assert set(counts) == {1, 2, 3}
    assert math.isclose(sum(numbers) / 400, 0, abs_tol=0.1)


def test_numbers_are_written_so_that_they_are_read_back(reading):
    space = reading("lr=interval(0,1)", "n=tag(int,interval(1,3))")
    assert space.overrides([1 / 3, 2]) == [f"lr={1 / 3!r}", "n=2"]
    assert float(space.overrides([1e-7, 2])[0].partition("=")[2]) == 1e-7
