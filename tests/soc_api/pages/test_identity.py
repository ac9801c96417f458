"""Machines' identity in the console and over the API: who sees what, who decides, what is written down."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from collector.identity import comparing, links
from collector.identity.evidence import evidence_of
from collector.state.tables import (
    Assignment,
    AuditEntry,
    Certificate,
    Endpoint,
    EndpointOrigin,
    MachineLink,
    Stream,
)
from tests.collector.identity.test_evidence import HARDWARE, NEW_SYSTEM, SYSTEM
from tests.soc_api.pages.conftest import HTML

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.soc_api.conftest import SignedIn, World
    from tests.soc_api.pages.conftest import Page

API = "/api/v1"


@pytest.fixture
def pair(world: World) -> tuple[str, str, int]:
    """An old record of the first agency that fell silent two hours ago, and the same hardware set up anew."""
    now = world.clock.now
    old, new = world.endpoint(world.here, "<b>cu"), world.endpoint(world.here, "pc-moi")
    with world.services.state.write() as session:
        for each, said, seen in ((old, SYSTEM, -2), (new, NEW_SYSTEM, 0)):
            endpoint = session.get_one(Endpoint, each)
            endpoint.enrolled_at = now - timedelta(hours=1) if each == new else now - timedelta(days=9)
            endpoint.last_seen_at = now + timedelta(hours=seen)
            links.keep_evidence(session, each, evidence_of(HARDWARE | said), now, simulated=False)
        comparing.compare_new(session, now)
        link_id = session.scalars(select(MachineLink.id)).one()
    return old, new, link_id


def post(client: Any, path: str, **fields: object) -> int:
    data = {"csrf_token": client.headers["X-CSRF-Token"], **fields}
    status: int = client.post(path, data=data, headers=HTML, follow_redirects=False).status_code
    return status


def written(world: World) -> list[tuple[str, str]]:
    with world.services.state.read() as session:
        found = session.execute(select(AuditEntry.action, AuditEntry.actor).order_by(AuditEntry.id)).all()
    wanted = ("machine.", "endpoint.rekey", "endpoint.confirm")
    return [(action, actor) for action, actor in found if action.startswith(wanted)]


def names(client: Any, **more: str) -> list[str]:
    return [each["hostname"] for each in client.get(f"{API}/endpoints", params=more).json()["items"]]


def test_a_pair_is_explained_linked_and_undone_with_an_entry_for_each(
    world: World, pair: tuple[str, str, int], signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    old, _, link_id = pair
    analyst = signed_in("analyst")

    page = look(analyst, "/machines")
    for words in (
        "a system that was installed anew",
        "Machine's UUID, Serial number, Network card",
        "9F2XK13",
    ):
        assert words in page.text
    assert "<b>cu" in page.text  # as text, not as markup
    assert "cài lại" in look(analyst, "/machines", "vi").text

    assert post(analyst, f"/machines/{link_id}/link") == 303
    assert names(analyst) == ["pc-moi"]
    assert names(analyst, retired="true") == ["<b>cu"]
    assert "Linked" in look(analyst, f"/endpoints/{old}").text
    assert post(analyst, f"/machines/{link_id}/link") == 409

    assert post(analyst, f"/machines/{link_id}/undo", reason="two desks") == 303
    assert set(names(analyst)) == {"<b>cu", "pc-moi"}
    shape = analyst.get(f"{API}/machine-links").json()["items"][0]
    assert (shape["state"], shape["decided_by"], shape["reason"]) == ("undone", "analyst", "two desks")
    assert written(world) == [("machine.link", "analyst"), ("machine.unlink", "analyst")]


def test_others_may_look_and_not_decide_and_another_agency_sees_nothing(
    world: World, pair: tuple[str, str, int], signed_in: SignedIn
) -> None:
    *_, link_id = pair
    for name, seen in (("officer", 1), ("auditor", 1), ("officer2", 0)):
        client = signed_in(name)
        assert len(client.get(f"{API}/machine-links").json()["items"]) == seen
        assert client.post(f"{API}/machine-links/{link_id}/link").status_code == 403
        assert post(client, f"/machines/{link_id}/link") == 403
    assert signed_in("officer2").get(f"{API}/endpoints/{pair[0]}/identity").status_code == 404
    assert written(world) == []


def test_an_officer_undoes_a_link_of_his_own_agencys_machine_and_nothing_else(
    world: World, pair: tuple[str, str, int], signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    old, _, link_id = pair
    analyst, officer, stranger, auditor = (
        signed_in(name) for name in ("analyst", "officer", "officer2", "auditor")
    )
    assert "One machine: link" not in look(officer, "/machines").text
    assert post(analyst, f"/machines/{link_id}/link") == 303
    for page in (look(officer, "/machines"), look(officer, f"/endpoints/{old}")):
        assert "Undo the link" in page.text
    assert "Undo the link" not in look(auditor, "/machines").text
    undo, why = f"{API}/machine-links/{link_id}/undo", {"reason": "hai máy"}
    assert stranger.post(undo, json=why).status_code == 404
    assert auditor.post(undo, json=why).status_code == 403
    assert officer.post(undo, json=why).json()["state"] == "undone"
    assert officer.post(undo, json=why).status_code == 409
    for act in ("link", "reject"):
        assert officer.post(f"{API}/machine-links/{link_id}/{act}", json=why).status_code == 403
    assert written(world) == [("machine.link", "analyst"), ("machine.unlink", "officer")]
    assert post(analyst, f"/machines/{link_id}/link") == 303
    assert post(officer, f"/machines/{link_id}/undo", reason="hai máy") == 303
    assert set(names(officer)) == {"<b>cu", "pc-moi"}


def test_nothing_of_another_agencys_machine_is_told_and_the_older_ones_officer_sees_why_it_is_gone(
    world: World, pair: tuple[str, str, int], signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    old, new, link_id = pair
    copy = world.endpoint(world.there, "pc-sao")
    with world.services.state.write() as session:
        made = EndpointOrigin(
            endpoint_id=copy, evidence_at=world.clock.now, split_from=old, split_at=world.clock.now
        )
        session.add(made)
        made.cause = "moved"
        session.execute(update(Assignment).where(Assignment.endpoint_id == new).values(agency_id=world.there))
    analyst, officer, stranger = (signed_in(name) for name in ("analyst", "officer", "officer2"))
    assert officer.get(f"{API}/machine-links").json()["items"] == []
    assert post(analyst, f"/machines/{link_id}/link") == 303

    [shape] = officer.get(f"{API}/machine-links").json()["items"]
    assert (shape["older_id"], shape["newer_id"], shape["newer_name"]) == (old, None, None)
    for page in (look(officer, "/machines"), look(officer, f"/endpoints/{old}")):
        assert "of another agency" in page.text
        assert "pc-moi" not in page.text
        assert "pc-sao" not in page.text
    assert stranger.get(f"{API}/machine-links").json()["items"] == []
    assert officer.get(f"{API}/endpoints/{old}/identity").json()["copies"] == []
    assert stranger.get(f"{API}/endpoints/{copy}/identity").json()["origin"]["split_from"] is None
    assert old not in look(stranger, f"/endpoints/{copy}").text
    known = analyst.get(f"{API}/endpoints/{copy}/identity").json()
    assert known["origin"]["split_from"] == old
    assert analyst.get(f"{API}/endpoints/{old}/identity").json()["copies"] == [copy]


def test_two_machines_are_said_to_be_two_over_the_api(
    pair: tuple[str, str, int], signed_in: SignedIn
) -> None:
    *_, link_id = pair
    analyst = signed_in("analyst")
    assert analyst.post(f"{API}/machine-links/{link_id}/reject", json={"reason": ""}).status_code == 422
    answer = analyst.post(f"{API}/machine-links/{link_id}/reject", json={"reason": "two desks"}).json()
    assert (answer["state"], answer["kind"]) == ("rejected", "reimaged")
    assert analyst.post(f"{API}/machine-links/99/undo", json={"reason": "x"}).status_code == 404


def test_a_key_in_two_places_is_said_and_all_change_it_by_order(
    world: World, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    now = world.clock.now
    first, copy = world.endpoint(world.here, "pc-goc"), world.endpoint(world.here, "pc-sao")
    fork = {
        "heads": [7, 9],
        "at": 0,
        "since": now.timestamp(),
        "returns": 3,
        "told": 0.0,
        "switched_sent": 0.0,
        "digests": [],
    }
    with world.services.state.write() as session:
        session.add(Stream(endpoint_id=first, stream="0" * 32, last_seq=9, fork=fork, updated_at=now))
        session.add(
            EndpointOrigin(endpoint_id=copy, evidence_at=now, split_from=first, split_at=now, cause="moved")
        )
        session.add(
            Certificate(
                sha256="a" * 64,
                endpoint_id=first,
                serial="1",
                not_before=now,
                not_after=now + timedelta(days=90),
            )
        )
    admin = signed_in("admin")
    assert "used in two places" in look(admin, f"/endpoints/{first}").text
    assert "Nobody has confirmed" in look(admin, f"/endpoints/{copy}").text

    assert post(admin, f"/endpoints/{first}/rekey") == 422
    assert post(admin, f"/endpoints/{first}/rekey", reason="alert 12") == 303
    assert "Nobody has changed the key yet" in look(admin, f"/endpoints/{first}").text
    assert post(admin, f"/endpoints/{first}/rekey/close") == 409
    assert post(admin, f"/endpoints/{copy}/confirm") == 303
    known = admin.get(f"{API}/endpoints/{copy}/identity").json()
    assert (known["origin"]["split_from"], known["origin"]["confirmed_by"]) == (first, "admin")
    known = admin.get(f"{API}/endpoints/{first}/identity").json()
    assert (known["copies"], known["rekey"]["reason"], known["forked"][0]["returns"]) == (
        [copy],
        "alert 12",
        3,
    )
    assert written(world) == [("endpoint.rekey", "admin"), ("endpoint.confirm", "admin")]
