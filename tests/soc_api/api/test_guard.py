"""What a request passes before any route: host, origin, size; and what an accident looks like from
outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from soc_api.app import assemble
from soc_api.guard import HEADERS, MAX_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from soc_api.services import Services

    SignedIn = Callable[[str], TestClient]


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8443", "127.0.0.1:8443", "[::1]:8443", "LOCALHOST", "127.8.9.1"]
)
def test_our_own_names_are_answered(anonymous: TestClient, host: str) -> None:
    assert anonymous.get("/api/v1/me", headers={"host": host}).status_code == 401


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "evil.example:8443", "127.0.0.1.evil.example", "", "a b", "@"],
)
def test_a_foreign_host_name_is_refused(anonymous: TestClient, host: str) -> None:
    answer = anonymous.get("/api/v1/me", headers={"host": host})
    assert answer.status_code == 421
    assert "web" in answer.json()["detail"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://localhost"}, 204),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost"}, 403),
        ({"sec-fetch-site": "same-origin"}, 204),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
def test_a_change_asked_for_from_another_site_is_refused(
    signed_in: SignedIn, headers: dict[str, str], status: int
) -> None:
    assert signed_in("analyst").delete("/api/v1/session", headers=headers).status_code == status


@pytest.mark.parametrize("length", [str(MAX_BODY_BYTES + 1), "9" * 40, "-1", "x"])
def test_a_body_that_says_it_is_too_large_is_refused_unread(anonymous: TestClient, length: str) -> None:
    answer = anonymous.post(
        "/api/v1/session",
        content=b"{}",
        headers={"content-length": length, "content-type": "application/json"},
    )
    assert answer.status_code == 413


def test_a_body_that_does_not_say_its_size_is_cut_off_at_the_bound(anonymous: TestClient) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent <= MAX_BODY_BYTES:
            sent += 1 << 16
            yield b" " * (1 << 16)

    answer = anonymous.post(
        "/api/v1/session", content=endless(), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413
    assert answer.json()["title"] == "Too large"
    assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]


def test_an_accident_is_a_problem_document_without_its_inner_life(
    services: Services, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def accident(*_: object, **__: object) -> None:
        raise RuntimeError("secret inner life")

    monkeypatch.setattr("soc_api.api.session.sign_in", accident)
    client = TestClient(assemble(services), base_url="https://localhost")
    body = {"username": "a", "password": "b", "code": "c"}
    answer = client.post("/api/v1/session", json=body)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]


def test_a_busy_state_store_answers_503_with_retry_after(
    services: Services, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object, **__: object) -> None:
        raise OperationalError("BEGIN IMMEDIATE", {}, Exception("database is locked"))

    monkeypatch.setattr("soc_api.api.session.sign_in", busy)
    client = TestClient(assemble(services), base_url="https://localhost")
    answer = client.post("/api/v1/session", json={"username": "a", "password": "b", "code": "c"})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


HUGE = 2**63


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"/api/v1/alerts/{HUGE}", None),
        ("GET", f"/api/v1/alerts?agency_id={HUGE}", None),
        ("GET", f"/api/v1/incidents/{HUGE}", None),
        ("GET", f"/api/v1/incidents/-{HUGE * 2}", None),
        ("GET", f"/api/v1/endpoints?agency_id={HUGE}", None),
        ("GET", "/api/v1/endpoints/%00", None),
        ("GET", "/api/v1/agencies/%ff%fe", None),
        ("GET", "/api/v1/alerts?limit=-1", None),
        ("GET", "/api/v1/alerts?limit=100000", None),
        ("GET", "/api/v1/alerts?since=9999-99-99", None),
        ("GET", "/api/v1/alerts?sort=id%3Bdrop", None),
        ("GET", f"/alerts/{HUGE}", None),
        ("GET", f"/incidents/{HUGE}", None),
        ("POST", "/api/v1/incidents", {"title": "x", "alerts": [HUGE]}),
        ("POST", "/api/v1/users", {"username": "lan", "role": "officer", "agency_id": HUGE}),
        ("POST", "/api/v1/agencies/import", {"csv": "\x00"}),
    ],
)
def test_absurd_values_are_refused_and_never_an_accident(
    signed_in: SignedIn, method: str, path: str, body: object
) -> None:
    answer = signed_in("admin").request(method, path, json=body)
    assert 400 <= answer.status_code < 500


@pytest.mark.parametrize(
    "raw", [b'{"username": "\\ud800", "password": "x", "code": "1"}', b"\xff", b"[", b"null"]
)
def test_bodies_that_are_not_text_are_refused(anonymous: TestClient, world: Any, raw: bytes) -> None:
    answer = anonymous.post("/api/v1/session", content=raw, headers={"content-type": "application/json"})
    assert answer.status_code in {400, 401, 422}
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_browser_is_sent_to_sign_in_and_back_to_a_path_of_our_own(anonymous: TestClient) -> None:
    answer = anonymous.get(
        "/alerts?status=open&x=//evil.example", headers={"accept": "text/html"}, follow_redirects=False
    )
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Falerts%3Fstatus%3Dopen%26x%3D%2F%2Fevil.example"


def test_a_script_that_has_lost_its_session_is_told_so_instead_of_being_redirected(
    anonymous: TestClient,
) -> None:
    answer = anonymous.get("/live", headers={"accept": "text/event-stream"}, follow_redirects=False)
    assert answer.status_code == 401
