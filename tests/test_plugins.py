"""A strategy, a source, a layer and a model from outside the package: a file on the path and one YAML each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import SMALL, Done, run, run_apart

import forecast
from forecast.errors import UserError

CODE = '''
from typing import Annotated

import torch
from annotated_types import Ge, Gt

from forecast.data.sources import SyntheticSource


class Momentum:
    """Close, Volume and the return of some days."""

    columns = {"Close": "price", "Volume": "amount", "Momentum": "free"}

    def __init__(self, *, days: Annotated[int, Ge(1)]):
        self.days = days

    def compute(self, bars):
        return bars.assign(Momentum=bars["Close"].pct_change(self.days))[list(self.columns)]


class Shortening(Momentum):
    def compute(self, bars):
        return super().compute(bars).dropna()


class Mislabelled(Momentum):
    columns = {"Close": "prices"}


class Nothing(Momentum):
    columns = {}


class Rounded:
    """Prices in whole cents."""

    def __init__(self, *, rows: Annotated[int, Ge(1)] = 400, ticker: str = "CENT"):
        self.rows, self.ticker = rows, ticker

    def tickers(self):
        return [self.ticker]

    def bars(self, ticker):
        return SyntheticSource(num_bars=self.rows).bars(ticker).round(2)


class Shift(torch.nn.Module):
    """Adds what it learns to each feature."""

    def __init__(self, in_features, start: Annotated[float, Gt(0)] = 1.0):
        super().__init__()
        self.by = torch.nn.Parameter(torch.full((in_features,), start))

    def forward(self, x):
        return x + self.by


class Average(torch.nn.Module):
    """A linear map of the window's mean."""

    def __init__(self, *, input_size, lookback, output_size, width: Annotated[int, Ge(1)] = 3):
        super().__init__()
        self.inner = torch.nn.Linear(input_size, width)
        self.outer = torch.nn.Linear(width, output_size)

    def forward(self, x):
        return self.outer(self.inner(x.mean(dim=1)).tanh())


class NoModule:
    def __init__(self, *, input_size, lookback, output_size, width):
        pass


class Unfinished(Average):
    def forward(self, x):
        return self.inner(x)


class Unlearning(Average):
    def __init__(self, **keys):
        super().__init__(**keys)
        del self.inner, self.outer

    def forward(self, x):
        return x[:, -1, :1]
