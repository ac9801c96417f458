"""Signing in, sessions, and what an attacker at the door sees."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyotp
import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from collector.state.tables import AuditEntry, User, UserSession
from soc_api.accounts import sessions
from soc_api.accounts.service import disable_user
from soc_api.accounts.sign_in import sign_in
from soc_api.errors import SignInRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx2 import Response
    from starlette.testclient import TestClient

    from soc_api.services import Services

PASSWORD = "watchtower-on-the-hill"


def enter(client: TestClient, username: str, password: str, code: str) -> Response:
    body = {"username": username, "password": password, "code": code}
    answer: Response = client.post("/api/v1/session", json=body)
    return answer


def test_password_and_code_open_a_session_in_a_host_cookie(anonymous: TestClient, world: Any) -> None:
    answer = enter(anonymous, "analyst", PASSWORD, world.code("analyst"))
    assert answer.status_code == 201
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-vonggac=")
    for part in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
        assert part in cookie
    assert "Domain" not in cookie
    me = anonymous.get("/api/v1/me").json()
    assert (me["username"], me["role"]) == ("analyst", "analyst")


def test_only_a_digest_of_the_cookie_is_stored(anonymous: TestClient, world: Any, services: Services) -> None:
    enter(anonymous, "analyst", PASSWORD, world.code("analyst"))
    value = anonymous.cookies[sessions.COOKIE]
    with services.state.read() as session:
        stored = session.scalars(select(UserSession.token_sha256)).all()
    assert len(stored) == 1
    assert value not in stored[0]


def test_unknown_user_wrong_password_and_wrong_code_get_the_same_answer(
    anonymous: TestClient, world: Any
) -> None:
    answers = [
        enter(anonymous, "nobody", PASSWORD, world.code("analyst")),
        enter(anonymous, "analyst", "wrong", world.code("analyst")),
        enter(anonymous, "analyst", PASSWORD, "000000"),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].headers["content-type"] == "application/problem+json"


def test_unknown_user_costs_a_password_check_too(
    anonymous: TestClient, world: Any, services: Services
) -> None:
    class Counting(PasswordHasher):
        checks = 0

        def verify(self, *arguments: Any, **named: Any) -> Any:
            type(self).checks += 1
            return super().verify(*arguments, **named)

    services.passwords._hasher = Counting(time_cost=1, memory_cost=64, parallelism=1)
    enter(anonymous, "nobody", PASSWORD, "123456")
    assert Counting.checks == 1


def test_a_code_never_works_twice(anonymous: TestClient, world: Any) -> None:
    code = world.code("analyst")
    assert enter(anonymous, "analyst", PASSWORD, code).status_code == 201
    assert enter(anonymous, "analyst", PASSWORD, code).status_code == 401
    world.clock.forward(seconds=30)
    assert enter(anonymous, "analyst", PASSWORD, world.code("analyst")).status_code == 201


@pytest.mark.parametrize(("step", "status"), [(-2, 401), (-1, 201), (0, 201), (1, 201), (2, 401)])
def test_a_code_may_be_one_step_early_or_late(
    anonymous: TestClient, world: Any, step: int, status: int
) -> None:
    code = pyotp.TOTP(world.secrets["analyst"]).at(world.clock.now + timedelta(seconds=30 * step))
    assert enter(anonymous, "analyst", PASSWORD, code).status_code == status


def test_five_failures_lock_the_account_and_the_lock_grows(anonymous: TestClient, world: Any) -> None:
    def fail() -> None:
        assert enter(anonymous, "analyst", "wrong", "000000").status_code == 401

    for _ in range(5):
        fail()
    assert enter(anonymous, "analyst", PASSWORD, world.code("analyst")).status_code == 401
    world.clock.forward(seconds=31)
    fail()
    world.clock.forward(seconds=31)
    assert enter(anonymous, "analyst", PASSWORD, world.code("analyst")).status_code == 401
    world.clock.forward(seconds=30)
    assert enter(anonymous, "analyst", PASSWORD, world.code("analyst")).status_code == 201


def test_tries_while_locked_do_not_prolong_the_lock(anonymous: TestClient, world: Any) -> None:
    for _ in range(10):
        enter(anonymous, "analyst", "wrong", "000000")
    world.clock.forward(seconds=31)
    assert enter(anonymous, "analyst", PASSWORD, world.code("analyst")).status_code == 201


def test_an_address_that_fails_twenty_times_must_wait(anonymous: TestClient, world: Any) -> None:
    for number in range(20):
        assert enter(anonymous, f"guess{number}", "wrong", "000000").status_code == 401
    answer = enter(anonymous, "analyst", PASSWORD, world.code("analyst"))
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 301


def test_a_hash_with_old_parameters_is_renewed_at_sign_in(
    anonymous: TestClient, world: Any, services: Services
) -> None:
    old = PasswordHasher(time_cost=2, memory_cost=64, parallelism=1).hash(PASSWORD)
    with services.state.write() as session:
        session.get_one(User, world.user_id("analyst")).password_hash = old
    assert enter(anonymous, "analyst", PASSWORD, world.code("analyst")).status_code == 201
    with services.state.read() as session:
        renewed = session.get_one(User, world.user_id("analyst")).password_hash
    assert renewed != old
    assert not services.passwords.is_stale(renewed)


def test_an_idle_session_ends(signed_in: Callable[[str], TestClient], world: Any) -> None:
    client = signed_in("analyst")
    world.clock.forward(seconds=1700)
    assert client.get("/api/v1/me").status_code == 200
    world.clock.forward(seconds=1700)
    assert client.get("/api/v1/me").status_code == 200
    world.clock.forward(seconds=1801)
    assert client.get("/api/v1/me").status_code == 401


def test_a_busy_session_still_ends_after_its_lifetime(
    signed_in: Callable[[str], TestClient], world: Any
) -> None:
    client = signed_in("analyst")
    for _ in range(26):
        world.clock.forward(seconds=1650)
        client.get("/api/v1/me")
    assert client.get("/api/v1/me").status_code == 200
    world.clock.forward(seconds=1000)
    assert client.get("/api/v1/me").status_code == 401


def test_signing_in_again_ends_the_session_before(anonymous: TestClient, world: Any) -> None:
    enter(anonymous, "analyst", PASSWORD, world.code("analyst"))
    before = anonymous.cookies[sessions.COOKIE]
    world.clock.forward(seconds=31)
    enter(anonymous, "analyst", PASSWORD, world.code("analyst"))
    after = anonymous.cookies[sessions.COOKIE]
    assert before != after
    anonymous.cookies.clear()
    answer = anonymous.get("/api/v1/me", headers={"cookie": f"{sessions.COOKIE}={before}"})
    assert answer.status_code == 401


def test_signing_out_ends_the_session_on_the_server(signed_in: Callable[[str], TestClient]) -> None:
    client = signed_in("analyst")
    value = client.cookies[sessions.COOKIE]
    assert client.delete("/api/v1/session").status_code == 204
    answer = client.get("/api/v1/me", headers={"cookie": f"{sessions.COOKIE}={value}"})
    assert answer.status_code == 401


def test_a_disabled_user_is_out_with_the_next_request(
    signed_in: Callable[[str], TestClient], services: Services, world: Any
) -> None:
    client = signed_in("analyst")
    with services.state.write() as session:
        disable_user(session, "analyst", actor="admin", now=world.clock.now)
    assert client.get("/api/v1/me").status_code == 401
    assert enter(client, "analyst", PASSWORD, world.code("analyst")).status_code == 401


def test_changing_the_password_ends_every_session(
    signed_in: Callable[[str], TestClient], anonymous: TestClient, world: Any
) -> None:
    here, there = signed_in("analyst"), signed_in("analyst")
    body = {"old_password": PASSWORD, "new_password": "another tower, another hill"}
    assert here.post("/api/v1/me/password", json=body).status_code == 204
    assert here.get("/api/v1/me").status_code == 401
    assert there.get("/api/v1/me").status_code == 401
    assert enter(anonymous, "analyst", PASSWORD, world.code("analyst")).status_code == 401
    world.clock.forward(seconds=31)
    assert enter(anonymous, "analyst", body["new_password"], world.code("analyst")).status_code == 201


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("wrong", "another tower, another hill", "old_password"),
        (PASSWORD, "short", "password"),
        (PASSWORD, "analyst-analyst", "password"),
        (PASSWORD, "aaaaaaaaaaaaaaaaa", "password"),
    ],
)
def test_a_bad_password_change_says_where(
    signed_in: Callable[[str], TestClient], old: str, new: str, where: str
) -> None:
    client = signed_in("analyst")
    answer = client.post("/api/v1/me/password", json={"old_password": old, "new_password": new})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["where"] == where
    assert client.get("/api/v1/me").status_code == 200


def test_every_try_is_in_the_audit_log(anonymous: TestClient, world: Any, services: Services) -> None:
    enter(anonymous, "analyst", "wrong", "000000")
    enter(anonymous, "nobody\r\n2026 admin signed in", "wrong", "000000")
    enter(anonymous, "analyst", PASSWORD, world.code("analyst"))
    with services.state.read() as session:
        rows = session.scalars(
            select(AuditEntry).where(AuditEntry.action.startswith("session.")).order_by(AuditEntry.id)
        ).all()
    assert [row.action for row in rows] == ["session.refuse", "session.refuse", "session.open"]
    assert rows[0].detail == {"reason": "password"}
    assert "\n" not in rows[1].actor
    assert "\\u000d\\u000a" in rows[1].actor


def test_sign_in_takes_only_json_so_that_no_foreign_form_can_use_it(
    anonymous: TestClient, world: Any
) -> None:
    answer = anonymous.post(
        "/api/v1/session",
        content='{"username": "analyst", "password": "x", "code": "1"}',
        headers={"content-type": "text/plain"},
    )
    assert answer.status_code == 422


def test_of_two_sign_ins_with_one_code_at_once_only_one_gets_in(world: Any, services: Services) -> None:
    code = world.code("analyst")
    together = threading.Barrier(4)

    def enter() -> bool:
        together.wait(timeout=10)
        try:
            sign_in(services, "analyst", PASSWORD, code, address="127.0.0.1", user_agent="")
        except SignInRefusedError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        results = [future.result(timeout=30) for future in [pool.submit(enter) for _ in range(4)]]
    assert sorted(results) == [False, False, False, True]
