"""A web process over a real state store, with a clock that tests move and a stand-in for the event store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pyotp
import pytest
from argon2 import PasswordHasher
from starlette.testclient import TestClient

from collector.settings import DataDirectory, Settings
from collector.state.tables import Agency, Alert, Assignment, Endpoint, User
from rules.catalogue import Catalogue
from soc_api.accounts.passwords import Passwords
from soc_api.accounts.permissions import Role
from soc_api.accounts.service import create_user
from soc_api.app import assemble
from soc_api.services import Services
from tests.support.state import new_state

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
PASSWORD = "watchtower-on-the-hill"


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class FakeStore:
    """Answers every query with ``rows`` and remembers what was asked."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    up: bool = True

    def query(
        self, sql: str, parameters: Mapping[str, object] | None = None, *, since: datetime | None = None
    ) -> list[dict[str, Any]]:
        self.asked.append((sql, dict(parameters or {})))
        return self.rows

    def healthy(self) -> bool:
        return self.up

    def close(self) -> None:
        pass


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def services(tmp_path: Path, clock: Clock, store: FakeStore) -> Services:
    data = DataDirectory(tmp_path / "data")
    data.create()
    state = new_state(data.root)
    cheap = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    return Services(
        state=state,
        store=cast("Any", store),
        settings=Settings(),
        catalogue=Catalogue(()),
        data=data,
        clock=clock,
        passwords=cheap,
    )


@dataclass
class World:
    """Two agencies, one user of each role (the officer in agency 1, ``officer2`` in agency 2)."""

    services: Services
    clock: Clock
    here: int
    there: int
    secrets: dict[str, str]

    def code(self, username: str) -> str:
        return pyotp.TOTP(self.secrets[username]).at(self.clock.now)

    def endpoint(self, agency_id: int | None, hostname: str, *, simulated: bool = False) -> str:
        with self.services.state.write() as session:
            number = len(hostname) + int.from_bytes(hostname.encode()[:6])
            endpoint_id = f"00000000-0000-4000-8000-{number % 10**12:012d}"
            session.add(
                Endpoint(
                    id=endpoint_id,
                    hostname=hostname,
                    enrolled_at=self.clock.now,
                    last_seen_at=self.clock.now,
                    simulated=simulated,
                )
            )
            session.flush()
            if agency_id is not None:
                session.add(
                    Assignment(endpoint_id=endpoint_id, agency_id=agency_id, valid_from=self.clock.now)
                )
        return endpoint_id

    def alert(self, agency_id: int | None, subject: str, **changes: Any) -> int:
        now = self.clock.now
        values: dict[str, Any] = {
            "rule_id": "6d2c3f4e-0000-4000-8000-000000000001",
            "level": "high",
            "subject": subject,
            "subject_key": subject,
            "agency_id": agency_id,
            "first_event_at": now,
            "last_event_at": now,
            "created_at": now,
            "updated_at": now,
            **changes,
        }
        with self.services.state.write() as session:
            alert = Alert(**values)
            session.add(alert)
            session.flush()
            return alert.id

    def user_id(self, username: str) -> int:
        with self.services.state.read() as session:
            return session.query(User).filter_by(username=username).one().id


@pytest.fixture
def world(services: Services, clock: Clock) -> World:
    secrets: dict[str, str] = {}
    with services.state.write() as session:
        agencies = []
        for code, name in (("so-y-te", "Sở Y tế"), ("so-noi-vu", "Sở Nội vụ")):
            agency = Agency(code=code, name=name, search_name=name.casefold(), level="tinh", officials=50)
            session.add(agency)
            session.flush()
            agencies.append(agency.id)
        here, there = agencies
        for username, role, agency_id in (
            ("admin", Role.ADMIN, None),
            ("analyst", Role.ANALYST, None),
            ("officer", Role.OFFICER, here),
            ("officer2", Role.OFFICER, there),
            ("auditor", Role.AUDITOR, None),
        ):
            made = create_user(
                session,
                services.passwords,
                username,
                role,
                agency_id=agency_id,
                password=PASSWORD,
                actor="test",
                now=clock.now,
            )
            secrets[username] = made.totp_secret
    return World(services, clock, here, there, secrets)


@pytest.fixture
def anonymous(services: Services) -> TestClient:
    return TestClient(assemble(services), base_url="https://localhost")


SignedIn = Callable[[str], TestClient]


@pytest.fixture
def signed_in(services: Services, world: World) -> SignedIn:
    """A client signed in as that user, its CSRF token in every request."""
    app = assemble(services)

    def sign_in(username: str) -> TestClient:
        client = TestClient(app, base_url="https://localhost")
        body = {"username": username, "password": PASSWORD, "code": world.code(username)}
        answer = client.post("/api/v1/session", json=body)
        assert answer.status_code == 201, answer.text
        client.headers["X-CSRF-Token"] = answer.json()["csrf_token"]
        world.clock.forward(seconds=31)
        return client

    return sign_in