'''

CONF = {
    "data/momentum.yaml": """
defaults: [default, _self_]
tickers: [CENT]
features:
  _target_: our_plugins.Momentum
  days: 5
scope: single
""",
    "source/rounded.yaml": "_target_: our_plugins.Rounded\nrows: 400\n",
    "model/window_mean.yaml": "_target_: our_plugins.Average\nwidth: 3\n",
    "model/shifted.yaml": """
defaults: [lstm, _self_]
layer_config:
  - _target_: our_plugins.Shift
    start: 0.5
  - LSTM
  - Linear
""",
}
PLUGINS = ["data=momentum", "source=rounded", "trainer=smoke", "tracker=none"]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with code, and with conf beside it."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "our_plugins.py").write_text(CODE)
    for name, text in CONF.items():
        file = tmp_path / "conf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return code


@pytest.fixture
def importable(outside: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(outside))
    monkeypatch.delitem(sys.modules, "our_plugins", raising=False)
    return outside


def start(outside: Path, *arguments: str) -> Done:
    folder = outside.parent
    return run(folder, "-cd", str(folder / "conf"), *PLUGINS, f"hydra.run.dir={folder / 'run'}", *arguments)


def agree_with_the_record(directory: Path, bars: pd.DataFrame) -> None:
    """A predictor that is read back gives, from every bar, what the run recorded for the next."""
    recorded = pd.read_parquet(directory / "forecasts.parquet")
    answers = forecast.load(directory).predict(bars, every=True)
    days = pd.Series(bars.index[1:], index=bars.index[:-1])
    answers = answers[answers["origin"] < bars.index[-1]]
    answers = answers.assign(date=answers["origin"].map(days)).merge(recorded, on=["ticker", "date", "step"])
    assert len(answers) == len(recorded) > 300
    np.testing.assert_allclose(answers["forecast_x"], answers["forecast_y"], rtol=1e-8)
    assert (answers["naive_x"] == answers["naive_y"]).all()


def test_a_run_made_of_plugins(outside, monkeypatch):
    folder = outside.parent
    done = run_apart(
        folder,
        *["-cd", str(folder / "conf"), *PLUGINS, "model=window_mean", "hydra.run.dir=run"],
        also_importable=outside,
    )
    assert done.code == 0, done.err
    assert done.out.startswith("CENT, momentum, 1 day ahead")
    assert done.out.splitlines()[-1] == str(folder / "run")

    with pytest.raises(UserError, match=r"was made with our_plugins\.Average, which cannot be imported"):
        forecast.load(folder / "run")
    monkeypatch.syspath_prepend(str(outside))
    monkeypatch.delitem(sys.modules, "our_plugins", raising=False)
    import our_plugins

    agree_with_the_record(folder / "run", our_plugins.Rounded(rows=400).bars("CENT"))


def test_a_layer_among_others(importable):
    done = start(importable, "model=shifted", "model.hidden_size=4")
    assert done.code == 0, done.err
    import our_plugins

    agree_with_the_record(importable.parent / "run", our_plugins.Rounded(rows=400).bars("CENT"))


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("data.features.days=0", "data.features.days=0: must be >= 1"),
        ("+data.features.day=7", "data.features.day=7: unknown key; did you mean days?"),
        ("~data.features.days", "data.features.days: missing; must be an integer"),
        ("source.rows=many", "source.rows=many: must be an integer"),
        ("+source.tickr=A", "source.tickr=A: unknown key; did you mean ticker?"),
        ("model.width=0", "model.width=0: must be >= 1"),
        (
            "model=shifted model.layer_config.0.start=-1",
            "model.layer_config[0].start=-1: must be > 0",
        ),
        (
            "data.features._target_=our_plugins.Momentun",
            "data.features._target_=our_plugins.Momentun: cannot be imported: our_plugins has no Momentun; "
            "did you mean Momentum?",
        ),
        (
            "data.features._target_=our_plugins.Shortening",
            "data.features=Shortening: compute() must keep the bars' rows and give the columns "
            "['Close', 'Volume', 'Momentum'], got 395 rows for 400 bars",
        ),
        (
            "data.features._target_=our_plugins.Mislabelled",
            "data.features=Mislabelled: Close is 'prices'; must be one of price, spread, amount, free",
        ),
        ("data.features._target_=our_plugins.Nothing", "data.features=Nothing: has no columns"),
        ("data.features.days=1000", "CENT: each row of data.features=Momentum holds a NaN"),
        (
            "model._target_=our_plugins.Unfinished",
            "model._target_=our_plugins.Unfinished: makes (batch, 20, 3) of (batch, 20, 3), must make (batch, 1)",
        ),
        ("model._target_=our_plugins.Unlearning", "model._target_=our_plugins.Unlearning: has no parameters"),
        ("model._target_=our_plugins.NoModule", "model._target_=our_plugins.NoModule: gives a NoModule, must give a torch module"),
    ],
)  # fmt: skip
def test_a_plugin_that_is_used_wrongly(importable, typed, line):
    model = [] if "model=" in typed else ["model=window_mean"]
    done = start(importable, *model, *typed.split())
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(line)
    assert len(done.err.splitlines()) == 1
    assert not (importable.parent / "run").exists()


def test_the_package_knows_nothing_of_them(tmp_path):
    done = run(tmp_path, *SMALL, "model=window_mean")
    assert (done.code, done.err.split(";")[0]) == (2, "model=window_mean: no such option")


@pytest.mark.slow
def test_an_edited_plugin_swept_again_into_the_same_folder_is_run_again(importable):
    """One that was not edited is not run again."""

    def sweep() -> tuple[list[str], list[float]]:
        sys.modules.pop("our_plugins", None)  # as a new process would find it
        folder = importable.parent
        done = run(
            folder,
            *[
                "-m",
                "-cd",
                str(folder / "conf"),
                *PLUGINS,
                "model=window_mean",
                "baselines=none",
                "champion=none",
            ],
            *["seed=0,1", "hydra/launcher=basic", f"hydra.sweep.dir={folder / 'sweep'}"],
        )
        assert done.code == 0, done.err
        jobs = [json.loads((folder / "sweep" / job / "job.json").read_text()) for job in "01"]
        return [job["status"] for job in jobs], [job["objective"] for job in jobs]

    first, before = sweep()
    again, same = sweep()
    module = importable / "our_plugins.py"
    module.write_text(module.read_text().replace("x.mean(dim=1)", "x.amax(dim=1)"))
    edited, after = sweep()
    assert (first, again, edited) == (["finished"] * 2, ["reused"] * 2, ["finished"] * 2)
    assert same == before
    assert all(new != old for new, old in zip(after, before, strict=True))
