"""The page of the agent's versions and the API beside it: who sees what, who may roll out, what is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from sqlalchemy import select

from agent.update.manifest import Manifest, Wheel
from collector.state.tables import Alert, AuditEntry, Document, Endpoint
from collector.steering.releases import service
from collector.steering.releases.rollout import Count, Judgement
from rules.catalogue import OWN_RULES
from tests.soc_api.pages.conftest import HTML, Page

if TYPE_CHECKING:
    from tests.soc_api.conftest import SignedIn, World

PAGE = "/agent-versions"
API = "/api/v1"


@pytest.fixture
def fleet(world: World) -> World:
    """Releases 0.1.0 to 0.4.0; one machine of the old 0.1.0 here, one there on which 0.4.0 was rolled back."""
    now = world.clock.now
    here, there = world.endpoint(world.here, "pc-cu"), world.endpoint(world.there, "may-loi")
    last = {
        "version": "0.4.0",
        "before": "0.3.0",
        "state": "rolled_back",
        "code": "silent",
        "detail": "<b>no word",
    }
    with world.services.state.write() as session:
        session.get_one(Endpoint, here).agent_version = "0.1.0"
        session.get_one(Endpoint, there).agent_version = "0.3.0"
        times: dict[str, Any] = {"observed_at": now, "received_at": now, "changed_at": now}
        body = {"version": "0.3.0", "update": {"last": last}}
        session.add(Document(endpoint_id=there, kind="agent", item="", body=body, digest="", **times))
        for number in range(1, 5):
            version = f"0.{number}.0"
            wheel = Wheel(name=f"vonggac-{version}-py3-none-any.whl", size=1, sha256="0" * 64)
            manifest = Manifest(1, "vonggac", version, 1, now.timestamp(), [wheel])
            service.add_release(session, manifest, version.encode(), "test", now)
    return world


def form(client: Any, action: str, **fields: object) -> int:
    data = {"csrf_token": client.headers["X-CSRF-Token"], **fields}
    status: int = client.post(f"{PAGE}/{action}", data=data, headers=HTML, follow_redirects=False).status_code
    return status


def actions(world: World) -> list[str]:
    with world.services.state.read() as session:
        found = session.scalars(select(AuditEntry.action).order_by(AuditEntry.id))
        return [each for each in found if each.startswith("release.")]


START = {"version": "0.4.0", "wait_hours": 1, "spread_hours": 0, "healthy_percent": 90, "failure_percent": 5}


def test_an_administrator_rolls_out_and_all_of_it_is_written_down(fleet: World, signed_in: SignedIn) -> None:
    client = signed_in("admin")
    assert form(client, "ring", agency="so-y-te", number=0) == 303
    assert form(client, "start", **START) == 303
    assert form(client, "pause") == 303
    assert form(client, "pause") == 409
    assert form(client, "resume") == 303
    page = Page(client.get(PAGE, headers=HTML).text)
    assert "đang triển khai" in page.text
    assert "0.4.0" in page.text
    assert form(client, "stop") == 303
    assert actions(fleet) == [
        "release.ring",
        "release.start",
        "release.pause",
        "release.resume",
        "release.stop",
    ]


def test_the_matrix_marks_what_is_too_old_and_says_why_a_release_failed(
    fleet: World, signed_in: SignedIn
) -> None:
    client = signed_in("admin")
    assert form(client, "start", **START) == 303
    html = client.get(PAGE, headers=HTML).text
    text = Page(html).text
    assert "hết hỗ trợ" in text
    assert "bản mới không chạy được" in text
    assert "<b>no word" not in html
    found = client.get(f"{API}/agent-versions").json()
    assert (found["versions"], found["unsupported"]) == (["0.3.0", "0.1.0"], ["0.1.0"])
    assert {each["code"]: each["oldest"] for each in found["agencies"]} == {
        "so-y-te": "0.1.0",
        "so-noi-vu": "0.3.0",
    }
    assert [(each["hostname"], each["code"]) for each in found["troubled"]] == [("may-loi", "silent")]
    assert found["rollout"]["state"] == "running"


def test_a_rollout_that_halted_leads_to_its_alert(fleet: World, signed_in: SignedIn) -> None:
    client = signed_in("admin")
    assert form(client, "start", **START) == 303
    rule = yaml.safe_load((OWN_RULES / "collector" / "availability_agent_rollout_halted.yml").read_text())
    now = fleet.clock.now
    with fleet.services.state.write() as session:
        rollout = service.current(session)
        assert rollout is not None
        judgement = Judgement("halt", 3, "failed", Count(3, failed=1, due=2).numbers())
        service.carry_out(session, rollout.id, judgement, now)
        times = dict.fromkeys(("first_event_at", "last_event_at", "created_at", "updated_at"), now)
        alert = Alert(rule_id=rule["id"], level="high", subject="0.4.0", subject_key="0.4.0", **times)
        session.add(alert)
        session.flush()
        link = f'href="/alerts/{alert.id}'
    assert link in client.get(PAGE, headers=HTML).text
    assert link not in signed_in("officer").get(PAGE, headers=HTML).text
    assert form(client, "resume") == 303
    assert link not in client.get(PAGE, headers=HTML).text


def test_an_officer_sees_the_machines_of_the_own_agency_and_changes_nothing(
    fleet: World, signed_in: SignedIn
) -> None:
    client = signed_in("officer")
    page = Page(client.get(PAGE, headers=HTML).text)
    assert "Sở Y tế" in page.text
    assert "Sở Nội vụ" not in page.text
    assert client.get(f"{API}/agent-versions").json()["versions"] == ["0.1.0"]
    for action, fields in (("start", START), ("pause", {}), ("ring", {"agency": "so-y-te", "number": 0})):
        assert form(client, action, **fields) == 403
    for username in ("analyst", "auditor"):
        assert form(signed_in(username), "start", **START) == 403
    assert actions(fleet) == []


def test_the_api_rolls_out_and_puts_machines_into_rings(fleet: World, signed_in: SignedIn) -> None:
    client = signed_in("admin")
    assert client.get(f"{API}/rollout").status_code == 404
    assert client.post(f"{API}/rollout", json={"version": "0.9.0"}).status_code == 404
    assert client.post(f"{API}/rollout", json={"version": "0.4.0", "healthy_ratio": 2}).status_code == 409
    started = client.post(f"{API}/rollout", json={"version": "0.4.0"})
    assert (started.status_code, started.json()["ring"]) == (201, 3)
    assert client.post(f"{API}/rollout/pause").json()["state"] == "paused"
    assert client.put(f"{API}/agencies/so-y-te/ring", json={"ring": 0}).json() == {"ring": 0}
    assert client.put(f"{API}/agencies/so-y-te/ring", json={"ring": 9}).status_code == 422
    machine = client.get(f"{API}/agent-versions").json()["troubled"][0]["endpoint_id"]
    assert client.put(f"{API}/endpoints/{machine}/ring", json={"ring": 1}).status_code == 200
    assert {each["ring"] for each in client.get(f"{API}/agent-versions").json()["rings"]} == {0, 1}
    assert client.put(f"{API}/endpoints/nobody/ring", json={"ring": 1}).status_code == 404
    assert client.post(f"{API}/rollout/stop").json()["state"] == "stopped"
