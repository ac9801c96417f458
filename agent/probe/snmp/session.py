"""One device over SNMP: gets and walks that end, whatever the device answers. One question at a time."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from gufo.snmp import (
    Aes128Key,
    Aes256Key,
    Sha1Key,
    Sha224Key,
    Sha256Key,
    Sha384Key,
    Sha512Key,
    SnmpAuthError,
    SnmpError,
    User,
)
from gufo.snmp.aio import SnmpSession
from gufo.snmp.user import KeyType

from agent import reasons
from agent.probe.snmp.patience import Patience
from agent.probe.snmp.values import Value, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.probe.snmp.credentials import Secret

#: Values of one GET: so many fit a datagram of an Ethernet frame.
GET_AT_ONCE: Final = 24
#: Rows of one GETBULK.
_BULK: Final = 24
_AUTH: Final = {
    "SHA-1": Sha1Key,
    "SHA-224": Sha224Key,
    "SHA-256": Sha256Key,
    "SHA-384": Sha384Key,
    "SHA-512": Sha512Key,
}
_PRIVACY: Final = {"AES-128": Aes128Key, "AES-256": Aes256Key}


class DeviceError(Exception):
    """The device could not be asked; ``str()`` is for people (:mod:`agent.reasons`)."""


class Session:
    """``timeout`` in seconds for each answer; a question is put ``1 + retries`` times."""

    def __init__(self, address: str, port: int, secret: Secret, *, timeout: float, retries: int) -> None:
        self._address, self._port, self._secret = address, port, secret
        self._timeout, self._tries = timeout, 1 + retries
        # The library waits anew with each datagram, also with one that answers something else.
        self._patience = 2 * timeout
        self._session: SnmpSession | None = None
        #: Questions that were put, those that were put again included.
        self.requests = 0

    @property
    def engine_id(self) -> bytes:
        """The SNMPv3 engine of the device; empty before it has answered, and with v2c."""
        if self._session is None or self._secret.kind.version != "3":
            return b""
        return self._session.get_engine_id()

    async def get(self, oids: Iterable[str]) -> dict[str, Value]:
        """Single values, without those that the device does not have.

        Raises:
            DeviceError: no answer, or the credential was refused.
        """
        found: dict[str, Value] = {}
        for part in _parts(list(oids), GET_AT_ONCE):
            found.update(await self._get(part))
        return {oid: value for oid, value in found.items() if value is not None}

    async def walk(self, base: str, most: int) -> dict[tuple[int, ...], Value]:
        """A column: values by index, at most ``most``. Ends where the device does not go forward. Raises as
        :meth:`get`."""
        found: dict[tuple[int, ...], Value] = {}
        for attempt in range(self._tries):
            found.clear()
            try:
                await self._walk(base, most, found)
            except (TimeoutError, SnmpError, OSError) as error:
                self._drop()
                if isinstance(error, SnmpError) and not isinstance(error, SnmpAuthError):
                    return found  # it has no such table, or says it in a way that cannot be read
                if attempt + 1 == self._tries:
                    raise _spoken(error) from error
            else:
                break
        return found

    def close(self) -> None:
        self._drop()

    async def _walk(self, base: str, most: int, found: dict[tuple[int, ...], Value]) -> None:
        last: tuple[int, ...] = ()
        session = await self._open()
        self.requests += 1
        rows = aiter(session.getbulk(base, _BULK))
        while True:
            async with Patience(self._patience):
                row = await anext(rows, None)
            if row is None:
                return
            oid, value = row
            index = parts_of(oid, base)
            if index is None or index <= last or len(found) >= most:
                return
            if value is not None:
                found[index] = value
            last = index

    async def _get(self, oids: list[str]) -> dict[str, Value]:
        for attempt in range(self._tries):
            try:
                session = await self._open()
                self.requests += 1
                async with Patience(self._patience):
                    return await session.get_many(oids)
            except (TimeoutError, SnmpAuthError, OSError) as error:
                self._drop()
                if attempt + 1 == self._tries:
                    raise _spoken(error) from error
            except SnmpError:
                # Too much for one answer (tooBig), or one of them broke it: ask for less.
                if len(oids) == 1:
                    return {}
                half = len(oids) // 2
                return {**await self._get(oids[:half]), **await self._get(oids[half:])}
        return {}

    async def _open(self) -> SnmpSession:
        if self._session is None:
            kind = self._secret.kind
            session = (
                SnmpSession(
                    self._address, self._port, community=self._secret.community, timeout=self._timeout
                )
                if kind.version == "2c"
                else SnmpSession(self._address, self._port, user=_user(self._secret), timeout=self._timeout)
            )
            self.requests += kind.version == "3"
            async with Patience(self._patience):
                await session.refresh()
            self._session = session
        return self._session

    def _drop(self) -> None:
        # An answer that comes late finds nobody: the next question has a socket of its own.
        self._session = None


def _spoken(error: Exception) -> DeviceError:
    if isinstance(error, SnmpAuthError):
        return DeviceError(reasons.SNMP_REFUSED())
    if isinstance(error, TimeoutError):
        return DeviceError(reasons.SNMP_NO_ANSWER())
    return DeviceError(reasons.SNMP_FAILED(detail=getattr(error, "strerror", None) or str(error)))


def _user(secret: Secret) -> User:
    kind = secret.kind
    auth = _AUTH[kind.auth](_master(kind.auth, secret.auth), key_type=KeyType.Master)
    if kind.privacy == "none":
        return User(kind.user, auth_key=auth)
    privacy = _PRIVACY[kind.privacy](_master(kind.auth, secret.privacy), key_type=KeyType.Master)
    return User(kind.user, auth_key=auth, priv_key=privacy)


@lru_cache(maxsize=256)
def _master(algorithm: str, password: str) -> bytes:
    """A megabyte is digested for it (RFC 3414, A.2): once a password, not once a device."""
    return _AUTH[algorithm].get_master_key(password.encode())


def _parts(oids: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(oids), size):
        yield oids[start : start + size]
