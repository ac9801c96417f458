"""Services and links in the console and over the API: strips, months, what is accepted, and who sees what."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from agent.probe.services.sketch import sketch_of
from collector.services import spans
from collector.services.models import Verdict
from collector.state.tables import AuditEntry, Document, Service, ServiceContent, ServiceMaintenance

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.testclient import TestClient

    from soc_api.services import Services
    from tests.soc_api.pages.conftest import Page

HOSTILE = "<script>alert(1)</script>"
PAGE = {
    "digest": "d1",
    "text": sketch_of(["a b c"]),
    "structure": sketch_of(["html>body"]),
    "hosts": [],
    "words": ["hacked by"],
    "title": HOSTILE,
    "excerpt": "Hacked by somebody",
    "score_ratio": 0.93,
    "new_hosts": ["evil.test"],
}


@pytest.fixture
def watched(world: Any, services: Services) -> Services:
    """A portal that is down for one agency and was defaced; both agencies have a probe, one of them cut off."""
    now = services.clock()
    begun, lost = now - timedelta(hours=30), now - timedelta(hours=2)
    with services.state.write() as session:
        session.add(
            Service(
                name="portal",
                title_vi="Cổng thông tin",
                title_en="Portal",
                first_seen_at=begun,
                sla_ratio=0.99,
            )
        )
        session.flush()
        told = {"asked_count": 2, "down_count": 0, "reasons": []}
        spans.write(session, [Verdict("service", 1, "up", detail=told)], begun)
        for agency in (world.here, world.there):
            spans.write(session, [Verdict(kind, agency, "connected") for kind in ("lan", "wan")], begun)
        told = {"asked_count": 2, "down_count": 1, "reasons": ["nothing answers at the other end"]}
        spans.write(session, [Verdict("service", 1, "down_for_all", detail=told)], lost)
        silent = {"reasons": ["agency_silent"]}
        cut = [
            Verdict("lan", world.there, "unknown", detail=silent),
            Verdict("wan", world.there, "unreachable", detail=silent),
        ]
        spans.write(session, cut, lost)
        spans.write(session, [Verdict("content", 1, "changed", detail=PAGE)], lost)
        spans.write(session, [Verdict("certificate", 1, "7", detail={"days_left": 5, "problem": ""})], lost)
        spans.write(session, [Verdict("posture", 1, "x", detail={"findings": ["header_csp_missing"]})], lost)
    for agency, name in ((world.here, "probe-here"), (world.there, "probe-there")):
        endpoint = world.endpoint(agency, name)
        with services.state.write() as session:
            body: dict[str, Any] = {"state": "down", "reason": HOSTILE, "since": now.timestamp()}
            for kind, item in (("service_check", "portal"), ("link", "gateway")):
                session.add(
                    Document(
                        endpoint_id=endpoint,
                        kind=kind,
                        item=item,
                        body={**body, "role": "lan", "address": HOSTILE},
                        digest="0",
                        observed_at=now,
                        received_at=now,
                        changed_at=now,
                    )
                )
    return services


def test_the_list_shows_a_strip_a_month_and_what_was_promised(
    watched: Services, signed_in: Callable[[str], TestClient], look: Callable[..., Page]
) -> None:
    page = look(signed_in("officer"), "/services", "vi")
    assert "Cổng thông tin" in page.text
    assert "Ngừng ở mọi nơi" in page.text
    assert "dưới cam kết" in page.text
    assert "còn 5 ngày" in page.text
    rects = [attrs["class"] for tag, attrs in page.tags if tag == "rect"]
    assert len(rects) == 72
    assert rects.count("fill-none") == 7
    strip = next(attrs for tag, attrs in page.tags if attrs.get("class") == "beats")
    assert "Ngừng ở mọi nơi" in (strip["aria-label"] or "")


def test_a_service_shows_probes_of_ones_own_agency_only_and_hostile_text_as_text(
    watched: Services, signed_in: Callable[[str], TestClient], look: Callable[..., Page]
) -> None:
    seen = look(signed_in("officer"), "/services/portal")
    assert "probe-here" in seen.text
    assert "probe-there" not in seen.text
    assert HOSTILE in seen.text
    assert seen.field("digest") is None, "an officer accepts nothing"
    all_of_it = look(signed_in("analyst"), "/services/portal")
    assert "probe-there" in all_of_it.text
    assert all_of_it.field("digest") == "d1"
    assert signed_in("officer").get("/services/none").status_code == 404
    assert look(signed_in("analyst"), "/services").field("sla_percent") == "99"


def test_links_show_connected_agencies_with_their_denominator(
    watched: Services, signed_in: Callable[[str], TestClient], look: Callable[..., Page]
) -> None:
    page = look(signed_in("analyst"), "/links")
    assert "1 of 2 agencies with a probe" in page.text
    assert "Unreachable" in page.text
    assert "Tỷ lệ các cơ quan trực thuộc có LAN là 100%" in page.text
    only = look(signed_in("analyst"), "/links?state=trouble")
    assert "/links/so-noi-vu" in only.links()
    assert "/links/so-y-te" not in only.links()
    one = look(signed_in("analyst"), "/links/so-noi-vu")
    assert HOSTILE in one.text
    assert "Nothing is heard of the whole agency" in one.text
    assert "this is what its probe last said" in one.text


def test_the_overview_counts_connected_agencies_within_reach(
    watched: Services, signed_in: Callable[[str], TestClient], look: Callable[..., Page]
) -> None:
    text = look(signed_in("analyst"), "/").text
    assert "LAN connected1 / 2" in text
    assert "WAN connected1 / 2" in text
    assert "LAN connected1 / 1" in look(signed_in("officer"), "/").text


def test_an_officer_sees_no_other_agencys_links(
    watched: Services, signed_in: Callable[[str], TestClient], look: Callable[..., Page]
) -> None:
    client = signed_in("officer")
    assert "/links/so-noi-vu" not in look(client, "/links").links()
    assert client.get("/links/so-noi-vu").status_code == 404
    assert client.get("/api/v1/links/so-noi-vu").status_code == 404
    assert [each["code"] for each in client.get("/api/v1/links").json()["agencies"]] == ["so-y-te"]


def test_a_right_change_is_accepted_with_a_reason_once_and_is_audited(
    watched: Services, signed_in: Callable[[str], TestClient]
) -> None:
    client = signed_in("analyst")

    def accept(**form: str) -> int:
        answer = client.post(
            "/services/portal/accept",
            data=form,
            follow_redirects=False,
            headers={"accept": "text/html"},
        )
        return answer.status_code

    assert accept(digest="d1", reason=" ") == 422
    assert accept(digest="d0", reason="new design") == 409
    assert accept(digest="d1", reason="new design") == 303
    with watched.state.read() as session:
        row = session.scalars(select(ServiceContent)).one()
        assert (row.digest, row.accepted_by, row.reason) == ("d1", "analyst", "new design")
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "service.accept_content")).one()
        assert entry.target == "service:portal"


def test_the_api_says_the_same_and_officers_change_nothing(
    watched: Services, signed_in: Callable[[str], TestClient]
) -> None:
    client = signed_in("officer")
    found = client.get("/api/v1/services").json()
    assert [(each["name"], each["state"]) for each in found] == [("portal", "down_for_all")]
    month = found[0]["months"][0]
    assert month["bad_seconds"] == pytest.approx(7200, abs=120)
    assert month["ratio"] == pytest.approx(28 / 30, abs=0.01)
    body = {"title_vi": "x", "title_en": "", "agency": "", "importance": "high", "sla_ratio": 0.5}
    assert client.put("/api/v1/services/portal", json=body).status_code == 403


def test_the_register_and_planned_work_are_kept_by_the_analyst(
    watched: Services, signed_in: Callable[[str], TestClient]
) -> None:
    client = signed_in("analyst")
    body = {
        "title_vi": "Một cửa",
        "title_en": "One-stop",
        "agency": "so-noi-vu",
        "importance": "high",
        "sla_ratio": 0.995,
    }
    made = client.put("/api/v1/services/one-stop", json=body)
    assert made.status_code == 200, made.text
    assert (made.json()["agency"], made.json()["sla_ratio"]) == ("Sở Nội vụ", 0.995)
    assert client.put("/api/v1/services/One Stop", json=body).status_code == 422
    assert client.put("/api/v1/services/x", json={**body, "sla_ratio": 1.5}).status_code == 422

    now = watched.clock()

    def plan(begin: float, end: float) -> Any:
        times = {
            "begins_at": (now + timedelta(hours=begin)).isoformat(),
            "ends_at": (now + timedelta(hours=end)).isoformat(),
        }
        return client.post("/api/v1/services/portal/plans", json={**times, "reason": "update"})

    assert plan(-3, -1).status_code == 422, "an outage cannot be made to have been planned"
    assert plan(1, 1).status_code == 422
    assert plan(1, 1000).status_code == 422
    made = plan(0, 2)
    assert made.status_code == 201
    number = made.json()["id"]
    assert client.get("/api/v1/services/portal").json()["planned"] is True
    ended = client.post(f"/api/v1/services/portal/plans/{number}/end")
    assert ended.status_code == 204
    assert client.post(f"/api/v1/services/portal/plans/{number}/end").status_code == 409
    with watched.state.read() as session:
        assert session.scalars(select(ServiceMaintenance)).one().ended_by == "analyst"
        actions = set(session.scalars(select(AuditEntry.action)))
    assert {"service.change", "service.plan", "service.plan_end"} <= actions
