"""A device that answers from memory, in place of a session: what it says can be changed between polls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.probe.snmp import oids

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.probe.snmp.values import Value

Index = tuple[int, ...]


class Answering:
    """A switch with ports ``p1`` … of numbers 1 …. ``rows``: by column, then by index. ``breaks``: a column that is
    never answered, and what happens then."""

    engine_id = b""

    def __init__(self, ports: int = 3) -> None:
        self.scalars: dict[str, Value] = {
            oids.SYS_UP_TIME: 8_640_000,
            oids.SYS_OBJECT_ID: "1.3.6.1.4.1.99999.1",
        }
        numbers = range(1, ports + 1)
        self.rows: dict[str, dict[Index, Value]] = {
            oids.IF_DESCR: {(at,): f"p{at}".encode() for at in numbers},
            oids.IF_TYPE: {(at,): 6 for at in numbers},
        }
        self.breaks: tuple[str, Exception] | None = None
        self.walked: list[str] = []

    def hears(self, port: int, chassis: bytes, *, network: bool) -> None:
        """By LLDP."""
        index = (0, port, 1)
        for column, value in (
            (oids.LLDP_CHASSIS_SUBTYPE_REMOTE, 4),
            (oids.LLDP_CHASSIS_REMOTE, chassis),
            (oids.LLDP_ENABLED_REMOTE, b"\x20" if network else b"\x01"),
        ):
            self.rows.setdefault(column, {})[index] = value

    def learned(self, mac: str, port: int) -> None:
        index = tuple(bytes.fromhex(mac.replace(":", "")))
        self.rows.setdefault(oids.FDB_PORT, {})[index] = port

    async def get(self, wanted: Iterable[str]) -> dict[str, Value]:
        return {oid: self.scalars[oid] for oid in wanted if oid in self.scalars}

    async def walk(self, base: str, most: int) -> dict[Index, Value]:
        self.walked.append(base)
        if self.breaks is not None and self.breaks[0] == base:
            raise self.breaks[1]
        return dict(list(self.rows.get(base, {}).items())[:most])
