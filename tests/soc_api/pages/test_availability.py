"""Services and links in the console and over the API: strips, months, what is accepted, and who sees what."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from agent.probe.services.sketch import sketch_of
from collector.services import spans
from collector.services.models import Verdict
from collector.services.register import MOST_SERVICES
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


@pytest.fixture
def leased(world: Any, watched: Services) -> Services:
    """One leased line of each agency: one that is full, one that is not measured."""
    begun = watched.clock() - timedelta(hours=1)
    with watched.state.write() as session:
        for agency, state, at in ((world.here, "busy", begun.timestamp()), (world.there, "unknown", 0.0)):
            line = {
                "name": "tslcd",
                "endpoint_id": f"probe-{agency}",
                "device": "rt-1",
                "interface": HOSTILE,
                "received_bits": 100e6,
                "sent_bits": 50e6,
                "received_ratio": 0.93,
                "sent_ratio": 0.2,
                "at": at,
                "state": state,
            }
            told = {"lines": [line], "busy": ["tslcd"], "used_ratio": 0.93}
            spans.write(session, [Verdict("line", agency, state, detail=told)], begun)
    return watched


def test_the_use_of_leased_lines_is_shown_in_percent_of_what_they_carry(
    leased: Services, signed_in: Callable[[str], TestClient], look: Callable[..., Page]
) -> None:
    client = signed_in("officer")
    assert "93 % used" in look(client, "/links").text
    assert "/links/so-y-te" in look(client, "/links?state=trouble").links()
    page = look(client, "/links/so-y-te", "vi")
    assert "Đầy tải kéo dài" in page.text
    assert "100,0 Mbit/s" in page.text
    assert HOSTILE in page.text
    sources = [attrs["data-source"] or "" for _, attrs in page.tags if "data-source" in attrs]
    assert len(sources) == 1
    assert client.get(sources[0]).status_code == 200
    [line] = client.get("/api/v1/links/so-y-te").json()["leased"]
    assert (line["received_ratio"], line["sent_bits"], line["state"]) == (0.93, 50e6, "busy")
    [line] = signed_in("analyst").get("/api/v1/links/so-noi-vu").json()["leased"]
    assert (line["received_ratio"], line["at"], line["state"]) == (None, None, "unknown")


def test_the_history_of_a_line_is_of_its_own_interface_and_of_ones_own_agency(
    leased: Services, world: Any, signed_in: Callable[[str], TestClient], store: Any
) -> None:
    asked: list[dict[str, Any]] = []
    inner = store.query

    def query(sql: str, parameters: Any = None, **more: Any) -> list[dict[str, Any]]:
        asked.append(dict(parameters or {}))
        return list(inner(sql, parameters, **more))

    store.query = query
    client = signed_in("officer")
    mine = {"line": "tslcd", "endpoint": f"probe-{world.here}"}
    assert client.get("/links/so-y-te/history", params=mine).status_code == 200
    assert asked[-1]["endpoint"] == f"probe-{world.here}"
    assert (asked[-1]["keys"], asked[-1]["wanted"]) == (["device", "interface"], ["rt-1", HOSTILE])
    told = len(asked)
    for path, params in (
        ("/links/so-noi-vu/history", {"line": "tslcd", "endpoint": f"probe-{world.there}"}),
        ("/links/so-y-te/history", {"line": "tslcd", "endpoint": f"probe-{world.there}"}),
        ("/links/so-y-te/history", {"line": "other", "endpoint": f"probe-{world.here}"}),
    ):
        assert client.get(path, params=params).status_code == 404
    assert len(asked) == told


def test_a_service_that_only_probes_told_of_can_be_removed_and_one_that_was_entered_cannot(
    watched: Services, signed_in: Callable[[str], TestClient], look: Callable[..., Page]
) -> None:
    analyst = signed_in("analyst")
    assert "Told by probes alone" in look(analyst, "/services").text
    assert "Remove this service" in look(analyst, "/services/portal").text
    officer = signed_in("officer")
    assert "Remove this service" not in look(officer, "/services/portal").text
    assert officer.delete("/api/v1/services/portal").status_code == 403
    body = {"title_vi": "x", "title_en": "", "agency": "", "importance": "high", "sla_ratio": 0.5}
    assert analyst.put("/api/v1/services/entered", json=body).json()["decided"] is True
    assert analyst.delete("/api/v1/services/entered").status_code == 409
    assert "Remove this service" not in look(analyst, "/services/entered").text
    gone = analyst.post("/services/portal/remove", follow_redirects=False, headers={"accept": "text/html"})
    assert (gone.status_code, gone.headers["location"]) == (303, "/services")
    assert analyst.get("/api/v1/services/portal").status_code == 404
    assert analyst.delete("/api/v1/services/portal").status_code == 404
    with watched.state.read() as session:
        assert not [key for key in spans.open_spans(session, ["service", "content"]) if key[1] == 1]
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "service.remove")).one()
    assert entry.target == "service:portal"


def test_people_can_enter_services_beside_any_number_that_probes_told_of(
    watched: Services, signed_in: Callable[[str], TestClient]
) -> None:
    now = watched.clock()
    with watched.state.write() as session:
        session.add_all(Service(name=f"x{number}", first_seen_at=now) for number in range(MOST_SERVICES))
    body = {"title_vi": "Thư", "title_en": "", "agency": "", "importance": "high", "sla_ratio": 0.99}
    assert signed_in("analyst").put("/api/v1/services/mail", json=body).status_code == 200


def test_a_page_that_nobody_has_accepted_is_shown_and_accepted_like_a_changed_one(
    watched: Services, signed_in: Callable[[str], TestClient], look: Callable[..., Page]
) -> None:
    page = {**PAGE, "digest": "d2", "words": []}
    with watched.state.write() as session:
        spans.write(session, [Verdict("content", 1, "unaccepted", detail=page)], watched.clock())
        spans.write(session, [Verdict("certificate", 1, "unknown")], watched.clock())
    client = signed_in("analyst")
    seen = look(client, "/services/portal")
    assert "A page that nobody has accepted yet" in seen.text
    assert seen.field("digest") == "d2"
    assert "Not accepted yet" in look(client, "/services").text
    answer = client.post("/api/v1/services/portal/accept", json={"digest": "d2", "reason": "looked at"})
    assert answer.status_code == 204
    assert client.get("/api/v1/services/portal").json()["decided"] is True
