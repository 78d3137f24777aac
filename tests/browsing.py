"""A real browser for pages on disk and of a server on this machine: what it drew, what it asked the network for, what it complained of."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

MISSING = (
    "the report is tested in a real browser: apt-get install chromium chromium-driver, "
    "or name them in CHROMIUM and CHROMEDRIVER"
)
DESKTOP, PHONE = (1280, 900), (390, 844)
_NAMES = {
    "CHROMIUM": ("chromium", "chromium-browser", "google-chrome"),
    "CHROMEDRIVER": ("chromedriver",),
}
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # Whatever asks for another machine gets no answer; the log counts that it asked.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def program(variable: str) -> str:
    """Path of the browser or its driver; fails, and says what to do, where there is none."""
    named = os.environ.get(variable)
    found = named or next(filter(None, map(shutil.which, _NAMES[variable])), None)
    if not found or not Path(found).is_file():
        raise AssertionError(f"no {variable.lower()} ({named or ', '.join(_NAMES[variable])}): {MISSING}")
    return found


class Browser:
    """Chromium without a window.

    Args:
        profile: an empty folder.
    """

    def __init__(self, profile: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = program("CHROMIUM")
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = webdriver.ChromeService(program("CHROMEDRIVER"))
        self.driver = webdriver.Chrome(options=options, service=service)

    def close(self) -> None:
        """End it."""
        self.driver.quit()

    def open(self, page: Path | str, size: tuple[int, int] = DESKTOP) -> None:
        """Show a file or an address at a width and height; the logs of what was before are forgotten."""
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.get("about:blank")
        self.complaints(), self.requests()
        self.driver.get(page if isinstance(page, str) else page.absolute().as_uri())
        self.settle()

    def colours(self, scheme: str) -> None:
        """Have pages believe that a person wants them `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def settle(self) -> None:
        """Wait until the page has drawn: two frames, so that observers of sizes have run."""
        self.driver.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))"
        )

    def complaints(self) -> list[str]:
        """Errors and warnings of the page since asked last, broken policies among them."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses asked for since asked last, besides files, data and the blank page."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith(("file:", "data:", "about:"))]

    def wait(self, condition: str, *arguments: Any, seconds: float = 60) -> Any:
        """What a JavaScript expression is, once it is something; fails where it never is."""
        return WebDriverWait(self.driver, seconds, poll_frequency=0.05).until(
            lambda driver: driver.execute_script(f"return {condition}", *arguments), condition
        )

    def script(self, code: str, *arguments: Any) -> Any:
        """What a piece of JavaScript returns."""
        return self.driver.execute_script(code, *arguments)

    def all(self, selector: str, within: WebElement | None = None) -> list[WebElement]:
        """Elements by CSS selector."""
        return (within or self.driver).find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str, within: WebElement | None = None) -> WebElement:
        """The first of them."""
        return (within or self.driver).find_element(By.CSS_SELECTOR, selector)

    def hover(self, element: WebElement, across: float = 0.5, down: float = 0.5) -> None:
        """Move the pointer to a share of an element's width and height."""
        self._moves().move_to_element_with_offset(element, *_offset(element, across, down)).perform()

    def drag(self, element: WebElement, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press at one place of an element, move to another and let go; shares of its width and height."""
        moves = self._moves().move_to_element_with_offset(element, *_offset(element, *start)).click_and_hold()
        moves.move_to_element_with_offset(element, *_offset(element, *end)).release().perform()

    def keys(self, *keys: str) -> None:
        """Type into whatever has the focus."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def picture(self, path: Path, height: int | None = None) -> Path:
        """The page from its top as a PNG, all of it or so many pixels."""
        height = height or self.script("return document.documentElement.scrollHeight")
        width = self.script("return window.innerWidth")  # a picture has no scroll bar
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        import base64

        found = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True}
        )
        path.write_bytes(base64.b64decode(found["data"]))
        return path

    def _moves(self) -> ActionChains:
        return ActionChains(self.driver, duration=10)


def _offset(element: WebElement, across: float, down: float) -> tuple[int, int]:
    # counted from the middle
    return round((across - 0.5) * element.size["width"]), round((down - 0.5) * element.size["height"])
