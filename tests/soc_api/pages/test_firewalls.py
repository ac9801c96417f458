"""Firewalls of agencies: what is known of each, what people say, who may; on the page and by the API."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from collector.firewalls import judging
from collector.firewalls.judging import Answer, Facts, judge, verdict
from collector.firewalls.support import support_of
from collector.state.tables import AuditEntry, Document, LogSource
from soc_api.pages import firewall_words
from tests.soc_api.conftest import START
from tests.soc_api.pages.conftest import HTML

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.soc_api.conftest import SignedIn, World
    from tests.soc_api.pages.conftest import Page

FORTIGATE = {
    "name": "fw-y-te",
    "role": "firewall",
    "address": "10.1.0.1",
    "vendor": "Fortinet",
    "product": "FortiOS",
    "version": "7.4.3",
    "model": "FortiGate-60F",
    "state": "answering",
    "configuration": {"sha256": "0" * 64, "read_day": START.date().isoformat()},
}


def tell(
    world: World, endpoint_id: str, body: dict[str, Any], item: str = "fw", *, works: bool | None = True
) -> None:
    """``works``: what the probe says of its part for SSH; None: nothing, so that it is no probe."""
    now = world.clock.now
    times: dict[str, Any] = {"observed_at": now, "received_at": now, "changed_at": now}
    with world.services.state.write() as session:
        if works is not None:
            fares = {"name": "ssh_devices", "ok": works, "reason": ""}
            session.merge(
                Document(
                    endpoint_id=endpoint_id,
                    kind="collector_health",
                    item="ssh_devices",
                    body=fares,
                    digest="",
                    **times,
                )
            )
        session.merge(
            Document(
                endpoint_id=endpoint_id, kind="device_configuration", item=item, body=body, digest="", **times
            )
        )


def test_words_are_there_for_every_question_and_reason() -> None:
    assert set(firewall_words.QUESTIONS) == set(judging.QUESTIONS)
    assert set(firewall_words.REASONS) == set(judging.REASONS)


@pytest.mark.parametrize(
    ("change", "question", "value", "reason"),
    [
        ({}, "answering", "yes", "answers"),
        ({"state": "unreachable"}, "answering", "no", "no_answer"),
        ({"state": "refused"}, "answering", "unknown", "sign_in_refused"),
        ({"state": "host_key_changed"}, "answering", "unknown", "host_key_changed"),
        ({"state": ["x"]}, "answering", "unknown", "unreadable"),
        ({}, "configuration", "yes", "read_recently"),
        ({"configuration": {"read_day": "2026-11-13"}}, "configuration", "no", "read_long_ago"),
        ({"configuration": {"read_day": "yesterday"}}, "configuration", "unknown", "never_read"),
        ({"configuration": {"read_day": "2099-01-01"}}, "configuration", "unknown", "never_read"),
        ({"configuration": "x"}, "configuration", "unknown", "never_read"),
        ({}, "supported", "yes", "supported_until"),
        ({"version": "7.0.14"}, "supported", "no", "support_ended"),
        ({"version": "9.9"}, "supported", "unknown", "support_not_known"),
        ({"product": None}, "supported", "unknown", "support_not_known"),
    ],
)
def test_each_question_is_answered_from_what_the_probe_says(
    change: dict[str, Any], question: str, value: str, reason: str
) -> None:
    found = judge(Facts(FORTIGATE | change, START, START, None), START)[question]
    assert (found.value, found.reason) == (value, reason)


def test_silence_and_absence_are_never_a_yes() -> None:
    silent = judge(Facts(FORTIGATE, START - timedelta(days=2), START - timedelta(days=2), None), START)
    assert silent["answering"] == Answer("unknown", "probe_silent", "2026-11-19")
    assert silent["logging"] == Answer("no", "not_heard", "2026-11-19")
    nothing = judge(Facts(None, None, None, None), START)
    assert [nothing[q].value for q in judging.QUESTIONS] == ["unknown", "unknown", "no", "unknown"]
    soon = judge(Facts(None, None, START, START.date() + timedelta(days=9)), START)
    assert soon["supported"].reason == "support_ends_soon"
    assert verdict([]) == "no"
    yes, unknown = {"a": Answer("yes", "heard")}, {"a": Answer("unknown", "unreadable")}
    assert verdict([yes]) == "yes"
    assert verdict([yes, unknown]) == "unknown"


def test_the_table_of_support_says_where_it_was_read() -> None:
    found = support_of("fortios", "7.2.8")
    assert found is not None
    assert found.until == date(2026, 9, 30)
    assert "endoflife" in found.source
    assert support_of("FortiOS", "72") is None


def test_a_declared_firewall_is_the_one_that_the_probe_tells_of(
    world: World, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    probe = world.endpoint(world.here, "probe-1")
    tell(world, probe, FORTIGATE)
    tell(world, probe, {**FORTIGATE, "name": "<b>sw</b>", "role": "switch", "address": "10.1.0.2"}, "sw")
    officer = signed_in("officer")
    shown = look(officer, "/firewalls", "vi").text
    assert "fw-y-te" in shown
    assert "Chưa ai khai báo" in shown
    assert "Sở Nội vụ" not in shown
    assert "sw" not in shown.split("fw-y-te")[1][:200]

    body = {"agency": "so-y-te", "name": "tuong-lua-1", "address": "10.1.0.1"}
    made = officer.post("/api/v1/firewalls", json=body)
    assert made.status_code == 201
    assert officer.post("/api/v1/firewalls", json=body).status_code == 409
    [found] = officer.get("/api/v1/firewalls").json()
    [firewall] = found["firewalls"]
    assert (firewall["id"], firewall["name"], firewall["model"]) == (
        made.json()["id"],
        "tuong-lua-1",
        "FortiGate-60F",
    )
    assert firewall["endpoint_id"] == probe
    assert firewall["answers"]["supported"]["value"] == "yes"
    assert found["verdict"] == "no"  # nobody hears its log
    now = world.clock.now
    with world.services.state.write() as session:
        for agency, address in (
            (world.here, "10.1.0.1"),
            (world.there, "10.1.0.1"),
            (world.here, "10.1.0.9"),
        ):
            source = LogSource(
                agency_id=agency,
                address=address,
                state_since=now,
                made_at=now,
                last_seen_at=now,
                state="heard",
            )
            session.add(source)
    [found] = officer.get("/api/v1/firewalls").json()
    assert found["firewalls"][0]["answers"]["logging"]["reason"] == "heard"
    assert found["verdict"] == "yes"

    where = f"/api/v1/firewalls/{firewall['id']}"
    assert (
        officer.put(where, json={"support_until": "2026-01-31", "note": "bàn giao 2021"}).status_code == 204
    )
    answer = officer.get("/api/v1/firewalls").json()[0]["firewalls"][0]["answers"]["supported"]
    assert answer == {"value": "no", "reason": "support_ended", "fact": "2026-01-31"}
    assert officer.post(where + "/retire", json={"reason": " "}).status_code == 422
    assert officer.post(where + "/retire", json={"reason": "đã thay"}).status_code == 204
    assert officer.put(where, json={}).status_code == 404
    with world.services.state.read() as session:
        actions = [each.action for each in session.query(AuditEntry) if each.action.startswith("firewall.")]
    assert actions == ["firewall.declare", "firewall.change", "firewall.retire"]


def test_no_machine_speaks_for_a_firewall_that_is_no_probe_or_whose_part_fails(
    world: World, signed_in: SignedIn
) -> None:
    officer = signed_in("officer")
    tell(world, world.endpoint(world.here, "may-tram"), FORTIGATE, works=None)
    assert officer.get("/api/v1/firewalls").json()[0]["firewalls"] == []
    probe = world.endpoint(world.here, "probe-1")
    tell(world, probe, FORTIGATE, works=False)
    answers = officer.get("/api/v1/firewalls").json()[0]["firewalls"][0]["answers"]
    assert (answers["answering"]["value"], answers["answering"]["reason"]) == ("unknown", "probe_failing")
    tell(world, probe, {**FORTIGATE, "state": "unreachable"})
    for name in ("a-hostile", "z-hostile"):  # who is heard last makes nothing good
        tell(world, world.endpoint(world.here, name), FORTIGATE)
        [found] = officer.get("/api/v1/firewalls").json()[0]["firewalls"]
        assert found["answers"]["answering"]["reason"] == "no_answer"
    declared = {"agency": "so-y-te", "name": "fw", "address": "10.1.0.1"}
    assert officer.post("/api/v1/firewalls", json=declared).status_code == 201
    [found] = officer.get("/api/v1/firewalls").json()[0]["firewalls"]
    assert found["answers"]["answering"]["reason"] == "no_answer"


def test_the_pages_forms_do_the_same_and_refuse_what_is_wrong(world: World, signed_in: SignedIn) -> None:
    officer = signed_in("officer")
    token = officer.headers["X-CSRF-Token"]

    def post(path: str, **form: str) -> int:
        form["csrf_token"] = token
        return officer.post(path, data=form, headers=HTML, follow_redirects=False).status_code

    assert post("/firewalls", agency="so-y-te", name="fw-1", address="10.1.0.1") == 303
    assert post("/firewalls", agency="so-y-te", name="fw-1", address="10.1.0.9") == 409
    assert post("/firewalls", agency="so-y-te", name="fw 2", address="10.1.0.1") == 422
    assert post("/firewalls", agency="so-y-te", name="fw-2", address="255.255.255.255") == 422
    assert post("/firewalls", agency="so-noi-vu", name="fw-2", address="10.1.0.1") == 404
    assert post("/firewalls/1", support_until="soon") == 422
    assert post("/firewalls/1", support_until="2030-01-01", note="x") == 303
    assert post("/firewalls/1/retire", reason="") == 422
    assert post("/firewalls/1/retire", reason="thay") == 303
    # What was retired comes back under its name.
    assert post("/firewalls", agency="so-y-te", name="fw-1", address="10.1.0.7") == 303


def test_an_agency_without_a_firewall_is_listed_as_such(
    world: World, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    admin = signed_in("admin")
    page = look(admin, "/firewalls?verdict=no", "en")
    assert page.text.count("No firewall is known") == 2
    assert "No agency fits" in look(admin, "/firewalls?verdict=yes", "en").text
    auditor = look(signed_in("auditor"), "/firewalls", "en")
    assert "Declare a firewall" not in auditor.text
