"""Hunts as people and programs ask for them: the API, the console's page, the command."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from collector.settings import DataDirectory
from collector.state.tables import AuditEntry
from rules.catalogue import load_catalogue
from soc_api.cli import main
from soc_api.hunting import desk
from tests.soc_api.hunting.conftest import START, Closeless, Stored
from tests.soc_api.hunting.test_hunts import RULE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from soc_api.services import Services
    from tests.soc_api.conftest import Clock, SignedIn, World

#: Three malware findings, of the agencies 1, 1 and 2, and one of a simulated machine.
MALWARE = "execution_malware_found"


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    store = Stored(tmp_path_factory.mktemp("findings"))
    common: dict[str, Any] = {"every_seconds": 3_600.0}
    evil = "C:\\<script>.exe"
    store.put({"CommandLine": "x dump", "host": {"name": "pc-1"}}, {"CommandLine": f"{evil} dump"}, **common)
    store.put({"CommandLine": "dump"}, agency_id=2, **common)
    store.put({"CommandLine": "dump"}, simulated=True, **common)
    yield store
    store.close()


@pytest.fixture
def services(services: Services, findings: Stored) -> Services:
    store = Closeless(findings)
    return dataclasses.replace(services, store=cast("Any", store), catalogue=load_catalogue())


def test_the_api_gives_hits_a_day_and_the_newest_hits(signed_in: SignedIn) -> None:
    answer = signed_in("analyst").post("/api/v1/hunts", json={"rule": RULE, "since": "7d", "limit": 2})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["hits"], body["complete"], body["method"]) == (3, True, "sql")
    assert [each["event_id"] for each in body["found"]] == ["00000002", "00000001"]
    assert body["found"][1]["fields"]["CommandLine"].startswith("C:\\<script>")
    assert sum(day["hits"] for day in body["days"]) == 3
    assert len(body["days"]) == 8


def test_a_known_rule_is_hunted_by_its_id_and_a_preview_has_no_events(signed_in: SignedIn) -> None:
    rule_id = next(each.id for each in load_catalogue().values() if MALWARE in each.path)
    body = {"rule_id": rule_id, "since": "7d", "preview": True}
    answer = signed_in("analyst").post("/api/v1/hunts", json=body)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["hits"], answer.json()["found"]) == (0, [])


@pytest.mark.parametrize("user", ["officer", "auditor"])
def test_who_may_not_hunt_is_refused(user: str, signed_in: SignedIn) -> None:
    client = signed_in(user)
    assert client.post("/api/v1/hunts", json={"rule": RULE}).status_code == 403
    assert client.get("/hunt", headers={"accept": "text/html"}).status_code == 403


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 422, "rule_id or rule"),
        ({"rule": RULE, "rule_id": "x"}, 422, "not both"),
        ({"rule": RULE, "since": "yesterday"}, 422, "not a time"),
        ({"rule": RULE, "since": "500d"}, 422, "366 days"),
        ({"rule": RULE, "since": "1d", "until": "2d"}, 422, "before until"),
        ({"rule": "title: x"}, 422, "line"),
        ({"rule_id": "nothing"}, 404, "no rule"),
        ({"rule": RULE, "limit": 5_000}, 422, "limit"),
    ],
)
def test_what_cannot_be_hunted_is_a_problem_document_that_says_why(
    body: dict[str, Any], status: int, words: str, signed_in: SignedIn
) -> None:
    answer = signed_in("analyst").post("/api/v1/hunts", json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.text


def test_every_hunt_is_in_the_audit_log_before_it_runs(signed_in: SignedIn, services: Services) -> None:
    signed_in("analyst").post("/api/v1/hunts", json={"rule": RULE, "since": "7d"})
    with services.state.read() as session:
        entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry is not None
    assert (entry.actor, entry.action, entry.target) == (
        "analyst",
        "rule.hunt",
        "rule:7a0a5c6e-9c5b-4b75-9d38-2b1e58c3f001",
    )
    assert "text" in json.dumps(entry.detail)


def test_only_one_hunt_runs_at_a_time(signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "_WAIT_SECONDS", 0.0)
    with desk._HUNTING:
        answer = signed_in("analyst").post("/api/v1/hunts", json={"rule": RULE})
    assert answer.status_code == 503
    assert "retry-after" in answer.headers


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_the_page_offers_every_rule_and_shows_what_a_pasted_text_finds(
    lang: str, signed_in: SignedIn, world: World
) -> None:
    client = signed_in("analyst")
    client.cookies.set("lang", lang)
    html = {"accept": "text/html"}
    rule_id = next(each.id for each in load_catalogue().values() if MALWARE in each.path)
    form = client.get(f"/hunt?rule={rule_id}", headers=html)
    assert form.status_code == 200
    assert f'<option value="{rule_id}" selected>' in form.text
    data = {"text": RULE.replace("\n", "\r\n"), "since": "7d", "rule": rule_id}
    found = client.post("/hunt", data=data, headers=html)
    assert found.status_code == 200, found.text
    assert "pc-1" in found.text
    assert "C:\\&lt;script&gt;" in found.text
    assert "<script>.exe" not in found.text
    assert "19/11/2026" in found.text or "18/11/2026" in found.text


def test_the_page_counts_only_where_that_is_asked(signed_in: SignedIn) -> None:
    client = signed_in("analyst")
    data = {"text": RULE, "since": "7d", "preview": "1"}
    found = client.post("/hunt", data=data, headers={"accept": "text/html"})
    assert "pc-1" not in found.text
    assert found.status_code == 200


def test_the_page_says_what_is_wrong_with_a_text_and_keeps_it(signed_in: SignedIn) -> None:
    client = signed_in("analyst")
    found = client.post("/hunt", data={"text": "title: <x>"}, headers={"accept": "text/html"})
    assert found.status_code == 422
    assert "title: &lt;x&gt;" in found.text
    assert "line 1" in found.text


@pytest.fixture
def server(tmp_path: Path, clock: Clock) -> Path:
    """A data directory with events in it, and no server running."""
    data = tmp_path / "served"
    done = CliRunner().invoke(main, ["serve", "--prepare-only", "--data", str(data)])
    assert done.exit_code == 0, done.output
    return data


def test_the_command_looks_into_a_data_directory_that_no_server_runs_on(
    server: Path, tmp_path: Path, findings: Stored
) -> None:
    findings.close()
    folder = DataDirectory(server).events
    rows = Stored(folder.parent, folder)
    rows.put({"CommandLine": "\x1b[31m dump", "host": {"name": "pc-1"}}, {"CommandLine": "no"})
    rows.close()
    file = tmp_path / "mine.yml"
    file.write_text(RULE, encoding="utf-8")
    arguments = [
        "sigma",
        "hunt",
        str(file),
        "--since",
        "2026-11-01",
        "--until",
        "2026-12-01",
        "--data",
        str(server),
    ]
    told = CliRunner().invoke(main, arguments)
    assert told.exit_code == 0, told.output
    assert "1 hits in " in told.output
    assert "pc-1" in told.output
    assert "\x1b" not in told.output
    as_json = CliRunner().invoke(main, [*arguments, "--json"])
    assert json.loads(as_json.stdout)["hits"] == 1
    broken = CliRunner().invoke(main, ["sigma", "hunt", "no-such-rule", "--data", str(server)])
    assert broken.exit_code == 1
    assert "there is no rule" in broken.output
    file.write_text("title: x", encoding="utf-8")
    refused = CliRunner().invoke(main, arguments)
    assert (refused.exit_code, "line 1" in refused.output) == (1, True)


def test_the_clock_of_these_tests_is_after_the_events(clock: Clock) -> None:
    assert clock.now.timestamp() - START < timedelta(days=7).total_seconds()
