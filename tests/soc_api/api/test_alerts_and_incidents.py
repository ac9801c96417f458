"""Alerts and incidents over the API."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.testclient import TestClient

    SignedIn = Callable[[str], TestClient]

pytestmark = pytest.mark.usefixtures("on_both_databases")


def test_an_alert_is_acknowledged_then_closed_with_a_reason(signed_in: SignedIn, world: Any) -> None:
    alert_id = world.alert(world.here, "máy-01")
    client = signed_in("analyst")
    acknowledged = client.post(f"/api/v1/alerts/{alert_id}/acknowledge").json()
    assert (acknowledged["status"], acknowledged["acknowledged_by"]) == ("acknowledged", "analyst")
    body = {"reason": "true_positive_fixed", "note": "đã bật lại"}
    closed = client.post(f"/api/v1/alerts/{alert_id}/close", json=body).json()
    assert (closed["status"], closed["close_reason"], closed["close_note"]) == (
        "closed",
        "true_positive_fixed",
        "đã bật lại",
    )
    history = signed_in("auditor").get("/api/v1/audit", params={"action": "alert"}).json()["items"]
    assert [(row["actor"], row["action"], row["target"]) for row in history] == [
        ("analyst", "alert.close", f"alert:{alert_id}"),
        ("analyst", "alert.acknowledge", f"alert:{alert_id}"),
    ]


def test_whoever_comes_second_is_told_who_was_first(signed_in: SignedIn, world: Any) -> None:
    alert_id = world.alert(world.here, "a")
    signed_in("analyst").post(f"/api/v1/alerts/{alert_id}/acknowledge")
    answer = signed_in("admin").post(f"/api/v1/alerts/{alert_id}/acknowledge")
    assert answer.status_code == 409
    assert "analyst" in answer.json()["detail"]
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "body.reason"),
        ({"reason": "bored"}, "body.reason"),
        ({"reason": "benign", "note": "x" * 4001}, "body.note"),
        ({"reason": "benign", "nota": "x"}, "body.nota"),
    ],
)
def test_a_wrong_body_is_refused_with_its_place(
    signed_in: SignedIn, world: Any, body: dict[str, str], where: str
) -> None:
    alert_id = world.alert(world.here, "a")
    answer = signed_in("analyst").post(f"/api/v1/alerts/{alert_id}/close", json=body)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"] == "urn:vonggac:problem:invalid"
    assert problem["errors"][0]["where"] == where


def test_pages_of_alerts_join_without_gap_or_repetition(signed_in: SignedIn, world: Any) -> None:
    made = [world.alert(world.here, f"s{number}") for number in range(7)]
    client = signed_in("officer")
    seen: list[int] = []
    after: str | None = None
    while True:
        page = client.get(
            f"/api/v1/alerts?limit=3&after={after}" if after else "/api/v1/alerts?limit=3"
        ).json()
        seen += [row["id"] for row in page["items"]]
        if not seen[3:]:
            world.alert(world.here, "arrives meanwhile")
        after = page["next"]
        if after is None:
            break
    assert seen == made[::-1]


@pytest.mark.parametrize("cursor", ["x", "!!", "bmV3ZXN0OjA6eA==", "w7w=", "bGV2ZWw6MDox"])
@pytest.mark.parametrize("path", ["/api/v1/alerts", "/api/v1/incidents", "/api/v1/audit", "/api/v1/rules"])
def test_a_forged_cursor_is_refused(signed_in: SignedIn, path: str, cursor: str) -> None:
    assert signed_in("auditor").get(path, params={"after": cursor}).status_code == 422


def test_alerts_are_filtered_by_level_status_and_text(signed_in: SignedIn, world: Any) -> None:
    world.alert(world.here, "máy kế toán", level="critical")
    world.alert(world.here, "máy văn thư", level="low")
    client = signed_in("analyst")
    assert len(client.get("/api/v1/alerts", params={"level": ["critical", "high"]}).json()["items"]) == 1
    assert len(client.get("/api/v1/alerts", params={"text": "văn"}).json()["items"]) == 1
    assert client.get("/api/v1/alerts", params={"status": "closed"}).json() == {"items": [], "next": None}
    assert client.get("/api/v1/alerts", params={"since": "2026-11-21T00:00:00"}).status_code == 422


@pytest.fixture
def case(signed_in: SignedIn, world: Any) -> tuple[TestClient, int]:
    now = world.clock.now
    first = world.alert(world.here, "a", level="low", first_event_at=now - timedelta(hours=30))
    second = world.alert(world.here, "b", level="critical")
    client = signed_in("analyst")
    answer = client.post("/api/v1/incidents", json={"title": "Mã độc ở Sở Y tế", "alerts": [second, first]})
    assert answer.status_code == 201
    return client, answer.json()["id"]


def test_an_incident_takes_level_agency_and_detection_from_its_alerts(
    case: tuple[TestClient, int], world: Any
) -> None:
    client, incident_id = case
    whole = client.get(f"/api/v1/incidents/{incident_id}").json()
    assert (whole["level"], whole["agency_id"], whole["status"]) == ("critical", world.here, "open")
    assert [alert["subject"] for alert in whole["alerts"]] == ["a", "b"]
    assert whole["detected_at"] == whole["alerts"][0]["first_event_at"]
    due = {clock["key"]: clock["overdue"] for clock in whole["clocks"]}
    assert due == {"initial_notice": True, "cause_scope_remedy": False, "personal_data": False}


def test_an_incident_walks_its_statuses_and_no_others(case: tuple[TestClient, int]) -> None:
    client, incident_id = case
    path = f"/api/v1/incidents/{incident_id}/status"
    assert client.post(path, json={"status": "resolved"}).status_code == 409
    assert client.post(path, json={"status": "in_progress"}).json()["next_statuses"] == ["resolved", "closed"]
    resolved = client.post(path, json={"status": "resolved"}).json()
    assert resolved["resolved_at"] is not None
    assert not any(clock["overdue"] for clock in resolved["clocks"])
    assert client.post(path, json={"status": "closed"}).status_code == 422
    closed = client.post(path, json={"status": "closed", "reason": "fixed"}).json()
    assert (closed["status"], closed["close_reason"]) == ("closed", "fixed")
    again = client.post(path, json={"status": "in_progress"}).json()
    assert (again["resolved_at"], again["closed_at"], again["close_reason"]) == (None, None, None)
    assert [line["action"] for line in again["history"]] == [
        "incident.create",
        "incident.status",
        "incident.status",
        "incident.status",
        "incident.status",
    ]


def test_an_incident_is_given_only_to_somebody_who_may_work_it(case: tuple[TestClient, int]) -> None:
    client, incident_id = case
    path = f"/api/v1/incidents/{incident_id}/assignee"
    assert client.post(path, json={"assigned_to": "admin"}).json()["assigned_to"] == "admin"
    for nobody in ("officer", "auditor", "ghost"):
        assert client.post(path, json={"assigned_to": nobody}).status_code == 422
    assert client.post(path, json={"assigned_to": None}).json()["assigned_to"] is None


def test_an_alert_belongs_to_one_incident_only(case: tuple[TestClient, int], world: Any) -> None:
    client, incident_id = case
    taken = client.get(f"/api/v1/incidents/{incident_id}").json()["alerts"][0]["id"]
    assert client.post("/api/v1/incidents", json={"title": "x", "alerts": [taken]}).status_code == 409
    assert client.post("/api/v1/incidents", json={"title": "x", "alerts": [99999]}).status_code == 404


def test_further_alerts_may_move_the_clock_back_and_widen_the_agency(
    case: tuple[TestClient, int], world: Any
) -> None:
    client, incident_id = case
    early = world.clock.now - timedelta(hours=80)
    more = world.alert(world.there, "c", level="medium", first_event_at=early)
    whole = client.post(f"/api/v1/incidents/{incident_id}/alerts", json={"alerts": [more]}).json()
    assert whole["agency_id"] is None
    assert whole["detected_at"] == early.isoformat().replace("+00:00", "Z")


def test_an_officer_reads_the_agencys_incident_and_cannot_work_it(
    case: tuple[TestClient, int], signed_in: SignedIn
) -> None:
    _, incident_id = case
    officer = signed_in("officer")
    assert officer.get(f"/api/v1/incidents/{incident_id}").status_code == 200
    assert officer.post(f"/api/v1/incidents/{incident_id}/notes", json={"text": "x"}).status_code == 403
    assert signed_in("officer2").get(f"/api/v1/incidents/{incident_id}").status_code == 404


def test_a_note_is_kept_as_it_was_written(case: tuple[TestClient, int]) -> None:
    client, incident_id = case
    text = "<script>alert(1)</script>\nđã cách ly máy"
    assert client.post(f"/api/v1/incidents/{incident_id}/notes", json={"text": text}).status_code == 201
    notes = client.get(f"/api/v1/incidents/{incident_id}").json()["notes"]
    assert [(note["written_by"], note["text"]) for note in notes] == [("analyst", text)]
    assert client.post(f"/api/v1/incidents/{incident_id}/notes", json={"text": "  "}).status_code == 422
