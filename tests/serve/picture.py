"""The picture of the page in docs/serving.md: PYTHONPATH=.:tests python tests/serve/picture.py docs/images/ui.png

A run with all defaults, a real server of it, its test days asked for as a client would, one after the other.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from browsing import Browser
from service import serving

import forecast
from forecast.data.sources import SampleSource

SIZE = (1280, 900)
LOOKBACK, DAYS, STEP = 20, 400, 20
COLUMNS = ["High", "Low", "Close", "Volume"]


def main(path: Path) -> None:
    """Make it."""
    torch.set_num_threads(1)
    bars = SampleSource().bars("AAPL")[COLUMNS].to_numpy().tolist()
    with TemporaryDirectory() as folder:
        run = forecast.run("tracker=none", directory=Path(folder) / "run")
        with serving(Path(folder) / "served", f"bundle={run.directory}") as service:
            browser = Browser(Path(folder) / "profile")
            try:
                browser.open(f"{service.url}/ui", SIZE)
                browser.wait("document.querySelector('#future-said').textContent.includes('Last close')")
                browser.one("#shown").click()
                browser.one("#own button[type=submit]").click()
                for asked in range(1, DAYS):
                    last = len(bars) - DAYS + asked
                    window = {"sequence": bars[last - LOOKBACK : last], "ticker": "AAPL"}
                    assert service.post("/infer", window).status == 200
                    if asked % STEP == STEP - 1:  # the page looks now and then
                        browser.wait(f"document.querySelector('.tiles dd')?.textContent === '{asked + 1}'")
                browser.script("document.activeElement.blur()")
                browser.settle()
                browser.picture(path)
            finally:
                browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
