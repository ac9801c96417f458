"""House rules that every route of the application is held to, whoever wrote it: default deny, roles, tenancy,
headers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRouter
from sqlalchemy import select

from collector.state.tables import (
    BackupSystem,
    CheckException,
    Device,
    DeviceApproval,
    Document,
    DocumentChange,
    Firewall,
    Incident,
    LogSource,
    MachineLink,
)
from soc_api.accounts.declared import (
    DeclaredRoute,
    UndeclaredRouteError,
    declared_routes,
    refuse_undeclared,
)
from soc_api.accounts.permissions import PERMISSIONS, Role
from soc_api.app import PUBLIC_PATHS, PUBLIC_PREFIXES, assemble
from soc_api.guard import HEADERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx2 import Response
    from starlette.testclient import TestClient

    from soc_api.services import Services

MARK = "that-is-not-yours"
USERS = {Role.ADMIN: "admin", Role.ANALYST: "analyst", Role.OFFICER: "officer", Role.AUDITOR: "auditor"}
#: Endless by design; its own tests look at it.
STREAMS = {"/live"}


def routes_of(services: Services) -> list[DeclaredRoute]:
    found = [route for route in declared_routes(assemble(services)) if route.path not in STREAMS]
    assert len(found) > 60
    return found


def is_public(route: DeclaredRoute) -> bool:
    return route.path in PUBLIC_PATHS or route.path.startswith(PUBLIC_PREFIXES)


def call(client: TestClient, route: DeclaredRoute, path: str) -> Response:
    """With a body that no route accepts, so that nothing changes: a refusal must come before reading it."""
    answer: Response = client.request(route.method, path, json={}, follow_redirects=False)
    return answer


@pytest.fixture
def foreign(world: Any, services: Services) -> dict[str, str]:
    """Objects of the agency ``there``, by the names of path parameters."""
    endpoint_id = world.endpoint(world.there, f"host-{MARK}")
    other_id = world.endpoint(world.there, f"other-{MARK}")
    alert_id = world.alert(world.there, f"alert-{MARK}", endpoint_id=endpoint_id)
    now = world.clock.now
    with services.state.write() as session:
        incident = Incident(
            title=f"incident-{MARK}",
            level="high",
            agency_id=world.there,
            detected_at=now,
            opened_at=now,
            opened_by="x",
        )
        session.add(incident)
        common = {"endpoint_id": endpoint_id, "kind": "host", "item": "", "body": {"name": MARK}}
        session.add(Document(**common, digest="0", observed_at=now, received_at=now, changed_at=now))
        session.add(DocumentChange(**common, changed_at=now))
        excepted = CheckException(
            check_set="linux",
            check_id="sudo_use_pty",
            agency_id=world.there,
            reason=MARK,
            made_at=now,
            made_by="x",
            expires_at=now + timedelta(days=300),
        )
        session.add(excepted)
        pair = MachineLink(
            older_id=endpoint_id,
            newer_id=other_id,
            kind="reimaged",
            score=90,
            state="proposed",
            evidence={},
            made_at=now,
        )
        session.add(pair)
        firewall = Firewall(
            agency_id=world.there, name=MARK, address="10.9.9.1", declared_at=now, declared_by="x"
        )
        session.add(firewall)
        source = LogSource(
            agency_id=world.there, address="10.9.9.2", name=MARK, hostname=MARK, state_since=now, made_at=now
        )
        backup = BackupSystem(
            agency_id=world.there,
            name=MARK,
            title=MARK,
            interval_seconds=86_400.0,
            restore_seconds=86_400.0,
            state_since=now,
            made_at=now,
            made_by="x",
        )
        session.add_all([source, backup])
        mac = "3c:52:82:00:00:09"
        device = Device(agency_id=world.there, mac=mac, ip=MARK, first_seen_at=now, last_seen_at=now)
        approval = DeviceApproval(
            agency_id=world.there,
            mac=mac,
            reason=MARK,
            made_at=now,
            made_by="x",
            expires_at=now + timedelta(days=300),
        )
        session.add_all([device, approval])
        session.flush()
        incident_id, exception_id, link_id = incident.id, excepted.id, pair.id
        firewall_id, device_id, approval_id = firewall.id, device.id, approval.id
        source_id = source.id
    return {
        "alert_id": str(alert_id),
        "incident_id": str(incident_id),
        "exception_id": str(exception_id),
        "link_id": str(link_id),
        "firewall_id": str(firewall_id),
        "source_id": str(source_id),
        "system": MARK,
        "device_id": str(device_id),
        "approval_id": str(approval_id),
        "endpoint_id": endpoint_id,
        "code": "so-noi-vu",
        "token_id": "0" * 16,
        "username": "officer2",
        "rule_id": "none",
        "number": "1",
        "service_name": "none",
        "plan_id": "1",
        "path": "none",
        "vulnerability": "CVE-2026-1001",
    }


def filled(path: str, values: dict[str, str]) -> str:
    return path.replace("{path:path}", "none").format(**values)


def test_every_route_declares_what_it_demands_or_is_on_the_public_list(services: Services) -> None:
    undeclared = [
        route for route in routes_of(services) if route.permissions is None and not is_public(route)
    ]
    assert undeclared == []


def test_the_public_list_is_short_and_has_nothing_that_needs_no_being_there(services: Services) -> None:
    public = {route.path for route in routes_of(services) if route.permissions is None}
    assert public <= {*PUBLIC_PATHS, "/static/{path:path}"}
    assert len(public) <= 9


def test_an_application_with_an_undeclared_route_does_not_start() -> None:
    app = FastAPI(openapi_url=None)
    inner = APIRouter(prefix="/inner")

    @inner.get("/open")
    def open_to_all() -> dict[str, str]:
        return {}

    outer = APIRouter()
    outer.include_router(inner)
    app.include_router(outer)
    with pytest.raises(UndeclaredRouteError, match="GET /inner/open"):
        refuse_undeclared(app, set(), ("/static/",))


def test_nobody_gets_in_without_a_session(
    services: Services, anonymous: TestClient, foreign: dict[str, str]
) -> None:
    for route in routes_of(services):
        if is_public(route):
            continue
        answer = call(anonymous, route, filled(route.path, foreign))
        assert answer.status_code == 401, route
        assert answer.headers["content-type"] == "application/problem+json"
        page = anonymous.request(
            route.method,
            filled(route.path, foreign),
            headers={"accept": "text/html"},
            follow_redirects=False,
        )
        expected = 401 if route.path.startswith("/api/") else 303
        assert page.status_code == expected, route


@pytest.mark.parametrize("role", list(Role))
def test_a_role_reaches_exactly_what_its_permissions_name(
    services: Services,
    signed_in: Callable[[str], TestClient],
    foreign: dict[str, str],
    role: Role,
) -> None:
    client = signed_in(USERS[role])
    for route in routes_of(services):
        if route.permissions is None or route.path in {"/sign-out", "/api/v1/session"}:
            continue
        status = call(client, route, filled(route.path, foreign)).status_code
        if route.permissions <= PERMISSIONS[role]:
            assert status not in {401, 403}, (route, status)
            assert status < 500, (route, status)
        else:
            assert status == 403, (route, status)


def test_nothing_is_changed_without_the_sessions_own_token(
    services: Services, signed_in: Callable[[str], TestClient], foreign: dict[str, str]
) -> None:
    client = signed_in("admin")
    other = signed_in("admin").headers["X-CSRF-Token"]
    for token in (None, "", "guess", other):
        client.headers.pop("X-CSRF-Token", None)
        if token is not None:
            client.headers["X-CSRF-Token"] = token
        for route in routes_of(services):
            if route.method in {"GET", "HEAD"} or is_public(route):
                continue
            answer = call(client, route, filled(route.path, foreign))
            assert answer.status_code == 403, route
            assert answer.json()["type"] == "urn:vonggac:problem:csrf"
    assert client.get("/api/v1/me").status_code == 200


BODIES: dict[str, dict[str, Any]] = {
    "/api/v1/alerts/{alert_id}/close": {"reason": "benign"},
    "/api/v1/incidents": {"title": "mine", "alerts": [0]},
    "/api/v1/incidents/{incident_id}/alerts": {"alerts": [0]},
    "/api/v1/incidents/{incident_id}/notes": {"text": "mine"},
    "/api/v1/incidents/{incident_id}/status": {"status": "in_progress"},
    "/api/v1/incidents/{incident_id}/assignee": {"assigned_to": None},
    "/api/v1/endpoints/{endpoint_id}/revoke": {"reason": "mine"},
    "/api/v1/endpoints/{endpoint_id}/retire": {"reason": "mine"},
    "/api/v1/endpoints/{endpoint_id}/agency": {"agency": "so-y-te"},
    "/api/v1/machine-links/{link_id}/undo": {"reason": "mine"},
}
FORMS: dict[str, dict[str, Any]] = {
    "/alerts/{alert_id}/close": {"reason": "benign", "note": ""},
    "/alerts/{alert_id}/incident": {"title": "mine"},
    "/incidents/{incident_id}/notes": {"text": "mine"},
    "/incidents/{incident_id}/status": {"status": "in_progress"},
    "/incidents/{incident_id}/assignee": {"assigned_to": ""},
    "/machines/{link_id}/undo": {"reason": "mine"},
}


def test_an_officer_finds_nothing_of_another_agency_by_its_id(
    services: Services, signed_in: Callable[[str], TestClient], foreign: dict[str, str]
) -> None:
    client = signed_in("officer")
    tried = 0
    for route in routes_of(services):
        if not {"alert_id", "incident_id", "endpoint_id", "link_id", "code"} & set(_parameters(route.path)):
            continue
        tried += 1
        path = filled(route.path, foreign)
        if route.path in FORMS:
            form = {**FORMS[route.path], "csrf_token": client.headers["X-CSRF-Token"]}
            answer = client.post(path, data=form, follow_redirects=False)
        else:
            answer = client.request(route.method, path, json=BODIES.get(route.path, {}))
        assert answer.status_code in {403, 404}, (route, answer.status_code)
        assert MARK not in answer.text
    assert tried >= 20
    assert services.store.asked == []  # type: ignore[attr-defined]  # the stand-in's own record


def test_an_officers_lists_hold_nothing_of_another_agency(
    services: Services, signed_in: Callable[[str], TestClient], foreign: dict[str, str], world: Any
) -> None:
    world.alert(None, f"nobodys-{MARK}")
    world.endpoint(None, f"nobodys-{MARK}")
    client, everything = signed_in("officer"), signed_in("analyst")
    seen = 0
    for route in routes_of(services):
        if route.method != "GET" or _parameters(route.path) or is_public(route):
            continue
        for query in (
            "",
            "?simulated=true",
            "?agency=so-noi-vu",
            f"?agency_id={world.there}",
            f"?text={MARK}",
        ):
            answer = client.get(route.path + query)
            assert MARK not in answer.text.replace(f"text={MARK}", "").replace(f'"{MARK}"', ""), route
        seen += MARK in everything.get(route.path).text
    assert seen >= 5, "the analyst should have seen what the officer may not"


def test_ids_that_do_not_exist_and_ids_out_of_reach_answer_the_same(
    signed_in: Callable[[str], TestClient], foreign: dict[str, str]
) -> None:
    client = signed_in("officer")
    for path, missing in (
        (f"/api/v1/alerts/{foreign['alert_id']}", "/api/v1/alerts/99999"),
        (f"/api/v1/incidents/{foreign['incident_id']}", "/api/v1/incidents/99999"),
    ):
        foreign_answer, missing_answer = client.get(path), client.get(missing)
        number = path.rsplit("/", 1)[1]
        assert foreign_answer.json() == {
            **missing_answer.json(),
            "detail": missing_answer.json()["detail"].replace("99999", number),
        }


def test_an_officer_cannot_put_a_foreign_alert_into_an_incident(
    services: Services, signed_in: Callable[[str], TestClient], foreign: dict[str, str]
) -> None:
    body = {"title": "mine", "alerts": [int(foreign["alert_id"])]}
    assert signed_in("officer").post("/api/v1/incidents", json=body).status_code == 403
    with services.state.read() as session:
        assert len(session.scalars(select(Incident)).all()) == 1


def test_security_headers_stand_on_every_answer(
    services: Services, anonymous: TestClient, foreign: dict[str, str]
) -> None:
    for route in [*routes_of(services), DeclaredRoute("GET", "/no/such/page", None)]:
        answer = call(anonymous, route, filled(route.path, foreign))
        for name in set(HEADERS) - {"content-security-policy"}:
            assert answer.headers[name] == HEADERS[name], route
        policy = answer.headers["content-security-policy"]
        assert policy.startswith(("default-src 'self';", "default-src 'none';")), route
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "cache-control" in answer.headers


def _parameters(path: str) -> list[str]:
    return [part[1:-1].partition(":")[0] for part in path.split("/") if part.startswith("{")]
