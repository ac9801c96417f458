"""Exceptions from checks: who may, for whom, until when, and what they change in what is counted."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from collector.detect.assessment import ASSESSMENT
from collector.state.scope import EVERYTHING
from collector.state.tables import AuditEntry, Document
from soc_api.assessment.exceptions import in_force, list_exceptions
from soc_api.assessment.service import assessed, results_of, sum_up

if TYPE_CHECKING:
    from collections import Counter

    from soc_api.services import Services
    from tests.soc_api.conftest import SignedIn, World

pytestmark = pytest.mark.usefixtures("on_both_databases")

CHECK = ("linux", "sudo_use_pty")
HERE, THERE = "so-y-te", "so-noi-vu"
PATH = "/api/v1/assessment/exceptions"


def body(**results: str) -> dict[str, Any]:
    return {
        "set": "linux",
        "checks": {name: {"result": each, "found": "x"} for name, each in results.items()},
    }


@pytest.fixture
def site(world: World, services: Services) -> dict[str, str]:
    """Two machines of one agency that fail, one of another that cannot be told."""
    found = {}
    for name, agency, result in (
        ("a", world.here, "failed"),
        ("b", world.here, "passed"),
        ("c", world.there, "unknown"),
    ):
        found[name] = world.endpoint(agency, f"pc-{name}")
        now = world.clock.now
        with services.state.write() as session:
            session.add(
                Document(
                    endpoint_id=found[name],
                    kind=ASSESSMENT,
                    item="linux",
                    body=body(sudo_use_pty=result),
                    digest=name * 8,
                    observed_at=now,
                    received_at=now,
                    changed_at=now,
                )
            )
    return found


def counts(services: Services, world: World) -> Counter[str]:
    now = world.clock.now
    with services.state.read() as session:
        machines = assessed(session, EVERYTHING, now - timedelta(days=1000), in_force(session, now))
    (found,) = sum_up(machines)
    return found.counts


def ask(world: World, **more: Any) -> dict[str, Any]:
    until = (world.clock.now + timedelta(days=30)).isoformat()
    return {
        "set": CHECK[0],
        "check": CHECK[1],
        "reason": "Máy đo cũ, thay quý sau",
        "expires_at": until,
        **more,
    }


def test_an_excepted_failure_stands_apart_until_its_time_is_over(
    site: dict[str, str], services: Services, world: World, signed_in: SignedIn
) -> None:
    assert counts(services, world) == {"failed": 1, "passed": 1, "unknown": 1}
    client = signed_in("analyst")
    made = client.post(PATH, json=ask(world, agency=HERE))
    assert made.status_code == 201, made.text
    assert made.json()["state"] == "in_force"
    assert counts(services, world) == {"excepted": 1, "passed": 1, "unknown": 1}
    page = client.get("/assessment?check=linux.sudo_use_pty&result=excepted").text
    assert "pc-a" in page
    assert "Máy đo cũ, thay quý sau" in page
    world.clock.forward(days=31)
    assert counts(services, world) == {"failed": 1, "passed": 1, "unknown": 1}
    with services.state.read() as session:
        assert list_exceptions(session, EVERYTHING, world.clock.now) == []
        (old,) = list_exceptions(session, EVERYTHING, world.clock.now, past=True)
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "check.except")).one()
    assert (old.state, old.made_by) == ("expired", "analyst")
    assert (entry.actor, entry.detail["check"]) == ("analyst", "linux.sudo_use_pty")


def test_an_exception_for_one_machine_is_for_no_other_and_ends_when_somebody_ends_it(
    site: dict[str, str], services: Services, world: World, signed_in: SignedIn
) -> None:
    client = signed_in("admin")
    made = client.post(PATH, json=ask(world, endpoint_id=site["c"])).json()
    assert (made["hostname"], made["agency_code"]) == ("pc-c", THERE)
    assert counts(services, world) == {"failed": 1, "passed": 1, "excepted": 1}
    assert client.post(PATH, json=ask(world, endpoint_id=site["c"])).status_code == 409
    page = client.get(f"/endpoints/{site['c']}?tab=checks").text
    assert '<span class="tag">Ngoại lệ</span>' in page
    assert client.post(f"{PATH}/{made['id']}/end").json()["state"] == "ended"
    assert client.post(f"{PATH}/{made['id']}/end").status_code == 409
    assert counts(services, world) == {"failed": 1, "passed": 1, "unknown": 1}
    assert client.get(PATH).json()["items"] == []
    assert [each["ended_by"] for each in client.get(f"{PATH}?past=true").json()["items"]] == ["admin"]
    with services.state.read() as session:
        actions = session.scalars(select(AuditEntry.action).where(AuditEntry.action.like("check.%"))).all()
    assert actions == ["check.except", "check.except_end"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"agency": HERE, "check": "no_such_check"},
        {"agency": HERE, "reason": "  "},
        {"agency": HERE, "days": 0},
        {"agency": HERE, "days": 367},
        {},
        {"agency": HERE, "endpoint_id": "x"},
    ],
)
def test_without_a_check_a_reason_an_end_and_one_target_nothing_is_excepted(
    wrong: dict[str, Any], site: dict[str, str], services: Services, world: World, signed_in: SignedIn
) -> None:
    client = signed_in("analyst")
    wrong = dict(wrong)
    until = (world.clock.now + timedelta(days=wrong.pop("days", 30))).isoformat()
    answer = client.post(PATH, json={**ask(world), "expires_at": until, **wrong})
    assert answer.status_code == 422, answer.text
    assert counts(services, world) == {"failed": 1, "passed": 1, "unknown": 1}


def test_an_officer_sees_what_is_excepted_for_his_agency_and_grants_nothing(
    site: dict[str, str], world: World, signed_in: SignedIn
) -> None:
    admin = signed_in("admin")
    for target in ({"agency": HERE}, {"agency": THERE}, {"endpoint_id": site["c"]}):
        assert admin.post(PATH, json=ask(world, **target)).status_code == 201
    officer = signed_in("officer")
    assert [each["agency_code"] for each in officer.get(PATH).json()["items"]] == [HERE]
    assert officer.post(PATH, json=ask(world, agency=HERE)).status_code == 403
    page = officer.get("/assessment").text
    assert "Sở Nội vụ" not in page
    assert "/assessment/exceptions/" not in page


def test_the_form_of_the_page_grants_until_the_end_of_a_day_and_says_what_is_wrong(
    site: dict[str, str], services: Services, world: World, signed_in: SignedIn
) -> None:
    client = signed_in("analyst")
    token = {"csrf_token": client.headers["X-CSRF-Token"]}
    day = (world.clock.now + timedelta(days=10)).date().isoformat()
    form = {**token, "check": ".".join(CHECK), "agency": HERE, "reason": "<b>lý do</b>", "until": day}
    refused = client.post("/assessment/exceptions", data={**form, "until": "mai"})
    assert refused.status_code == 422
    assert 'href="/assessment/exceptions' not in refused.text
    answer = client.post("/assessment/exceptions", data=form, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/assessment?check=linux.sudo_use_pty")
    page = client.get(answer.headers["location"]).text
    assert "&lt;b&gt;lý do" in page
    with services.state.read() as session:
        (made,) = list_exceptions(session, EVERYTHING, world.clock.now)
    assert made.expires_at > world.clock.now + timedelta(days=9)
    ended = client.post(f"/assessment/exceptions/{made.id}/end", data=token, follow_redirects=False)
    assert ended.status_code == 303
    assert client.post("/assessment/exceptions/999/end", data=token).status_code == 404
    assert counts(services, world) == {"failed": 1, "passed": 1, "unknown": 1}


def test_an_agent_cannot_say_of_itself_that_it_is_excepted() -> None:
    assert results_of(body(sudo_use_pty="excepted")) == (("sudo_use_pty", "unknown"),)
