"""Known vulnerabilities in the console, the API and on the command line: the same numbers, within the reader's reach,
in both languages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from collector.settings import DataDirectory
from collector.state.migrate import upgrade
from collector.state.tables import AuditEntry, Document
from collector.vulnerabilities.fleet import Fleet
from collector.vulnerabilities.importing import import_feed
from collector.vulnerabilities.models import MACHINE_REASONS, PACKAGE_REASONS, SEVERITIES, STATUSES
from soc_api.cli import main
from soc_api.pages import vulnerability_words
from tests.collector.vulnerabilities.feeds import (
    OPENSSL,
    SERVER,
    below,
    debian,
    host,
    kev,
    osv,
    write_json,
    write_zip,
)
from tests.soc_api.pages.conftest import HTML, Page

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.testclient import TestClient

    from soc_api.services import Services
    from tests.soc_api.conftest import SignedIn, World

pytestmark = pytest.mark.usefixtures("on_both_databases")
HOSTILE = "<script>\u202ex"


def say(services: Services, endpoint: str, kind: str, body: dict[str, Any]) -> None:
    now = services.clock()
    with services.state.write() as session:
        session.add(
            Document(
                endpoint_id=endpoint, kind=kind, item="", body=body, digest="",
                observed_at=now, received_at=now, changed_at=now,
            )
        )  # fmt: skip


@pytest.fixture
def machines(services: Services, world: World, tmp_path: Path) -> dict[str, str]:
    """One in either agency, one of a system that no feed speaks of, one that has said nothing; all matched."""
    found = {
        "here": world.endpoint(world.here, "may-so-y-te"),
        "there": world.endpoint(world.there, "that-is-not-yours"),
        "odd": world.endpoint(world.here, "la"),
        "mute": world.endpoint(world.here, "cam"),
    }
    for name, system in (("here", host()), ("there", host()), ("odd", host("arch", "1", HOSTILE))):
        say(services, found[name], "host", system)
        say(services, found[name], "software", SERVER)
    only_there = osv("DEBIAN-CVE-2026-4444", ("Debian:12", "only", below()), details=HOSTILE)
    with services.state.write() as session:
        documents = session.get_one(Document, (found["there"], "software", ""))
        documents.body = {
            "packages": [
                *SERVER["packages"],
                {"name": "only", "version": "1", "manager": "dpkg"},
                {"name": 7},
            ]
        }
    import_feed(
        services.state, write_zip(tmp_path / "all.zip", [*debian(), only_there]), "an", now=services.clock
    )
    import_feed(
        services.state, write_json(tmp_path / "k.json", kev("CVE-2026-1002")), "an", now=services.clock
    )
    fleet = Fleet(services.state, services.clock)
    while fleet.turn():
        pass
    return found


def page(client: TestClient, path: str, lang: str = "en") -> str:
    client.cookies.set("lang", lang)
    answer = client.get(path, headers=HTML)
    assert answer.status_code == 200, (path, answer.status_code)
    assert "<script>\u202e" not in answer.text
    return Page(answer.text).text


def names(client: TestClient, query: str = "") -> dict[str, tuple[int, int]]:
    answer = client.get(f"/api/v1/vulnerabilities{query}")
    assert answer.status_code == 200, answer.text
    return {each["name"]: (each["machines"], each["fixable"]) for each in answer.json()["items"]}


def test_all_that_machines_have_the_gravest_first(signed_in: SignedIn, machines: dict[str, str]) -> None:
    client = signed_in("analyst")
    assert list(names(client).items()) == [
        ("CVE-2026-1001", (2, 2)),
        ("CVE-2026-1002", (2, 0)),
        ("CVE-2026-4444", (1, 0)),
    ]
    assert list(names(client, "?fixable=true")) == ["CVE-2026-1001"]
    assert list(names(client, "?exploited=true")) == ["CVE-2026-1002"]
    assert list(names(client, "?severity=critical&severity=low")) == ["CVE-2026-1001"]
    assert list(names(client, "?text=1002")) == ["CVE-2026-1002"]
    assert names(client, "?agency=so-noi-vu")["CVE-2026-4444"] == (1, 0)
    first = client.get("/api/v1/vulnerabilities?limit=2").json()
    rest = client.get(f"/api/v1/vulnerabilities?limit=2&after={first['next']}").json()
    assert [each["name"] for each in rest["items"]] == ["CVE-2026-4444"]
    assert rest["next"] is None


def test_an_officer_sees_only_what_his_own_machines_have(
    signed_in: SignedIn, machines: dict[str, str]
) -> None:
    client = signed_in("officer")
    assert names(client) == {"CVE-2026-1001": (1, 1), "CVE-2026-1002": (1, 0)}
    assert client.get("/api/v1/vulnerabilities?agency=so-noi-vu").status_code == 404
    for path in ("/api/v1/vulnerabilities/CVE-2026-4444", "/vulnerabilities/CVE-2026-4444"):
        assert client.get(path).status_code == 404
    assert client.get(f"/api/v1/endpoints/{machines['there']}/vulnerabilities").status_code == 404
    hosts = client.get("/api/v1/vulnerabilities/CVE-2026-1001").json()["hosts"]
    assert [each["hostname"] for each in hosts] == ["may-so-y-te"]
    assert "that-is-not-yours" not in page(client, "/vulnerabilities/CVE-2026-1001")


def test_the_page_of_all_says_the_same_with_filters_in_both_languages(
    signed_in: SignedIn, machines: dict[str, str]
) -> None:
    client = signed_in("analyst")
    text = page(client, "/vulnerabilities")
    assert "CVE-2026-1001" in text
    assert "4 of 4 machines are matched" in text
    assert "of 2 nothing can be said" in text
    assert "osv-debian" in text
    assert "U+202E" in text
    assert "CVE-2026-1002" not in page(client, "/vulnerabilities?fixable=1")
    assert "CVE-2026-1001" not in page(client, "/vulnerabilities?exploited=1")
    assert "CVE-2026-4444" not in page(client, "/vulnerabilities?agency=so-y-te")
    assert "Đã đối chiếu 4 trên 4 máy" in page(client, "/vulnerabilities", "vi")
    by_machines = page(client, "/vulnerabilities?sort=-machines")
    assert by_machines.index("CVE-2026-4444") < by_machines.index("CVE-2026-1001")


def test_one_vulnerability_leads_to_its_machines(signed_in: SignedIn, machines: dict[str, str]) -> None:
    client = signed_in("analyst")
    client.cookies.set("lang", "en")
    seen = Page(client.get("/vulnerabilities/CVE-2026-1001", headers=HTML).text)
    assert "2 machines have it" in seen.text
    link = f"/endpoints/{machines['here']}?tab=vulnerabilities&text=CVE-2026-1001"
    assert link in seen.links()
    assert "may-so-y-te" not in page(client, "/vulnerabilities/CVE-2026-1001?agency=so-noi-vu")
    assert client.get("/vulnerabilities/CVE-1999-0001", headers=HTML).status_code == 404


def test_a_machines_page_explains_each(signed_in: SignedIn, machines: dict[str, str]) -> None:
    client = signed_in("officer")
    at = f"/endpoints/{machines['here']}?tab=vulnerabilities"
    text = page(client, at)
    assert "Vulnerabilities (2)" in text
    assert f"openssl {OPENSSL} is installed; fixed in 3.0.15-1~deb12u1" in text
    assert "there is no fixed version yet" in text
    assert "libssl3, openssl" in text
    assert "DSA-5999-1 · osv-debian · 10/11/2026" in text
    assert text.index("CVE-2026-1002") < text.index("CVE-2026-1001"), "the exploited one first"
    assert f"openssl {OPENSSL} is installed; fixed since 3.0.11-1~deb12u2" in page(
        client, f"{at}&status=fixed"
    )
    assert "CVE-2026-1002" not in page(client, f"{at}&text=1001")
    assert "chưa có phiên bản vá" in page(client, at, "vi")


def test_what_cannot_be_told_of_a_machine_is_said_as_that(
    signed_in: SignedIn, machines: dict[str, str]
) -> None:
    client = signed_in("officer")
    odd = page(client, f"/endpoints/{machines['odd']}?tab=vulnerabilities")
    assert "does not mean that it is fine" in odd
    assert "There are no feeds for this system" in odd
    mute = page(client, f"/endpoints/{machines['mute']}?tab=vulnerabilities", "vi")
    assert "Tác tử chưa báo phần mềm đã cài" in mute
    said = client.get(f"/api/v1/endpoints/{machines['mute']}/vulnerabilities").json()
    assert (said["reason"], said["findings"]) == ("no_software", [])


def test_the_api_gives_all_evidence_of_a_machine(signed_in: SignedIn, machines: dict[str, str]) -> None:
    client = signed_in("officer")
    path = f"/api/v1/endpoints/{machines['here']}/vulnerabilities"
    said = client.get(path).json()
    assert [each["name"] for each in said["findings"]] == ["CVE-2026-1001", "CVE-2026-1002"]
    assert said["findings"][0]["evidence"][0]["binaries"] == ["libssl3", "openssl"]
    assert said["counted_at"] is not None
    fixed = client.get(f"{path}?fixed=true").json()["findings"]
    assert {each["status"] for each in fixed} == {"affected", "fixed"}


def test_a_machine_that_names_too_much_has_a_short_page_that_says_so(
    services: Services, signed_in: SignedIn, machines: dict[str, str]
) -> None:
    packages = [
        {"name": f"lib{n}", "version": "1", "manager": "dpkg", "source": "openssl", "source_version": OPENSSL}
        for n in range(40)
    ] + [{"name": "openssl", "version": f"1.{n}", "manager": "dpkg"} for n in range(40)]
    with services.state.write() as session:
        session.get_one(Document, (machines["here"], "software", "")).body = {"packages": packages}
    client = signed_in("officer")
    at = f"/endpoints/{machines['here']}?tab=vulnerabilities"
    text = page(client, at)
    assert "lib18, lib19 and 20 more" in text
    assert "lib20" not in text
    assert "and 12 more" in text, "of 16 versions by two records, 20 are shown"
    assert "The machine names more versions of it than are compared" in text
    assert "Máy khai báo nhiều phiên bản của gói này hơn mức được đối chiếu" in page(client, at, "vi")
    said = client.get(f"/api/v1/endpoints/{machines['here']}/vulnerabilities").json()
    counts = [(len(e["binaries"]), e["more_binaries"]) for f in said["findings"] for e in f["evidence"]]
    assert max(counts) == (20, 20)


def test_an_old_feed_is_marked_and_so_is_having_none(
    services: Services, signed_in: SignedIn, world: World, machines: dict[str, str]
) -> None:
    client = signed_in("analyst")
    assert [(each["name"], each["old"]) for each in client.get("/api/v1/vulnerability-feeds").json()] == [
        ("kev", True),
        ("osv-debian", False),
    ]
    text = page(client, "/vulnerabilities")
    assert "The feed kev is old: its newest record is of 05/11/2026" in text
    assert "The feed osv-debian is old" not in text


def test_without_a_feed_the_pages_say_so(signed_in: SignedIn, world: World) -> None:
    client = signed_in("officer")
    assert "No feed of known vulnerabilities has been brought yet" in page(client, "/vulnerabilities")
    lonely = world.endpoint(world.here, "mot-minh")
    assert "No feed of known" in page(client, f"/endpoints/{lonely}?tab=vulnerabilities")


def test_every_code_has_its_words() -> None:
    assert set(vulnerability_words.MACHINE_REASONS) == set(MACHINE_REASONS)
    for code, parameters in MACHINE_REASONS.items():
        assert all(f"%({name})s" in vulnerability_words.MACHINE_REASONS[code] for name in parameters)
    assert tuple(vulnerability_words.PACKAGE_REASONS) == PACKAGE_REASONS
    assert tuple(vulnerability_words.SEVERITIES) == SEVERITIES
    assert tuple(vulnerability_words.STATUSES) == STATUSES


def test_feeds_are_brought_and_shown_on_the_command_line(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "data")
    data.create()
    upgrade(data.state)
    more = [osv(f"DEBIAN-CVE-2026-300{n}", ("Debian:12", "x", below("1"))) for n in range(5)]
    feed = write_zip(tmp_path / "all.zip", [*debian(), *more, b"\x1b[31m{"])
    short = write_zip(tmp_path / "short.zip", debian()[:1])
    broken = tmp_path / "broken.json"
    broken.write_text("{}", encoding="utf-8")

    def call(*arguments: str) -> Any:
        return CliRunner().invoke(main, ["vulnerabilities", *arguments, "--data", str(data.root)])

    assert "bring one with" in call("show").stdout
    taken = call("import", str(feed), str(broken))
    assert taken.exit_code == 1
    assert "osv-debian: 10 records, the newest of 10/11/2026 07:00; 2 are for other systems" in taken.stdout
    assert "all.zip:record-12.json" in taken.stderr
    assert "broken.json" in taken.stderr
    assert "\x1b" not in taken.output
    assert "in use already" in call("import", str(feed)).stdout
    shown = json.loads(call("show", "--json").stdout)
    assert [(each["name"], each["records"], each["refused"]) for each in shown["feeds"]] == [
        ("osv-debian", 10, 1)
    ]
    refused = call("import", str(short))
    assert refused.exit_code == 1
    assert "it has 1 records, the feed osv-debian in use has 10; nothing is changed" in refused.stderr
    assert "--force" in refused.stderr
    assert call("import", "--force", str(short)).exit_code == 0
    assert shown["machines"] == {"machines": 0, "examined": 0, "unknown": 0}
    assert call("remove", "osv-debian").exit_code == 0
    gone = call("remove", "osv-debian")
    assert gone.exit_code == 1
    assert "no feed" in gone.stderr
    assert call("import", "--name", "x", str(feed), str(broken)).exit_code == 2
    from collector.state.database import StateStore

    state = StateStore(data.state)
    with state.read() as session:
        actions = session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)).all()
    state.close()
    assert actions == ["vulnerabilities.import", "vulnerabilities.import", "vulnerabilities.remove"]
