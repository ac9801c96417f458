"""A text that somebody writes is tried on the last day's events by the hunting service, on page and API alike."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from sqlalchemy import select

from collector.settings import Detect, Settings
from collector.state.tables import AuditEntry
from collector.store.errors import StoreUnavailableError
from soc_api.hunting import desk, dry_run
from tests.soc_api.conftest import START
from tests.soc_api.hunting import conftest
from tests.soc_api.hunting.conftest import Closeless, Stored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.testclient import TestClient

    from soc_api.services import Services
    from tests.soc_api.conftest import SignedIn

#: Only a pipeline of this installation says which events these are, and what their fields are called.
BOX = """
name: box
description: {en: Boxes, vi: Hộp}
product: box
where: {text: {present: true}}
prepare:
  - {read: text, pattern: 'open (?P<Image>\\S+)'}
categories:
  process_creation: {}
"""
TEXT = """title: Door opened
id: 00000000-0000-4000-8000-00000000000d
status: test
level: high
logsource: {product: box, category: process_creation}
detection:
  selection: {Image: door}
  condition: selection
"""


def event(opened: str) -> dict[str, str]:
    """As the worker stores it: with what the pipeline has read, and the log source that the agent gave it."""
    return {"text": f"open {opened}", "Image": opened}


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stored]:
    monkeypatch.setattr(conftest, "START", (START - timedelta(hours=25)).timestamp())
    store = Stored(tmp_path)
    for opened in ("door", "window", "door", "door"):  # the first is a day and an hour old
        store.put(event(opened), product="box", category="", every_seconds=7_200.0)
    store.put(event("door"), product="box", category="", every_seconds=7_200.0, agency_id=2)
    yield store
    store.close()


@pytest.fixture
def services(services: Services, stored: Stored, tmp_path: Path) -> Services:
    (tmp_path / "box.yml").write_text(BOX)
    settings = Settings(detect=Detect(pipelines=[str(tmp_path / "box.yml")]))
    return dataclasses.replace(services, store=cast("Any", Closeless(stored)), settings=settings)


def check(client: TestClient) -> dict[str, Any]:
    answer = client.post("/api/v1/rules/check", json={"text": TEXT})
    assert answer.status_code == 200, answer.text
    assert answer.json()["ok"]
    found: dict[str, Any] = answer.json()["preview"]
    return found


def test_a_text_is_tried_on_the_last_day_as_the_worker_reads_it_by_this_installations_pipelines(
    signed_in: SignedIn, services: Services
) -> None:
    found = check(signed_in("analyst"))
    assert found == {
        "hours": 24,
        "matches": 3,
        "samples": ["00000004", "00000003", "00000002"],
        "complete": True,
        "not_made": "",
    }
    with services.state.read() as session:
        entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry is not None
    assert entry.action == "rule.hunt"


@pytest.mark.parametrize(("lang", "words"), [("en", "the last 24 hours: it holds for 3."), ("vi", "khớp 3.")])
def test_the_form_says_what_was_found(lang: str, words: str, signed_in: SignedIn) -> None:
    client = signed_in("analyst")
    client.cookies.set("lang", lang)
    page = client.post("/rules/new", data={"text": TEXT, "action": "check"}, headers={"accept": "text/html"})
    assert page.status_code == 200
    assert words in page.text


def test_while_another_hunt_runs_the_text_is_checked_and_that_it_was_not_tried_is_said(
    signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dry_run, "_PATIENCE_SECONDS", 0.0)
    client = signed_in("analyst")
    client.cookies.set("lang", "vi")
    with desk._HUNTING:
        found = check(client)
        data = {"text": TEXT, "action": "check"}
        page = client.post("/rules/new", data=data, headers={"accept": "text/html"})
    assert (found["not_made"], found["matches"]) == (desk.BUSY, 0)
    assert page.status_code == 200
    assert "một lần tìm khác đang chạy" in page.text


def test_while_the_event_store_is_away_the_text_is_still_checked(
    signed_in: SignedIn, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise StoreUnavailableError("nobody answers")

    monkeypatch.setattr(services.store, "query", away)
    assert check(signed_in("analyst"))["not_made"] == "nobody answers"


def test_a_filter_finds_nothing_by_itself_and_is_not_tried(services: Services) -> None:
    text = TEXT.split("detection:")[0] + "filter: {rules: any, selection: {a: b}, condition: selection}\n"
    assert dry_run.dry_run(services, cast("Any", None), text) is None
