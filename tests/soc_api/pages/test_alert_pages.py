"""Alerts and incidents as people work them, by forms alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from collector.state.tables import Alert
from tests.soc_api.pages.conftest import HTML, RULES, Page

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.testclient import TestClient

    from tests.soc_api.conftest import SignedIn, World

RULE = next(rule for rule in RULES.values() if rule.triage["vi"] and rule.targets)


@pytest.fixture
def alert(world: World) -> int:
    return world.alert(world.here, "SYT-PC-1", rule_id=RULE.id, count=3)


def send(client: TestClient, page: Page, path: str, **fields: str) -> tuple[int, Page]:
    """Post a form with the page's own token and no header, as a browser does."""
    client.headers.pop("X-CSRF-Token", None)
    data = {"csrf_token": page.field("csrf_token") or "", **fields}
    answer = client.post(path, data=data, headers=HTML)
    return answer.status_code, Page(answer.text)


def test_an_alert_says_what_to_do_in_the_readers_language_and_which_target_it_serves(
    alert: int, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("analyst")
    vietnamese, english = look(client, f"/alerts/{alert}", "vi"), look(client, f"/alerts/{alert}", "en")
    for page, lang in ((vietnamese, "vi"), (english, "en")):
        assert RULE.title[lang] in page.text
        assert " ".join(RULE.description[lang].split()) in page.text
        for step in RULE.triage[lang]:
            assert step in page.text
        for target in RULE.targets:
            assert target in page.text
    assert "Phát hiện 3 lần" in vietnamese.text
    assert "Found 3 times" in english.text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "Found 3 times, at 02/03/2026 15:00:07."),
        (5, "Found 3 times between 02/03/2026 15:00:07 and 02/03/2026 15:00:12."),
        (600, "Found 3 times between 02/03/2026 15:00 and 02/03/2026 15:10."),
    ],
)
def test_when_an_alert_was_found_is_never_a_span_from_a_minute_to_itself(
    seconds: int, said: str, alert: int, world: World, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    first = datetime(2026, 3, 2, 8, 0, 7, tzinfo=UTC)
    with world.services.state.write() as session:
        row = session.get_one(Alert, alert)
        row.first_event_at, row.last_event_at = first, first + timedelta(seconds=seconds)
    assert said in look(signed_in("analyst"), f"/alerts/{alert}", "en").text


def test_an_alert_is_acknowledged_and_closed_with_a_reason_and_a_note(
    alert: int, world: World, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("analyst")
    page = look(client, f"/alerts/{alert}")
    status, page = send(client, page, f"/alerts/{alert}/acknowledge")
    assert status == 200
    assert "Acknowledged" in page.text
    status, page = send(
        client, page, f"/alerts/{alert}/close", reason="true_positive_fixed", note="<b>clamd</b> restarted"
    )
    assert status == 200
    assert "Closed: True alert, remedied" in page.text
    assert "<b>clamd</b> restarted" in page.text
    with world.services.state.read() as session:
        row = session.get_one(Alert, alert)
        assert (row.status, row.closed_by, row.close_reason) == ("closed", "analyst", "true_positive_fixed")


def test_a_refused_change_shows_why_and_keeps_what_was_written(
    alert: int, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("analyst")
    page = look(client, f"/alerts/{alert}")
    client.headers.pop("X-CSRF-Token", None)
    data = {"csrf_token": page.field("csrf_token") or "", "reason": "", "note": "half a sentence"}
    answer = client.post(f"/alerts/{alert}/close", data=data, headers=HTML)
    assert answer.status_code == 409
    assert "half a sentence" in Page(answer.text).text
    assert any(attrs.get("class") == "notice notice-error" for _, attrs in Page(answer.text).tags)


def test_a_form_without_its_token_changes_nothing(alert: int, world: World, signed_in: SignedIn) -> None:
    client = signed_in("analyst")
    client.headers.pop("X-CSRF-Token")
    answer = client.post(f"/alerts/{alert}/acknowledge", data={"csrf_token": "x"}, headers=HTML)
    assert answer.status_code == 403
    with world.services.state.read() as session:
        assert session.get_one(Alert, alert).status == "open"


def test_an_auditor_reads_an_alert_and_is_offered_nothing_to_change(
    alert: int, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("auditor")
    page = look(client, f"/alerts/{alert}")
    actions = {attrs.get("action") for tag, attrs in page.tags if tag == "form"}
    assert actions <= {"/sign-out", "/language", "/theme"}


def test_an_incident_is_made_of_an_alert_noted_and_closed(
    alert: int, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("analyst")
    page = look(client, f"/alerts/{alert}")
    status, page = send(client, page, f"/alerts/{alert}/incident", title="Máy SYT-PC-1 nhiễm mã độc")
    assert status == 200
    assert "Máy SYT-PC-1 nhiễm mã độc" in page.text
    status, page = send(client, page, "/incidents/1/notes", text="Đã ngắt mạng.\nĐang quét.")
    assert status == 200
    assert "Đã ngắt mạng." in page.text
    status, page = send(client, page, "/incidents/1/assignee", assigned_to="analyst")
    assert "Assigned to analyst" in page.text
    status, page = send(client, page, "/incidents/1/status", status="closed")
    assert status == 422
    status, page = send(client, page, "/incidents/1/status", status="closed", reason="fixed")
    assert status == 200
    assert "Status: New → Closed" in page.text
    assert "There is no incident here" in look(client, "/incidents").text
    assert "Máy SYT-PC-1 nhiễm mã độc" in look(client, "/incidents?status=closed").text


def test_alerts_are_filtered_by_the_address_and_found_by_the_rules_title(
    world: World, alert: int, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    world.alert(world.there, "SNV-PC-9", level="low", status="closed")
    client = signed_in("analyst")
    assert "SNV-PC-9" not in look(client, "/alerts").text
    assert "SNV-PC-9" in look(client, "/alerts?status=closed").text
    assert "SNV-PC-9" in look(client, "/alerts?status=all&agency=so-noi-vu").text
    assert "SYT-PC-1" not in look(client, "/alerts?status=all&agency=so-noi-vu").text
    assert "SYT-PC-1" in look(client, f"/alerts?text={RULE.title['vi'][:12]}").text


def test_paging_goes_on_where_the_page_ended_though_new_alerts_arrive(
    world: World, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    for number in range(60):
        world.alert(world.here, f"M-{number:03d}")
    client = signed_in("analyst")
    first = look(client, "/alerts")
    more = next(link for link in first.links() if "after=" in link)
    world.alert(world.here, "M-LATE")
    second = look(client, more)
    assert "M-010" in first.text
    assert "M-009" not in first.text
    assert "M-009" in second.text
    assert "M-LATE" not in second.text


def test_a_lost_machine_is_revoked_then_retired_from_its_page_with_a_reason(
    world: World, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    endpoint = world.endpoint(world.here, "SYT-PC-7")
    client = signed_in("admin")
    page = look(client, f"/endpoints/{endpoint}")
    status, refused = send(client, page, f"/endpoints/{endpoint}/revoke", reason=" ")
    assert status == 422
    assert "must not be empty" in refused.text
    status, page = send(client, page, f"/endpoints/{endpoint}/revoke", reason="stolen")
    assert status == 200
    status, page = send(client, page, f"/endpoints/{endpoint}/retire", reason="stolen")
    assert status == 200
    assert "Retired" in page.text
    assert "SYT-PC-7" not in look(client, "/endpoints").text


def test_only_an_administrator_is_offered_to_revoke(
    world: World, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    endpoint = world.endpoint(world.here, "SYT-PC-8")
    client = signed_in("analyst")
    assert "Revoke" not in look(client, f"/endpoints/{endpoint}").text
    status, _ = send(
        client, look(client, f"/endpoints/{endpoint}"), f"/endpoints/{endpoint}/revoke", reason="x"
    )
    assert status == 403
