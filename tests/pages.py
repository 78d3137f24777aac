"""Reads pages: their tags and texts, and what their scripts are given to draw."""

from __future__ import annotations

import json
from html import unescape
from html.parser import HTMLParser
from typing import Any

from forecast.evaluate.report.page import environment

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Tags, attributes and texts of a page; fails where a tag is closed that was not open."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def of(self, tag: str) -> list[str]:
        """Texts that stand right inside such a tag."""
        return [text for name, text in self.texts if name == tag]


def show(part: object) -> str:
    """A part of a page as HTML."""
    return str(environment().get_template("parts.html.j2").module.show(part))  # type: ignore[attr-defined]


def specs(source: str) -> dict[str, dict[str, Any]]:
    """What the script of a page is given to draw, by title."""
    figures = [figure for figure in source.split("<figure")[1:] if "application/json" in figure]
    return {
        unescape(figure.split("<figcaption>")[1].split("</figcaption>")[0]): json.loads(
            figure.split('<script type="application/json">')[1].split("</script>")[0]
        )
        for figure in figures
    }
