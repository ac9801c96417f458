"""What must hold on every page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from agent import reasons
from collector.state.tables import Alert, Assignment, Document, Endpoint
from tests.soc_api.pages.conftest import HTML, Page
from tests.soc_api.pages.demo import HOSTILE

if TYPE_CHECKING:
    from collections.abc import Callable

    from soc_api.services import Services
    from tests.soc_api.conftest import SignedIn, World

PATHS = (
    "/",
    "/?simulated=1",
    "/alerts",
    "/alerts?status=all&sort=level&level=high&text=203&simulated=only",
    "/alerts/1",
    "/endpoints",
    "/endpoints?state=silent&sort=-age&kind=endpoint&late=1",
    "/endpoints?state=network&sort=agency",
    "/assessment",
    "/assessment?set=linux&importance=high&level=2",
    "/assessment?check=linux.sshd_root_login&simulated=1",
    "/assessment?check=linux.of_a_newer_agent&result=passed",
    "/coverage",
    "/coverage?simulated=1&level=huyen&sort=-percent",
    "/vulnerabilities",
    "/vulnerabilities?severity=high&agency=so-y-te&fixable=1&exploited=1&sort=-machines&simulated=only",
    "/reports",
    "/incidents",
    "/incidents?status=all",
    "/rules",
    "/rules?text=ssh",
    "/attack",
    "/attack?show=all&scope=received",
    "/system",
    "/system?tab=streams",
    "/system?tab=streams&losing=1",
    "/system?tab=dead",
    "/system?tab=health",
)
#: For those who may hunt.
HUNTS = ("/hunt", "/hunt?rule=nosuch")
TABS = (
    "",
    "?tab=software",
    "?tab=vulnerabilities",
    "?tab=checks",
    "?tab=alerts",
    "?tab=events",
    "?tab=changes",
)


def endpoint_named(services: Services, name: str) -> str:
    with services.state.read() as session:
        found = session.scalar(select(Endpoint.id).where(Endpoint.hostname == name))
    assert found is not None
    return found


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_every_page_opens_in_both_languages(
    lang: str, province: Services, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("admin")
    hostile = endpoint_named(province, HOSTILE)
    for path in (*PATHS, *HUNTS, *(f"/endpoints/{hostile}{tab}" for tab in TABS)):
        page = look(client, path, lang)
        assert ("html", lang) in [(tag, attrs.get("lang")) for tag, attrs in page.tags], path
        assert any(tag == "h1" for tag, _ in page.tags), path


def test_nothing_on_any_page_is_inline_or_from_elsewhere(
    province: Services, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("admin")
    hostile = endpoint_named(province, HOSTILE)
    for path in (*PATHS, *HUNTS, *(f"/endpoints/{hostile}{tab}" for tab in TABS), "/sign-in"):
        for tag, attrs in look(client, path).tags:
            assert tag not in {"style", "iframe", "object", "embed", "base"}, (path, tag)
            assert "style" not in attrs, (path, tag, attrs)
            assert not [name for name in attrs if name.startswith("on")], (path, tag, attrs)
            if tag == "script":
                assert attrs["nonce"], (path, attrs)
                assert str(attrs["src"]).startswith("/static/"), (path, attrs)
            for name in ("src", "action"):
                assert str(attrs.get(name, "/")).startswith("/"), (path, tag, attrs)
            assert not [value for value in attrs.values() if value and "<span" in value], (path, tag, attrs)
            address = str(attrs.get("href", "/"))
            assert address.startswith(("/", "#", "?")), (path, tag, attrs)
            assert not address.startswith("//"), (path, tag, attrs)


def test_hostile_names_are_shown_as_text_with_their_control_characters_written_out(
    province: Services, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("admin")
    hostile = endpoint_named(province, HOSTILE)
    with province.state.read() as session:
        alert = session.scalar(select(Alert.id).where(Alert.endpoint_id == hostile))
        evidence = session.scalar(select(Alert.id).where(Alert.subject_key == "demo-2"))
    checks = (
        f"/endpoints/{hostile}?tab=checks",
        "/assessment?check=linux.sshd_root_login&simulated=1&result=unknown",
    )
    for path in (
        f"/endpoints/{hostile}",
        *checks,
        f"/alerts/{alert}",
        "/endpoints?text=script",
        "/system?tab=dead",
    ):
        client.cookies.set("lang", "en")
        html = client.get(path, headers=HTML).text
        assert "<script>alert" not in html, path
        assert "\u202e" not in html, path
        assert "\x07" not in html, path
        assert "U+202E" in Page(html).text, path
        assert "<script>alert(1)</script>" in Page(html).text, path
    assert "U+0007" in look(client, f"/alerts/{evidence}").text


def test_each_answer_has_a_policy_with_its_own_nonce(province: Services, signed_in: SignedIn) -> None:
    client = signed_in("admin")
    nonces = set()
    for _ in range(3):
        answer = client.get("/alerts", headers=HTML)
        policy = answer.headers["content-security-policy"]
        found = re.search(r"script-src 'nonce-([^']{20,})'", policy)
        assert found, policy
        assert "'unsafe" not in policy
        assert "default-src 'none'" in policy
        assert f'nonce="{found[1]}"' in answer.text
        nonces.add(found[1])
    assert len(nonces) == 3


def test_an_officer_reads_of_no_other_agency_anywhere(
    province: Services, world: World, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    world.endpoint(world.here, "OURS-PC-1")
    world.alert(world.here, "OURS-PC-1")
    client = signed_in("officer")
    with province.state.read() as session:
        foreign = session.scalars(
            select(Endpoint.hostname)
            .join(Assignment, Assignment.endpoint_id == Endpoint.id)
            .where(Assignment.agency_id != world.here)
        ).all()
    assert len(foreign) > 50
    for path in PATHS:
        if path.startswith("/system") or path == "/alerts/1":
            continue
        page = look(client, path)
        assert not [name for name in foreign if name in page.text], path
        assert "Sở Nội vụ" not in page.text, path
        assert "UBND huyện" not in page.text, path
    assert "OURS-PC-1" in look(client, "/endpoints").text
    assert "OURS-PC-1" in look(client, "/alerts").text


@pytest.mark.parametrize("path", ["/alerts/1", "/alerts/999999", "/incidents/1"])
def test_what_is_out_of_reach_looks_like_what_does_not_exist(
    path: str, province: Services, signed_in: SignedIn
) -> None:
    client = signed_in("officer")
    client.cookies.set("lang", "en")
    answer = client.get(path, headers=HTML)
    assert answer.status_code == 404
    assert "Not found" in answer.text


def test_an_officer_does_not_see_the_system(province: Services, signed_in: SignedIn) -> None:
    client = signed_in("officer")
    assert client.get("/system", headers=HTML).status_code == 403
    assert "/system" not in Page(client.get("/", headers=HTML).text).links()


def test_the_same_page_is_json_for_a_program(province: Services, signed_in: SignedIn) -> None:
    client = signed_in("analyst")
    page = client.get("/coverage", headers={"accept": "application/json"}).json()
    assert page["figure"]["known"] == sum(page["figure"]["by_state"].values())
    assert {line["name"] for line in page["lines"]} >= {"Sở Y tế", "Sở Nội vụ"}


def test_nonsense_in_an_address_shows_the_page_without_it(
    province: Services, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("analyst")
    for path in (
        "/alerts?status=xx&level=%00&agency=nope&sort=;drop&after=zz:1:2",
        "/alerts?after=newest:0:99999999999999999",
        "/endpoints?page=99999999999999999999&state=%F0%9F%92%A9&sort=--",
        "/coverage?sort=-nonsense&simulated=yes&level=",
        "/rules?page=-3",
        "/system?tab=../..&page=%D9%A3",
        "/incidents?after=-1&status=?",
    ):
        look(client, path)


def test_without_a_session_a_browser_is_sent_to_sign_in_and_back(anonymous: object) -> None:
    answer = anonymous.get("/alerts?level=high", headers=HTML, follow_redirects=False)  # type: ignore[attr-defined]  # TestClient
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Falerts%3Flevel%3Dhigh"


def test_simulated_machines_carry_their_mark(
    province: Services, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("admin")
    page = look(client, "/endpoints?simulated=only&kind=endpoint", "vi")
    rows = page.text.count("Máy trạm") + page.text.count("Máy chủ")
    assert rows >= 15
    assert page.text.count("mô phỏng") >= rows
    assert "không dùng làm số liệu chính thức" in look(client, "/coverage?simulated=1", "vi").text


def test_an_agents_reasons_are_said_in_the_readers_language_and_others_as_they_came(
    province: Services, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("admin")
    with province.state.write() as session:
        endpoint = session.scalar(
            select(Document.endpoint_id).where(
                Document.kind == "collector_health", Document.item == "journal"
            )
        )
        firewall = session.scalar(
            select(Document).where(Document.endpoint_id == endpoint, Document.kind == "firewall")
        )
        assert firewall is not None
        firewall.body = {**firewall.body, "reason": HOSTILE}
    vietnamese, english = (look(client, f"/endpoints/{endpoint}", lang) for lang in ("vi", "en"))
    assert reasons.NO_JOURNAL.vi in vietnamese.text
    assert "không được phép hỏi clamd: /run/clamav/clamd.ctl: không đủ quyền" in vietnamese.text
    assert reasons.NO_JOURNAL.en in english.text
    for page in (vietnamese, english):
        assert "<script>alert(1)</script>" in page.text
        assert "script" not in [tag for tag, attrs in page.tags if "src" not in attrs]
    assert reasons.NO_JOURNAL.vi in look(client, "/system?tab=health", "vi").text
