"""Rules over the API: looked at by all who may read them, changed by those who may, refused with their line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select
from starlette.testclient import TestClient

from collector.rulebook.live import LiveCatalogue
from collector.settings import Settings, Web
from collector.state.tables import AuditEntry, Lease, RuleFigures, WorkerFigures
from soc_api.app import assemble
from soc_api.rulebook.service import difference
from tests.collector.rulebook.conftest import RULE
from tests.soc_api.conftest import START

if TYPE_CHECKING:
    from soc_api.services import Services
    from tests.soc_api.conftest import SignedIn

MINE = "00000000-0000-4000-8000-000000000009"
TEXT = RULE.replace("00000000-0000-4000-8000-000000000001", MINE)
BROKEN = TEXT.replace("condition: selection", "condition: selektion")
#: Shipped; nothing refers to it.
OWN = "6f0f5d0e-3f0c-4b0e-9d0a-5b8f6f8f2c71"


def post(client: TestClient, path: str, status: int, **body: Any) -> Any:
    answer = client.post(f"/api/v1/rules{path}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def put(client: TestClient, rule_id: str, status: int, **body: Any) -> Any:
    answer = client.put(f"/api/v1/rules/{rule_id}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_rule_is_added_changed_reverted_and_disabled_and_each_is_in_the_audit_log(
    signed_in: SignedIn, services: Services
) -> None:
    client = signed_in("analyst")
    added = post(client, "", 201, text=TEXT, comment="first")
    assert (added["id"], added["revision"]) == (MINE, 1)
    assert (
        put(client, MINE, 200, text=TEXT.replace("high", "low"), based_on=1, comment="softer")["revision"]
        == 2
    )
    rule = client.get(f"/api/v1/rules/{MINE}").json()
    assert (rule["origin"], rule["revision"], rule["level"], rule["shipped"]) == ("local", 2, "low", False)
    assert [(row["number"], row["comment"]) for row in rule["revisions"]] == [(2, "softer"), (1, "first")]
    assert [row["applied_at"] for row in rule["changes"]] == [None, None]
    compared = client.get(f"/api/v1/rules/{MINE}/revisions/1").json()
    assert ["+", "level: high"] in compared["difference"]
    assert post(client, f"/{MINE}/revert", 200, revision=1, reason="too soft")["level"] == "high"
    disabled = post(client, f"/{MINE}/disable", 200, reason="a printer")
    assert (disabled["state"], disabled["reason"], disabled["changed_by"]) == (
        "disabled",
        "a printer",
        "analyst",
    )
    assert post(client, f"/{MINE}/enable", 200)["state"] == "ok"
    assert post(client, f"/{MINE}/throttle", 200, findings_an_hour=5, reason="loud")["throttle"] == 5
    with services.state.read() as session:
        entries = session.scalars(select(AuditEntry).where(AuditEntry.action.startswith("rule."))).all()
    assert [entry.action for entry in entries] == [
        "rule.write",
        "rule.write",
        "rule.revert",
        "rule.disable",
        "rule.enable",
        "rule.throttle",
    ]
    assert {entry.target for entry in entries} == {f"rule:{MINE}"}
    assert entries[-1].detail == {"reason": "loud", "findings_an_hour": 5}


def test_a_broken_text_is_refused_with_its_line_and_nothing_is_stored(
    signed_in: SignedIn, services: Services
) -> None:
    client = signed_in("admin")
    refused = post(client, "", 422, text=BROKEN)
    assert refused["errors"][0]["where"] == "body.text"
    assert refused["errors"][0]["reason"].startswith("line 8: ")
    assert client.get(f"/api/v1/rules/{MINE}").status_code == 404
    with services.state.read() as session:
        assert session.scalars(select(AuditEntry).where(AuditEntry.action == "rule.write")).all() == []


def test_who_was_second_is_told_so(signed_in: SignedIn) -> None:
    client = signed_in("analyst")
    post(client, "", 201, text=TEXT)
    assert "start from that text" in post(client, "", 409, text=TEXT)["detail"]
    assert "start from that text" in put(client, MINE, 409, text=TEXT, based_on=7)["detail"]
    put(client, "unknown", 404, text=TEXT, based_on=0)


def test_a_shipped_rule_is_changed_and_goes_back_to_its_shipped_text(signed_in: SignedIn) -> None:
    client = signed_in("analyst")
    source = client.get(f"/api/v1/rules/{OWN}").json()["source"]
    put(client, OWN, 200, text=source.replace("level: medium", "level: low"), based_on=0)
    changed = client.get(f"/api/v1/rules/{OWN}").json()
    assert (changed["level"], changed["origin"], changed["revision"]) == ("low", "own", 1)
    assert post(client, f"/{OWN}/revert", 200, revision=0)["level"] == "medium"
    assert post(client, f"/{OWN}/revert", 409, revision=0)
    assert post(client, f"/{OWN}/revert", 404, revision=9)


def test_disabling_and_a_limit_demand_a_reason(signed_in: SignedIn) -> None:
    client = signed_in("analyst")
    assert "say why" in post(client, f"/{OWN}/disable", 422, reason=" ")["detail"]
    assert "say why" in post(client, f"/{OWN}/throttle", 422, findings_an_hour=3)["detail"]
    assert "from 1 to" in post(client, f"/{OWN}/throttle", 422, findings_an_hour=0, reason="x")["detail"]


def test_a_check_says_what_is_wrong_and_stores_nothing(signed_in: SignedIn) -> None:
    client = signed_in("analyst")
    found = post(client, "/check", 200, text=TEXT)
    assert (found["ok"], found["id"]) == (True, MINE)
    assert (found["preview"]["matches"], found["preview"]["not_made"]) == (0, "")
    broken = post(client, "/check", 200, text=BROKEN)
    assert (broken["ok"], broken["preview"]) == (False, None)
    assert broken["faults"][0]["line"] == 8
    assert client.get(f"/api/v1/rules/{MINE}").status_code == 404


def test_officers_and_auditors_read_rules_and_change_none(signed_in: SignedIn) -> None:
    for name in ("officer", "auditor"):
        client = signed_in(name)
        assert client.get(f"/api/v1/rules/{OWN}").status_code == 200
        post(client, "", 403, text=TEXT)
        post(client, f"/{OWN}/disable", 403, reason="x")


@pytest.fixture
def figures(services: Services) -> None:
    common = {"seconds": 0.5, "updated_at": START, "last_match_at": START, "hour_matches": 3}
    with services.state.write() as session:
        session.add(RuleFigures(rule_id=OWN, offered=90, candidates=9, matches=7, throttled=2, **common))
        session.add(RuleFigures(rule_id="gone", offered=1, matches=1, **common))
        for number in (1, 2):
            said = {"rules_loaded": 51, "shadow_misses": 0, "shadow_checks": 3}
            session.add(WorkerFigures(worker=f"detect-{number}", figures=said, updated_at=START))
            held = {"owner": f"detect-{number}", "epoch": 1, "renewals": 1, "renewed_at": START}
            session.add(Lease(name=f"partition/0{number}", **held))


def test_figures_are_in_the_list_which_sorts_by_them(figures: None, signed_in: SignedIn) -> None:
    client = signed_in("officer")
    found = client.get("/api/v1/rules?sort=matches&limit=2").json()
    assert found["items"][0]["id"] == OWN
    assert found["items"][0]["figures"]["throttled"] == 2
    assert found["items"][0]["hour_matches"] == 3
    assert found["next"]
    assert client.get("/api/v1/rules?sort=nonsense").status_code == 422
    assert client.get("/api/v1/rules?state=disabled").json()["items"] == []


def scrape(services: Services, address: str, **headers: str) -> Any:
    client = TestClient(assemble(services), base_url="https://localhost", client=(address, 5))
    return client.get("/metrics", headers=headers)


def test_metrics_are_prometheus_text_for_this_machine_and_those_of_the_setting(
    figures: None, services: Services
) -> None:
    assert scrape(services, "192.0.2.7").status_code == 403
    answer = scrape(services, "127.0.0.1")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    (matches,) = families["vonggac_rule_matches"].samples
    assert (matches.name, matches.labels, matches.value) == ("vonggac_rule_matches_total", {"rule": OWN}, 7)
    states = {each.labels["state"]: each.value for each in families["vonggac_rules"].samples}
    assert states["ok"] > 40
    assert families["vonggac_detect_rules_loaded"].samples[0].value == 51
    assert families["vonggac_detect_shadow_checks"].samples[0].value == 6
    openmetrics = scrape(services, "::1", accept="application/openmetrics-text; version=1.0.0")
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")


def test_metrics_are_read_from_an_address_that_the_setting_names(services: Services) -> None:
    from dataclasses import replace

    named = replace(services, settings=Settings(web=Web(metrics_from=["192.0.2.0/24"])))
    assert scrape(named, "192.0.2.7").status_code == 200
    assert scrape(named, "198.51.100.1").status_code == 403


def test_a_difference_shows_lines_with_their_sign_and_nothing_for_equal_texts() -> None:
    assert difference("a\nb\n", "a\nb\n") == []
    assert difference("a\nb\n", "a\nc\n") == [("@", "@@ -1,2 +1,2 @@"), (" ", "a"), ("-", "b"), ("+", "c")]


def test_a_rule_that_was_switched_off_serves_no_target(services: Services, signed_in: SignedIn) -> None:
    object.__setattr__(services, "catalogue", LiveCatalogue(services.rules))
    client = signed_in("analyst")

    def serving() -> set[str]:
        return {rule for target in client.get("/api/v1/targets").json() for rule in target["rules"]}

    before = serving()
    assert OWN in before
    post(client, f"/{OWN}/disable", 200, reason="x")
    assert serving() == before - {OWN}
