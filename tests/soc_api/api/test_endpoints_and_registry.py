"""Endpoints, agencies, tokens, coverage, users, rules, system and the description, over the API."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from agent.messages import TokenParts
from collector.detect.checkpoints import name_of
from collector.enrolment.files import make_authority
from collector.partitions import ALL
from collector.state.tables import Assignment, Certificate, Checkpoint, DeadLetter, DocumentChange, Stream
from collector.store.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.testclient import TestClient

    from collector.enrolment.authority import Authority
    from soc_api.services import Services

    SignedIn = Callable[[str], TestClient]


@pytest.fixture
def authority(services: Services, clock: Any) -> Authority:
    return make_authority(services.data.ca, clock())


def stored(number: int, now: Any) -> dict[str, Any]:
    microseconds = int(now.timestamp() * 1e6) - number
    return {
        "event_id": f"e{number}",
        "time_us": microseconds,
        "received_us": microseconds + 5,
        "product": "linux",
        "category": "",
        "service": "auth",
        "rules": ["r1"],
        "body": json.dumps({"User": "lan"}),
    }


def test_endpoints_are_listed_by_host_name_and_paged(signed_in: SignedIn, world: Any) -> None:
    for name in ("c", "a", "b", "e", "d"):
        world.endpoint(world.here, f"may-{name}")
    client = signed_in("officer")
    first = client.get("/api/v1/endpoints", params={"limit": 2}).json()
    second = client.get("/api/v1/endpoints", params={"limit": 2, "after": first["next"]}).json()
    third = client.get("/api/v1/endpoints", params={"limit": 2, "after": second["next"]}).json()
    names = [row["hostname"] for page in (first, second, third) for row in page["items"]]
    assert names == ["may-a", "may-b", "may-c", "may-d", "may-e"]
    assert third["next"] is None
    assert first["items"][0]["agency_code"] == "so-y-te"


def test_an_officer_sees_no_changes_of_the_time_before_the_machine_was_his(
    signed_in: SignedIn, world: Any, services: Services, clock: Any
) -> None:
    endpoint = world.endpoint(world.there, "may-1")
    with services.state.write() as session:
        session.scalars(select(Assignment)).one().valid_to = clock.now + timedelta(days=1)
        session.add(
            Assignment(endpoint_id=endpoint, agency_id=world.here, valid_from=clock.now + timedelta(days=1))
        )
        for day in range(3):
            when = clock.now + timedelta(days=day)
            change = {"endpoint_id": endpoint, "kind": "neighbours", "item": "", "body": {"day": day}}
            session.add(DocumentChange(**change, changed_at=when))

    def seen(username: str) -> list[int]:
        answer = signed_in(username).get(f"/api/v1/endpoints/{endpoint}/history").json()
        return [item["body"]["day"] for item in answer["items"]]

    assert (seen("officer"), seen("analyst")) == ([2, 1], [2, 1, 0])


def test_percent_and_underscore_in_a_search_are_just_letters(signed_in: SignedIn, world: Any) -> None:
    world.endpoint(world.here, "may-1")
    client = signed_in("analyst")
    for text in ("%", "_", "may_1", "' OR 1=1 --"):
        assert client.get("/api/v1/endpoints", params={"text": text}).json()["items"] == []
    assert len(client.get("/api/v1/endpoints", params={"text": "AY-1"}).json()["items"]) == 1


def test_events_of_an_endpoint_come_from_the_store_within_bounds(
    signed_in: SignedIn, world: Any, store: Any
) -> None:
    endpoint_id = world.endpoint(world.here, "may-1")
    store.rows = [stored(number, world.clock.now) for number in range(3)]
    client = signed_in("analyst")
    page = client.get(f"/api/v1/endpoints/{endpoint_id}/events", params={"limit": 2}).json()
    assert [event["id"] for event in page["items"]] == ["e0", "e1"]
    assert page["items"][0]["fields"] == {"User": "lan"}
    sql, parameters = store.asked[-1]
    assert endpoint_id not in sql
    assert (parameters["endpoint"], parameters["rows"], parameters["every_agency"]) == (endpoint_id, 3, True)
    client.get(f"/api/v1/endpoints/{endpoint_id}/events", params={"limit": 2, "after": page["next"]})
    assert store.asked[-1][1]["until_id"] == "e1"


def test_an_officer_asks_the_store_only_for_the_own_agencys_events(
    signed_in: SignedIn, world: Any, store: Any
) -> None:
    endpoint_id = world.endpoint(world.here, "may-1")
    signed_in("officer").get(f"/api/v1/endpoints/{endpoint_id}/events")
    parameters = store.asked[-1][1]
    assert (parameters["every_agency"], parameters["agencies"]) == (False, [world.here])


def test_a_window_of_events_that_is_too_wide_is_refused(signed_in: SignedIn, world: Any, store: Any) -> None:
    endpoint_id = world.endpoint(world.here, "may-1")
    answer = signed_in("analyst").get(
        f"/api/v1/endpoints/{endpoint_id}/events", params={"since": "2020-01-01T00:00:00Z"}
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["where"] == "query.since"
    assert store.asked == []


def test_a_store_that_is_down_answers_503_with_retry_after(
    signed_in: SignedIn, world: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object, **__: object) -> None:
        raise StoreUnavailableError("the event store does not answer")

    monkeypatch.setattr(store, "query", down)
    endpoint_id = world.endpoint(world.here, "may-1")
    answer = signed_in("analyst").get(f"/api/v1/endpoints/{endpoint_id}/events")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


def test_revoking_an_endpoint_revokes_its_certificates_and_is_written_down(
    signed_in: SignedIn, world: Any, services: Services
) -> None:
    endpoint_id = world.endpoint(world.here, "may-1")
    now = world.clock.now
    with services.state.write() as session:
        session.add(
            Certificate(
                sha256="0" * 64,
                endpoint_id=endpoint_id,
                serial="1",
                not_before=now,
                not_after=now + timedelta(days=90),
            )
        )
    answer = signed_in("admin").post(f"/api/v1/endpoints/{endpoint_id}/revoke", json={"reason": "mất máy"})
    assert answer.json()["certificates"][0]["revoked_reason"] == "mất máy"
    entry = signed_in("auditor").get("/api/v1/audit", params={"action": "endpoint"}).json()["items"][0]
    assert (entry["action"], entry["detail"]) == (
        "endpoint.revoke",
        {"reason": "mất máy", "hostname": "may-1"},
    )


def test_a_retired_endpoint_leaves_the_list_and_keeps_its_page(signed_in: SignedIn, world: Any) -> None:
    endpoint_id = world.endpoint(world.here, "may-1")
    client = signed_in("admin")
    assert client.post(f"/api/v1/endpoints/{endpoint_id}/retire", json={"reason": "cũ"}).status_code == 200
    assert client.post(f"/api/v1/endpoints/{endpoint_id}/retire", json={"reason": "cũ"}).status_code == 409
    assert client.get("/api/v1/endpoints").json()["items"] == []
    assert len(client.get("/api/v1/endpoints", params={"retired": True}).json()["items"]) == 1


def test_reassigning_moves_an_endpoint_from_one_officer_to_the_other(
    signed_in: SignedIn, world: Any, services: Services
) -> None:
    endpoint_id = world.endpoint(world.here, "may-1")
    moved = signed_in("admin").post(f"/api/v1/endpoints/{endpoint_id}/agency", json={"agency": "so-noi-vu"})
    assert moved.json()["agency_code"] == "so-noi-vu"
    assert signed_in("officer").get(f"/api/v1/endpoints/{endpoint_id}").status_code == 404
    assert signed_in("officer2").get(f"/api/v1/endpoints/{endpoint_id}").status_code == 200
    with services.state.read() as session:
        assert len(session.scalars(select(Assignment)).all()) == 2


def test_tokens_are_shown_once_and_never_listed(
    signed_in: SignedIn, world: Any, authority: Authority
) -> None:
    client = signed_in("admin")
    made = client.post("/api/v1/tokens", json={"agency": "so-y-te", "count": 2}).json()["tokens"]
    parts = [TokenParts.decode(text) for text in made]
    assert {part.ca_sha256 for part in parts} == {authority.sha256}
    listed = client.get("/api/v1/tokens")
    assert {row["id"] for row in listed.json()["items"]} == {part.id for part in parts}
    assert not any(part.secret in listed.text for part in parts)
    revoked = client.delete(f"/api/v1/tokens/{parts[0].id}")
    assert revoked.status_code == 200
    assert len(client.get("/api/v1/tokens").json()["items"]) == 1
    assert signed_in("analyst").get("/api/v1/tokens").status_code == 403


def test_agencies_are_imported_from_csv_all_or_nothing(signed_in: SignedIn) -> None:
    client = signed_in("admin")
    bad = "code,name,level,officials\nso-moi,Sở Mới,tinh,10\nso-hai,Sở Hai,tinh,nhiều\n"
    refused = client.post("/api/v1/agencies/import", json={"csv": bad})
    assert refused.status_code == 422
    assert refused.json()["errors"] == [{"where": "officials", "reason": refused.json()["detail"]}]
    good = bad.replace("nhiều", "20")
    assert client.post("/api/v1/agencies/import", json={"csv": good}).json() == {
        "created": 2,
        "changed": 0,
        "unchanged": 0,
    }
    assert client.get("/api/v1/agencies", params={"text": "so hai"}).json()[0]["officials"] == 20
    assert client.get("/api/v1/agencies/so-hia").status_code == 404


def test_coverage_names_its_denominator_and_the_machines_behind_it(signed_in: SignedIn, world: Any) -> None:
    endpoint_id = world.endpoint(world.here, "may-1")
    world.endpoint(world.there, "may-2", simulated=True)
    client = signed_in("analyst")
    whole = client.get("/api/v1/coverage").json()
    assert (whole["total"]["known"], whole["total"]["protected"]) == (1, 0)
    assert whole["total"]["percent_of_known"] == 0
    assert sum(whole["total"]["by_state"].values()) == whole["total"]["known"]
    assert client.get("/api/v1/coverage", params={"simulated": True}).json()["total"]["known"] == 2
    machines = client.get("/api/v1/coverage/machines", params={"state": "unknown"}).json()["items"]
    assert [machine["id"] for machine in machines] == [endpoint_id]
    assert machines[0]["reason"]["code"]
    assert client.get("/api/v1/coverage", params={"agency": "khong-co"}).status_code == 404


def test_a_user_made_over_the_api_can_sign_in_and_a_reset_ends_that(
    signed_in: SignedIn, anonymous: TestClient, world: Any
) -> None:
    client = signed_in("admin")
    made = client.post("/api/v1/users", json={"username": "lan", "role": "officer", "agency_id": world.here})
    assert made.status_code == 201
    world.secrets["lan"] = made.json()["totp_secret"]
    body = {"username": "lan", "password": made.json()["password"], "code": world.code("lan")}
    assert anonymous.post("/api/v1/session", json=body).status_code == 201
    assert client.post("/api/v1/users/lan/reset").status_code == 200
    assert anonymous.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"username": "Lan", "role": "analyst"}, 422),
        ({"username": "lan", "role": "officer"}, 422),
        ({"username": "lan", "role": "analyst", "agency_id": 1}, 422),
        ({"username": "lan", "role": "officer", "agency_id": 999}, 422),
        ({"username": "lan", "role": "king"}, 422),
        ({"username": "analyst", "role": "analyst"}, 409),
    ],
)
def test_users_that_make_no_sense_are_refused(signed_in: SignedIn, body: dict[str, Any], status: int) -> None:
    assert signed_in("admin").post("/api/v1/users", json=body).status_code == status


def test_the_last_administrator_cannot_be_disabled(signed_in: SignedIn) -> None:
    client = signed_in("admin")
    assert client.post("/api/v1/users/admin/disable").status_code == 409
    assert client.get("/api/v1/me").status_code == 200


def test_the_pipeline_shows_gaps_and_dead_letters(
    signed_in: SignedIn, world: Any, services: Services
) -> None:
    endpoint_id = world.endpoint(world.here, "may-1")
    now = world.clock.now
    with services.state.write() as session:
        for partition in ALL:
            at = now - timedelta(seconds=40 if partition == 7 else 1)
            place = {"log_offset": 5, "updated_at": now, "received_at": at}
            session.add(Checkpoint(worker=name_of(partition), **place))
        session.add(
            Stream(endpoint_id=endpoint_id, stream="f" * 32, last_seq=9, missing=2, dropped=1, updated_at=now)
        )
        session.add(
            DeadLetter(
                endpoint_id=endpoint_id, log_offset=3, reason="not JSON", body=b"\xff\xfe", received_at=now
            )
        )
    client = signed_in("analyst")
    since = (world.clock.now - now).total_seconds()
    whole = client.get("/api/v1/system").json()
    assert (whole["batches_missing"], whole["items_dropped"], whole["dead_letters"]) == (2, 1, 1)
    assert [each["log_offset"] for each in whole["partitions"]] == [5] * len(ALL)
    assert (whole["lag_seconds"], whole["waiting"]) == (40 + since, None)
    assert client.get("/api/v1/system/streams").json()["items"][0]["hostname"] == "may-1"
    assert client.get("/api/v1/system/dead-letters").json()["items"][0]["size_bytes"] == 2
    assert signed_in("officer").get("/api/v1/system").status_code == 403


def test_health_is_bad_as_soon_as_a_store_does_not_answer(
    anonymous: TestClient, world: Any, store: Any
) -> None:
    assert anonymous.get("/healthz").json() == {"state": True, "events": True}
    store.up = False
    assert anonymous.get("/healthz").status_code == 503


def test_the_description_is_openapi_3_1_with_a_summary_for_every_operation(signed_in: SignedIn) -> None:
    document = signed_in("auditor").get("/api/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(operations) >= 40
    for path, method, operation in operations:
        assert path.startswith("/api/v1/"), path
        assert operation.get("description"), (method, path)
        refusal = operation["responses"]["422"]["content"]
        assert list(refusal) == ["application/problem+json"], (method, path)


def test_every_plan_target_names_the_rules_that_serve_it(signed_in: SignedIn) -> None:
    found = signed_in("officer").get("/api/v1/targets").json()
    assert len(found) == 72
    assert all(target["quote"] and target["document"]["title"] for target in found)


@pytest.mark.parametrize(("path", "key"), [("/api/v1/tokens", "id"), ("/api/v1/users", "username")])
def test_every_list_that_can_grow_is_paged_without_gap_or_repetition(
    signed_in: SignedIn, authority: Authority, world: Any, path: str, key: str
) -> None:
    client = signed_in("admin")
    client.post("/api/v1/tokens", json={"agency": "so-y-te", "count": 3})
    world.clock.forward(seconds=1)
    client.post("/api/v1/tokens", json={"agency": "so-noi-vu", "count": 2})
    seen: list[str] = []
    after = ""
    while True:
        page = client.get(f"{path}?limit=2{after and '&after=' + after}").json()
        assert len(page["items"]) <= 2
        seen += [row[key] for row in page["items"]]
        if page["next"] is None:
            break
        after = page["next"]
    assert len(seen) == len(set(seen)) == 5
    assert client.get(f"{path}?after=bmlj").status_code in {200, 422}
