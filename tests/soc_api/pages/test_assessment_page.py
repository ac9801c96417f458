"""Which checks fail where, and what to do about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from collector.documents.service import digest_of
from collector.state.scope import EVERYTHING, Scope
from collector.state.tables import Document, Endpoint
from soc_api.assessment import service
from soc_api.assessment.exceptions import Excepted
from soc_api.assessment.service import ResultCache, assessed, evidence, results_of, sum_up
from tests.soc_api.pages.conftest import HTML, Page

if TYPE_CHECKING:
    from collections.abc import Callable

    from soc_api.services import Services
    from tests.soc_api.conftest import SignedIn, World


LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
NONE = Excepted({}, {})


def entry(result: str, **more: str) -> dict[str, str]:
    return {"result": result, "importance": "high", **more}


def assess(services: Services, endpoint_id: str, item: str = "linux", **checks: Any) -> None:
    body = {"set": item, "version": 1, "checks": checks}
    with services.state.write() as session:
        now = services.clock()
        session.merge(
            Document(
                endpoint_id=endpoint_id,
                kind="assessment",
                item=item,
                body=body,
                digest=digest_of(body),
                observed_at=now - timedelta(minutes=3),
                received_at=now,
                changed_at=now,
            )
        )


@pytest.fixture
def machines(world: World, services: Services) -> dict[str, str]:
    bad = entry("failed", found="permitrootlogin yes", wanted="permitrootlogin = no")
    ids = {name: world.endpoint(world.here, name) for name in ("PC-A", "PC-B")}
    ids["SRV-C"] = world.endpoint(world.there, "SRV-C")
    ids["SIM-D"] = world.endpoint(world.there, "SIM-D", simulated=True)
    assess(
        services,
        ids["PC-A"],
        sshd_root_login=bad,
        auditd_running=entry("unknown", reason="systemd does not run here"),
    )
    assess(services, ids["PC-B"], sshd_root_login=entry("passed"), auditd_running=entry("not_applicable"))
    assess(services, ids["SRV-C"], sshd_root_login=bad | {"found": "permitrootlogin ja"})
    assess(services, ids["SIM-D"], sshd_root_login=bad)
    return ids


def test_checks_are_summed_up_within_the_scope(
    world: World, services: Services, machines: dict[str, str]
) -> None:
    with services.state.read() as session:
        root, audit = sum_up(assessed(session, EVERYTHING, LONG_AGO, NONE))
        assert (root.id, root.counts) == ("sshd_root_login", {"failed": 2, "passed": 1})
        assert sorted(root.failed_by_agency.values()) == [1, 1]
        assert sorted(root.told_by_agency.values()) == [1, 2]
        assert (audit.id, audit.counts) == ("auditd_running", {"unknown": 1, "not_applicable": 1})
        mine = assessed(session, Scope(frozenset({world.here})), LONG_AGO, NONE)
        assert [each.hostname for each in mine] == ["PC-A", "PC-B"]
        assert [each.hostname for each in assessed(session, EVERYTHING, LONG_AGO, NONE, simulated=True)] == [
            "SIM-D"
        ]
        assert len(assessed(session, EVERYTHING, LONG_AGO, NONE, simulated=None)) == 4
        assert [
            each.hostname for each in assessed(session, EVERYTHING, LONG_AGO, NONE, agency_id=world.there)
        ] == ["SRV-C"]
        said = evidence(session, [machines["SRV-C"]], "linux", "sshd_root_login")
    assert said[machines["SRV-C"]].found == "permitrootlogin ja"


def test_what_a_silent_machine_said_last_no_longer_counts(
    world: World, services: Services, machines: dict[str, str], signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("admin")
    with services.state.write() as session:
        session.get_one(Endpoint, machines["PC-B"]).last_seen_at = services.clock() - timedelta(days=30)
    with services.state.read() as session:
        silent = assessed(session, EVERYTHING, services.clock() - timedelta(days=7), NONE)[1]
    assert dict(silent.results) == {"sshd_root_login": "unknown", "auditd_running": "not_applicable"}
    page = look(client, "/assessment?check=linux.sshd_root_login&result=unknown")
    assert "PC-B" in page.text
    assert "Silent" in page.text
    assert "PC-B" not in look(client, "/assessment?check=linux.sshd_root_login&result=passed").text


def test_documents_that_did_not_change_are_read_once(
    services: Services, machines: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def counting(body: Any) -> Any:
        read.append(1)
        return results_of(body)

    monkeypatch.setattr(service, "_cache", ResultCache(kept=8))
    monkeypatch.setattr(service, "results_of", counting)
    with services.state.read() as session:
        first = assessed(session, EVERYTHING, LONG_AGO, NONE)
        assert len(read) == 3
        assert assessed(session, EVERYTHING, LONG_AGO, NONE) == first
        assert len(read) == 3
    assess(services, machines["PC-B"], sshd_root_login=entry("failed"))
    with services.state.read() as session:
        assert dict(assessed(session, EVERYTHING, LONG_AGO, NONE)[1].results) == {"sshd_root_login": "failed"}
    assert len(read) == 4


def test_the_page_leads_from_the_check_to_agencies_machines_and_the_remedy(
    machines: dict[str, str], signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("admin")
    page = look(client, "/assessment")
    assert "SSH: root does not sign in with a password" in page.text
    assert "Security settings of 3 machines" in page.text
    link = next(link for link in page.links() if "check=linux.sshd_root_login" in link)
    detail = look(client, link)
    assert "Set PermitRootLogin no" in detail.text
    assert "permitrootlogin yes" in detail.text
    assert "permitrootlogin ja" in detail.text
    assert "1 / 2" in detail.text
    assert f"/endpoints/{machines['PC-A']}?tab=checks" in detail.links()
    vietnamese = look(client, link + "&result=passed", lang="vi")
    assert "Đặt PermitRootLogin no" in vietnamese.text
    assert "PC-B" in vietnamese.text
    assert "permitrootlogin yes" not in vietnamese.text


def test_an_officer_sees_only_the_machines_of_the_agency(
    machines: dict[str, str], signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    page = look(signed_in("officer"), "/assessment?check=linux.sshd_root_login")
    assert "PC-A" in page.text
    assert "SRV-C" not in page.text
    assert "permitrootlogin ja" not in page.text
    assert "1 / 2" in page.text


def test_the_endpoints_tab_says_what_was_found_and_what_to_do(
    machines: dict[str, str], signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("admin")
    page = look(client, f"/endpoints/{machines['PC-A']}?tab=checks", lang="vi")
    assert "đạt 0 trên 2 mục" in page.text
    assert "Không đạt" in page.text
    assert "systemd không chạy ở đây" in page.text
    assert "PermitRootLogin no (hoặc prohibit-password)" in page.text
    assert "Cấu hình (1)" in look(client, f"/endpoints/{machines['PC-A']}", lang="vi").text


def test_before_any_report_nothing_is_said_to_be_fine(
    world: World, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("admin")
    assert "No data does not mean compliant" in look(client, "/assessment").text
    bare = world.endpoint(world.here, "PC-E")
    assert "No data does not mean compliant" in look(client, f"/endpoints/{bare}?tab=checks").text


def test_what_a_single_agent_makes_up_stands_on_its_own_page_only(
    world: World, services: Services, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("admin")
    liar = world.endpoint(world.here, "PC-L")
    made_up: dict[str, Any] = {f"made_up_{n}": entry("failed", found="x") for n in range(500)}
    assess(services, liar, kernel_aslr=entry("passed"), **made_up)
    page = look(client, "/assessment")
    assert "made_up" not in page.text
    assert "Memory addresses are random" in page.text
    own = look(client, f"/endpoints/{liar}?tab=checks").text
    assert own.count("made_up_") == 399


def test_a_check_that_nobody_reported_shows_the_list(machines: dict[str, str], signed_in: SignedIn) -> None:
    client = signed_in("admin")
    for check in ("linux.nosuch", "nosuch", "windows.sshd_root_login", "%00.%0a", "." * 190):
        assert client.get(f"/assessment?check={check}", headers=HTML).status_code == 200
