"""Devices by API and console: who sees which, who approves, what it changes, and that no agency sees another's."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from collector.state.tables import AuditEntry, Device, DeviceAddress
from tests.soc_api.pages.conftest import HTML, Page

if TYPE_CHECKING:
    from soc_api.services import Services
    from tests.soc_api.conftest import SignedIn, World

pytestmark = pytest.mark.usefixtures("on_both_databases")

PATH = "/api/v1/devices"
PI, PHONE, PC, ROUTER, AWAY = (f"3c:52:82:00:00:0{number}" for number in range(1, 6))
HOSTILE = "<img src=x onerror=alert(1)>\u202e"


@pytest.fixture
def site(world: World, services: Services) -> dict[str, int]:
    """Devices of ``here`` in every standing, and one of ``there``; ids by MAC."""
    now, owner = world.clock.now, world.endpoint(world.here, "PC-01")
    rows: dict[str, dict[str, Any]] = {
        PI: {
            "name": HOSTILE,
            "ip": "10.0.0.9",
            "vendor": "Raspberry Pi Foundation",
            "port": "Gi0/7",
            "switch": "sw",
        },
        PHONE: {"ip": "10.0.0.10", "first_seen_at": now - timedelta(hours=3)},
        PC: {"ip": "10.0.0.11", "endpoint_id": owner},
        ROUTER: {"ip": "10.0.0.1", "kind": "gateway"},
        AWAY: {"ip": "10.0.0.12", "last_seen_at": now - timedelta(days=2)},
    }
    found = {}
    with services.state.write() as session:
        for mac, more in rows.items():
            values = {
                "agency_id": world.here,
                "mac": mac,
                "first_seen_at": now - timedelta(days=3),
                "last_seen_at": now,
                **more,
            }
            device = Device(**values)
            session.add(device)
            session.flush()
            found[mac] = device.id
        elsewhere = Device(agency_id=world.there, mac=PI, ip="10.9.9.9", first_seen_at=now, last_seen_at=now)
        session.add(elsewhere)
        session.add(DeviceAddress(device_id=found[PI], ip="10.0.7.7", first_seen_at=now, last_seen_at=now))
        session.flush()
        found["elsewhere"] = elsewhere.id
    return found


def ask(world: World, mac: str = PI, **more: Any) -> dict[str, Any]:
    until = (world.clock.now + timedelta(days=30)).isoformat()
    return {
        "agency": "so-y-te",
        "mac": mac,
        "reason": "Máy đo của phòng xét nghiệm",
        "expires_at": until,
        **more,
    }


def standings(answer: Any) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    return {each["mac"]: each["standing"] for each in answer.json()["items"]}


def test_every_device_stands_in_one_place_and_an_approval_changes_it(
    site: dict[str, int], world: World, signed_in: SignedIn
) -> None:
    client = signed_in("officer")
    everything = {PI: "unmanaged", PHONE: "unmanaged", PC: "managed", ROUTER: "network", AWAY: "gone"}
    assert standings(client.get(PATH)) == everything
    made = client.post(f"{PATH}/approvals", json=ask(world, PI.upper()))
    assert made.status_code == 201, made.text
    assert standings(client.get(PATH, params={"standing": "approved"})) == {PI: "approved"}
    assert client.post(f"{PATH}/approvals", json=ask(world)).status_code == 409
    ended = client.delete(f"{PATH}/approvals/{made.json()['id']}")
    assert ended.json()["ended_by"] == "officer"
    assert client.delete(f"{PATH}/approvals/{made.json()['id']}").status_code == 409
    assert standings(client.get(PATH)) == everything


def test_the_name_of_another_agencys_endpoint_is_not_shown(
    site: dict[str, int], world: World, signed_in: SignedIn, services: Services
) -> None:
    foreign = world.endpoint(world.there, "BI-MAT")
    with services.state.write() as session:
        session.execute(
            update(Device).where(Device.id == site[PI]).values(endpoint_id=foreign, seen_by=foreign)
        )
    client = signed_in("officer")
    listed = {each["mac"]: each for each in client.get(PATH).json()["items"]}
    assert (listed[PI]["endpoint_id"], listed[PI]["hostname"], listed[PI]["seen_by"]) == ("", "", "")
    assert listed[PC]["hostname"] == "PC-01"
    assert "BI-MAT" not in client.get(f"{PATH}/{site[PI]}").text


def test_an_approval_is_over_when_its_time_is(
    site: dict[str, int], world: World, signed_in: SignedIn, services: Services
) -> None:
    until = (world.clock.now + timedelta(minutes=5)).isoformat()
    client = signed_in("analyst")
    with services.state.write() as session:
        session.get_one(Device, site[PI]).unauthorised_at = world.clock.now
    assert client.post(f"{PATH}/approvals", json=ask(world, expires_at=until)).status_code == 201
    whole = client.get(f"{PATH}/{site[PI]}").json()
    assert (whole["standing"], whole["addresses"][0]["ip"]) == ("approved", "10.0.7.7")
    with services.state.read() as session:
        assert session.get_one(Device, site[PI]).unauthorised_at is None
    world.clock.forward(minutes=6)
    assert client.get(f"{PATH}/{site[PI]}").json()["standing"] == "unmanaged"


@pytest.mark.parametrize(
    "wrong",
    [
        {"mac": "ff:ff:ff:ff:ff:ff"},
        {"mac": "no"},
        {"reason": "  "},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2029-01-01T00:00:00Z"},
    ],
)
def test_an_approval_needs_a_card_a_reason_and_an_end(
    wrong: dict[str, str], site: dict[str, int], world: World, signed_in: SignedIn
) -> None:
    assert signed_in("analyst").post(f"{PATH}/approvals", json=ask(world, **wrong)).status_code == 422


def test_an_officer_reaches_only_the_devices_of_his_agency(
    site: dict[str, int], world: World, signed_in: SignedIn
) -> None:
    client = signed_in("officer")
    other = site["elsewhere"]
    assert "10.9.9.9" not in client.get(PATH).text
    assert client.get(PATH, params={"agency": "so-noi-vu"}).status_code == 404
    assert client.get(f"{PATH}/{other}").status_code == 404
    assert client.put(f"{PATH}/{other}/kind", json={"kind": "printer"}).status_code == 404
    assert client.post(f"{PATH}/approvals", json=ask(world, agency="so-noi-vu")).status_code == 404
    theirs = signed_in("officer2")
    made = theirs.post(f"{PATH}/approvals", json=ask(world, agency="so-noi-vu")).json()
    assert client.delete(f"{PATH}/approvals/{made['id']}").status_code == 404
    # An approval of one agency says nothing in another, where the same card is.
    assert client.get(f"{PATH}/{site[PI]}").json()["standing"] == "unmanaged"
    assert client.get(f"/devices/{other}", headers=HTML).status_code == 404


def test_an_auditor_reads_and_decides_nothing(
    site: dict[str, int], world: World, signed_in: SignedIn
) -> None:
    client = signed_in("auditor")
    assert len(standings(client.get(PATH))) == 5
    assert client.post(f"{PATH}/approvals", json=ask(world)).status_code == 403
    assert client.put(f"{PATH}/{site[PI]}/kind", json={"kind": "printer"}).status_code == 403


def test_what_people_decide_is_in_the_audit_log(
    site: dict[str, int], world: World, signed_in: SignedIn, services: Services
) -> None:
    client = signed_in("officer")
    said = client.put(f"{PATH}/{site[PHONE]}/kind", json={"kind": "phone"})
    assert said.json()["kind"] == "phone"
    assert client.put(f"{PATH}/{site[PHONE]}/kind", json={"kind": "toaster"}).status_code == 422
    made = client.post(f"{PATH}/approvals", json=ask(world)).json()
    client.delete(f"{PATH}/approvals/{made['id']}")
    with services.state.read() as session:
        entries = session.scalars(select(AuditEntry).where(AuditEntry.action.startswith("device."))).all()
    assert [entry.action for entry in entries] == ["device.kind", "device.approve", "device.approval_end"]
    assert {entry.actor for entry in entries} == {"officer"}


def test_a_search_finds_by_name_card_maker_port_and_former_address(
    site: dict[str, int], signed_in: SignedIn
) -> None:
    client = signed_in("officer")
    for text in ("onerror", PI.upper().replace(":", "-"), "raspberry", "gi0/7", "10.0.7.7"):
        assert PI in standings(client.get(PATH, params={"text": text})), text
    assert standings(client.get(PATH, params={"text": "%"})) == {}


def test_the_pages_show_what_is_to_be_done_and_nothing_that_a_device_says_is_markup(
    site: dict[str, int], world: World, signed_in: SignedIn
) -> None:
    client = signed_in("officer")
    for lang, todo in (("en", "Find out what it is"), ("vi", "Tìm hiểu đây là gì")):
        client.cookies.set("lang", lang)
        answer = client.get("/devices?standing=unmanaged", headers=HTML)
        page = Page(answer.text)
        assert todo in page.text
        assert "Raspberry Pi Foundation" in page.text
        assert PC not in page.text
        assert f"/devices/{site[PI]}" in page.links()
        whole = client.get(f"/devices/{site[PI]}", headers=HTML)
        assert "10.0.7.7" in Page(whole.text).text
        for text in (answer.text, whole.text):
            assert "<img src=x" not in text
            assert "\u202e" not in text


def test_the_forms_approve_withdraw_and_say_what_it_is(
    site: dict[str, int], world: World, signed_in: SignedIn
) -> None:
    client = signed_in("officer")
    client.cookies.set("lang", "en")
    path = f"/devices/{site[PI]}"

    def post(action: str, **data: str) -> Any:
        token = Page(client.get(path, headers=HTML).text).field("csrf_token")
        data["csrf_token"] = token or ""
        return client.post(f"{path}/{action}", data=data, headers=HTML, follow_redirects=False)

    day = (world.clock.now + timedelta(days=5)).date().isoformat()
    assert post("approve", reason="", until=day).status_code == 422
    assert post("approve", reason="Máy thử", until="never").status_code == 422
    assert post("approve", reason="Máy thử", until=day).status_code == 303
    page = Page(client.get(path, headers=HTML).text)
    assert "Máy thử" in page.text
    assert "Approved" in page.text
    assert post("kind", kind="printer").status_code == 303
    assert "is not counted" in Page(client.get(path, headers=HTML).text).text
    approval = client.get(f"{PATH}/{site[PI]}").json()["approvals"][0]["id"]
    assert post(f"approvals/{approval}/withdraw").status_code == 303
    assert client.get(f"{PATH}/{site[PI]}").json()["standing"] == "unmanaged"


def test_the_list_is_the_same_as_json(site: dict[str, int], signed_in: SignedIn) -> None:
    answer = signed_in("officer").get("/devices?text=raspberry", headers={"accept": "application/json"})
    body = answer.json()
    assert [row["line"]["mac"] for row in body["rows"]] == [PI]
    assert body["by_standing"] == {"unmanaged": 1, "approved": 0, "managed": 0, "network": 0, "gone": 0}
