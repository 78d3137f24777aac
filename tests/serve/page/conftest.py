"""Two models, and a server of each."""

import pytest
from commands import SMALL
from paging import KEY
from service import serving
from trained import run_without_plots

from forecast.data.sources import SampleSource


@pytest.fixture(scope="package")
def runs(bundle, tmp_path_factory):
    """Two models: one ticker a day ahead, and a panel three days ahead, whose bars are files."""
    folder = tmp_path_factory.mktemp("runs")
    source = SampleSource()
    (folder / "bars").mkdir()
    for ticker in ("AAPL", "IBM"):
        source.bars(ticker).to_csv(folder / "bars" / f"{ticker}.csv")
    files = ("source=files", f"source.path={folder / 'bars'}", "data.tickers=[AAPL,IBM]")
    panel = ("data=no_processing_panel", "data.horizon=3", "tracker=none", "baselines=none", *files)
    return [bundle, run_without_plots(*SMALL, *panel, directory=folder / "panel").directory]


@pytest.fixture(scope="package")
def served(runs, tmp_path_factory):
    """A server of whatever `outputs/champion` leads to: at first the first model."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "outputs").mkdir()
    (folder / "outputs" / "champion").symlink_to(runs[0])
    with serving(folder) as service:
        yield service


@pytest.fixture(scope="package")
def locked(runs, tmp_path_factory):
    """A server of the second model that wants a key."""
    with serving(tmp_path_factory.mktemp("locked"), f"bundle={runs[1]}", f"api_key={KEY}") as service:
        yield service
