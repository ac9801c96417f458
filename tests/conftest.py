"""Shared by every test: no network beyond loopback; databases."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import debian, postgres, state

if TYPE_CHECKING:
    from collections.abc import Iterator


class NetworkUsedError(Exception):
    """A test reached for an address outside of this machine."""


def _is_outside(family: int, address: Any) -> bool:
    if family not in (socket.AF_INET, socket.AF_INET6):
        return False
    try:
        return not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback
    except ValueError:
        return address[0] not in ("localhost", "")


@pytest.fixture(autouse=True, scope="session")
def _only_loopback() -> Iterator[None]:
    """An exception that is no ``OSError``, so that nothing takes it for a network that is down."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            real = getattr(socket.socket, name)

            def guarded(self: socket.socket, *arguments: Any, real: Any = real) -> Any:
                if _is_outside(self.family, arguments[-1]):
                    raise NetworkUsedError(f"a test reaches for {arguments[-1]}: only loopback is allowed")
                return real(self, *arguments)

            patch.setattr(socket.socket, name, guarded)
        yield


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgres.PostgreSQL]:
    """A running server; a test that stops it starts it again."""
    if postgres.programs() is None:
        debian.missing("PostgreSQL is missing", "postgresql")
    server = postgres.PostgreSQL.make()
    yield server
    server.remove()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def on_both_databases(request: pytest.FixtureRequest) -> Iterator[None]:
    """``pytestmark = pytest.mark.usefixtures("on_both_databases")``: all tests of the module run with their state on
    SQLite, then with it on PostgreSQL."""
    state.use(None if request.param == "sqlite" else request.getfixturevalue("postgresql"))
    yield
    state.use(None)


@pytest.fixture(autouse=True)
def _close_states() -> Iterator[None]:
    yield
    state.close_all()
