"""Settings for agents in the console and over the API: looked at, published, brought back, by those who may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from agent import reasons
from collector.state.tables import AuditEntry, Document, EndpointSettings, SettingsPublication
from collector.steering.settings.errors import SettingsRefusedError
from soc_api.pages.agent_settings_form import as_form, from_form
from tests.soc_api.pages.test_alert_pages import send

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.testclient import TestClient

    from soc_api.services import Services
    from tests.soc_api.conftest import SignedIn, World
    from tests.soc_api.pages.conftest import Page

PAGE, EDIT, API = "/agent-settings", "/agent-settings/edit", "/api/v1/agent-settings"


@pytest.fixture
def admin(signed_in: SignedIn) -> TestClient:
    return signed_in("admin")


@pytest.fixture
def machines(world: World) -> dict[str, str]:
    return {
        "here": world.endpoint(world.here, "may-y-te"),
        "there": world.endpoint(world.there, "may-noi-vu"),
    }


def publish(client: TestClient, **values: Any) -> dict[str, Any]:
    body = {"kind": "all", "key": "", "based_on": 0, **values}
    answer = client.post(API, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_settings_are_looked_at_published_and_brought_back_by_forms(
    admin: TestClient, machines: dict[str, str], look: Callable[..., Page], services: Services
) -> None:
    form = look(admin, f"{EDIT}?kind=agency&key=so-y-te")
    assert form.field("based_on") == "0"
    filled = {
        "kind": "agency",
        "key": "so-y-te",
        "based_on": "0",
        "heartbeat_seconds": "120",
        "spool_bytes": "64",
        "disabled": "antivirus_clamav, lan",
        "intervals": "updates = 7200\r\n",
        "comment": "weak machines",
    }
    status, page = send(admin, form, EDIT, action="check", **filled)
    assert status == 200
    for words in (
        "1 machine would get other settings",
        "may-y-te",
        "64 MB",
        "will count as unknown",
        "No agent has told of a collector of this name",
    ):
        assert words in page.text
    with services.state.read() as session:
        assert session.scalars(select(SettingsPublication)).all() == []

    status, page = send(admin, form, EDIT, action="publish", **filled)
    assert status == 200
    assert "weak machines" in page.text
    assert "Not there yet 1" in page.text
    again = look(admin, f"{EDIT}?kind=agency&key=so-y-te")
    assert again.field("based_on") == "1"
    assert again.field("disabled") == "antivirus_clamav lan"

    filled |= {"based_on": "1", "heartbeat_seconds": "300"}
    status, page = send(admin, again, EDIT, action="publish", **filled)
    assert "120 seconds → 300 seconds" in page.text
    status, page = send(admin, again, f"{PAGE}/1/bring-back")
    assert status == 200
    assert "Brought back: no. 1" in page.text
    with services.state.read() as session:
        row = session.get_one(EndpointSettings, machines["here"])
        assert (row.number, row.settings["heartbeat_seconds"]) == (3, 120)
        entries = session.scalars(
            select(AuditEntry).where(AuditEntry.action == "agent_settings.publish")
        ).all()
    assert [(each.actor, each.target, each.detail["number"]) for each in entries] == [
        ("admin", "agency:so-y-te", number) for number in (1, 2, 3)
    ]
    assert entries[1].detail["before"]["heartbeat_seconds"] == 120
    assert entries[1].detail["after"]["heartbeat_seconds"] == 300


def test_what_cannot_be_used_is_said_beside_the_form_and_kept_in_it(
    admin: TestClient, look: Callable[..., Page]
) -> None:
    form = look(admin, EDIT)
    for values, words in (
        ({"heartbeat_seconds": "1"}, "heartbeat_seconds"),
        ({"intervals": "lan 60"}, "name = seconds"),
        ({"disabled": "host"}, "host always runs"),
        ({"spool_bytes": "viele"}, "not a number"),
    ):
        status, page = send(admin, form, EDIT, kind="all", based_on="0", action="publish", **values)
        assert (status, words in page.text) == (422, True), page.text
        assert "cannot be used" in page.text
    assert (
        send(admin, form, EDIT, kind="all", based_on="0", action="publish", heartbeat_seconds="9e9")[0] == 422
    )
    assert (
        send(admin, form, EDIT, kind="all", based_on="0", action="publish", heartbeat_seconds="90")[0] == 200
    )
    status, page = send(admin, form, EDIT, kind="all", based_on="0", action="publish", heartbeat_seconds="77")
    assert status == 409
    assert page.field("heartbeat_seconds") == "77"


def test_the_page_says_how_machines_stand_and_why_in_both_languages(
    admin: TestClient, machines: dict[str, str], look: Callable[..., Page], services: Services, world: World
) -> None:
    number = publish(admin, settings={"heartbeat_seconds": 90, "disabled": []})["number"]
    said = {"number": 0, "failed": number, "failure": "rolled_back", "stated": ["<b>x</b>"]}
    said["reason"] = reasons.SETTINGS_NO_ANSWER(seconds=600)
    now = world.clock.now
    moments = dict.fromkeys(("observed_at", "received_at", "changed_at"), now)
    with services.state.write() as session:
        body = {"version": "1", "settings": said}
        session.add(
            Document(endpoint_id=machines["here"], kind="agent", item="", body=body, digest="", **moments)
        )
    page = look(admin, f"{PAGE}?state=rolled_back&endpoint={machines['here']}")
    assert "no answer of the collector came within 600 seconds" in page.text
    assert "Taken back by the machine 1" in page.text
    assert "may-noi-vu" not in page.text
    assert "<b>x</b>" in page.text
    assert "Signoflifeevery90secondsAllmachines" in page.text.replace(" ", "")
    page = look(admin, f"{PAGE}?state=rolled_back", lang="vi")
    assert "không nhận được trả lời của máy chủ trong 600 giây" in page.text
    assert "Máy tự thu hồi 1" in page.text


def test_the_api_tells_and_does_the_same(admin: TestClient, machines: dict[str, str]) -> None:
    wish = {"kind": "endpoint", "key": machines["here"], "settings": {"intervals": {"lan": 90}}}
    seen = admin.post(f"{API}/preview", json=wish).json()
    assert (seen["machines"], seen["examples"][0]["hostname"]) == (1, "may-y-te")
    made = publish(admin, **wish)
    assert made["changes"] == [{"name": "intervals.lan", "before": None, "after": 90.0}]
    of = admin.get(f"/api/v1/endpoints/{machines['here']}/settings").json()
    assert of["settings"] == {"intervals.lan": 90.0}
    assert of["origins"] == {"intervals.lan": {"kind": "endpoint", "key": machines["here"]}}
    assert (of["standing"]["wanted"], of["standing"]["state"]) == (made["number"], "waiting")
    overview = admin.get(API).json()
    assert overview["states"]["waiting"] == 1
    assert overview["layers"][0]["number"] == made["number"]
    assert admin.get(f"{API}/machines?state=none").json()["items"][0]["hostname"] == "may-noi-vu"
    assert admin.post(API, json={**wish, "based_on": 0}).status_code == 409
    refused = admin.post(API, json={**wish, "based_on": 1, "settings": {"heartbeat_seconds": 0}})
    assert refused.status_code == 422
    assert (
        refused.json()["errors" if "errors" in refused.json() else "faults"][0]["where"]
        == "heartbeat_seconds"
    )
    assert admin.post(f"{API}/history/1/bring-back").status_code == 201
    assert [each["number"] for each in admin.get(f"{API}/history").json()["items"]] == [2, 1]
    assert admin.post(f"{API}/history/99/bring-back").status_code == 404


def test_only_who_may_steer_agents_publishes_and_each_sees_his_own(
    signed_in: SignedIn, admin: TestClient, machines: dict[str, str], look: Callable[..., Page]
) -> None:
    publish(admin, kind="agency", key="so-noi-vu", settings={"heartbeat_seconds": 90})
    publish(admin, kind="endpoint", key=machines["there"], settings={"metrics_seconds": 90})
    for name in ("officer", "analyst", "auditor"):
        client = signed_in(name)
        body = {"kind": "all", "based_on": 0, "settings": {}}
        assert client.post(API, json=body).status_code == 403
        assert client.post(f"{API}/preview", json=body).status_code == 403
        assert client.post(f"{API}/history/1/bring-back").status_code == 403
        assert client.get(EDIT).status_code == 403
        assert "Write settings" not in look(client, PAGE).text
    officer = signed_in("officer")
    assert officer.get(API).json()["layers"] == []
    assert officer.get(f"{API}/history").json()["items"] == []
    assert [each["hostname"] for each in officer.get(f"{API}/machines").json()["items"]] == ["may-y-te"]
    assert officer.get(f"/api/v1/endpoints/{machines['there']}/settings").status_code == 404
    assert "noi-vu" not in look(officer, f"{PAGE}?endpoint={machines['there']}").text


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"disabled": []},
        {"disabled": ["lan", "updates"], "intervals": {"a": 1.5, "b": 20}, "spool_bytes": 64 << 20},
        {"heartbeat_seconds": 30, "metrics_seconds": 60.5, "trial_seconds": 60},
    ],
)
def test_a_form_says_again_what_it_was_filled_with(settings: dict[str, Any]) -> None:
    assert from_form(as_form(settings)) == settings


@pytest.mark.parametrize("text", ["-1", "1e9", "nan", "٣", "1.2.3", "9" * 400, "."])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(SettingsRefusedError) as refused:
        from_form({"trial_seconds": text})
    assert refused.value.field == "trial_seconds"
