"""The console over a small province: real rules, real ledger, a stand-in for the event store."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from rules.catalogue import load_catalogue
from tests.soc_api.pages import demo

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.testclient import TestClient

    from soc_api.services import Services

HTML = {"accept": "text/html"}
RULES = load_catalogue()


@pytest.fixture
def services(services: Services) -> Services:
    return dataclasses.replace(services, catalogue=RULES)


@pytest.fixture
def province(world: object, services: Services) -> Services:
    """``world`` with :func:`demo.fill` on top; the officers' agencies get machines and alerts too."""
    with services.state.write() as session:
        demo.fill(session, RULES, services.clock())
    return services


class Page(HTMLParser):
    """What a browser would make of an answer: tags with attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    def links(self) -> list[str]:
        return [attrs["href"] or "" for tag, attrs in self.tags if tag == "a" and "href" in attrs]

    def field(self, name: str) -> str | None:
        """The value of the first input of that name."""
        for tag, attrs in self.tags:
            if tag == "input" and attrs.get("name") == name:
                return attrs.get("value")
        return None


@pytest.fixture
def look() -> Callable[..., Page]:
    """GET a page that must be there."""

    def get(client: TestClient, path: str, lang: str = "en") -> Page:
        client.cookies.set("lang", lang)
        answer = client.get(path, headers=HTML)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:300]}"
        return Page(answer.text)

    return get
