"""What can be connected to: listening TCP and UDP ports, each with the program and the user behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agent import reasons
from agent.collectors.common.files import read_text
from agent.collectors.common.sockets import Owner, Socket, find_owners, read_sockets
from agent.collectors.common.users import user_name
from agent.collectors.registry import Context, NothingToReport, Output, StatusDocument, collector

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

MAX_PORTS: Final = 300
#: Of more sockets those of the system and those told before are looked at.
MAX_SOCKETS: Final = 1000
#: Numbers from here on are people's (login.defs(5)), who may listen on any number of ports.
_FIRST_PERSON: Final = 1000
#: A socket whose process was not found is asked about so often: it may have been passed on just then.
_ASKED: Final = 4
#: A port that is not there is believed to be gone after this time: services restart.
GONE_SECONDS: Final = 300.0
#: Passing ports of the range that the kernel hands out are told when they stay so long.
EPHEMERAL_SECONDS: Final = 3600.0
_EPHEMERAL: Final = (32_768, 60_999)
_REMEMBERED: Final = 500


def parse_range(text: str) -> tuple[int, int]:
    """``ip_local_port_range``: the first and last port that the kernel hands out; Linux' own where it says nothing."""
    parts = text.split()
    if len(parts) == 2 and all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        return int(parts[0]), int(parts[1])
    return _EPHEMERAL


def rows_of(sockets: Iterable[Socket], owners: dict[int, Owner]) -> list[dict[str, Any]]:
    """One row a protocol and port, by name (``tcp/22``); ``scope``: ``network``, or ``loopback`` for this machine."""
    grouped: dict[tuple[str, int], list[Socket]] = {}
    for each in sockets:
        grouped.setdefault((each.protocol, each.port), []).append(each)
    rows = []
    for (protocol, port), members in sorted(grouped.items()):
        open_to_all = [each for each in members if not each.loopback]
        # Of several processes on a port the one that others can reach tells more.
        chosen = min(
            open_to_all or members, key=lambda each: (each.inode not in owners, each.uid, each.inode)
        )
        owner = owners.get(chosen.inode)
        rows.append(
            {
                "name": f"{protocol}/{port}",
                "protocol": protocol,
                "port": port,
                "addresses": sorted({each.address for each in members})[:16],
                "scope": "network" if open_to_all else "loopback",
                "process": owner.name if owner else ("kernel" if chosen.inode == 0 else None),
                "path": owner.path if owner else "",
                "user": user_name(chosen.uid),
            }
        )
    return rows


class _Known:
    """What this process remembers: the processes behind sockets (looking for them is the dear part), and since when a
    port that was told is not there. After a start of the machine services need a while to come back."""

    def __init__(self) -> None:
        self.owners: dict[int, Owner] = {}
        self.asked: dict[int, int] = {}
        self.absent: dict[str, float] = {}

    def owners_of(self, ctx: Context, sockets: list[Socket]) -> dict[int, Owner]:
        inodes = {each.inode for each in sockets if each.inode}
        self.owners = {inode: owner for inode, owner in self.owners.items() if inode in inodes}
        self.asked = {inode: self.asked.get(inode, 0) for inode in inodes}
        missing = {inode for inode in inodes - self.owners.keys() if self.asked[inode] < _ASKED}
        if missing:
            self.owners.update(find_owners(ctx.proc, missing))
            self.asked.update({inode: self.asked[inode] + 1 for inode in missing})
        return self.owners

    def still_told(self, told: Iterable[str], here: Container[str], now: float) -> set[str]:
        """Those of the ports ``told`` that are not ``here``, but not for long enough to be gone."""
        missing = {name for name in told if name not in here}
        self.absent = {name: self.absent.get(name, now) for name in missing}
        return {name for name in missing if now - self.absent[name] < GONE_SECONDS}


_known = _Known()


def settled(
    ctx: Context, sockets: list[Socket], told: Container[str], waiting: dict[str, float]
) -> list[Socket]:
    """Those that are told: without ports of the range handed out that may be a question waiting for its answer or a
    program talking to itself, as long as they are not there for long. ``told`` are those told before, ``waiting``
    (since when) is brought up to date."""
    first, last = parse_range(read_text(ctx.proc / "sys/net/ipv4/ip_local_port_range", 64) or "")
    found: list[Socket] = []
    asking: set[str] = set()
    for each in sockets:
        name = _name(each)
        doubtful = first <= each.port <= last and (each.protocol == "udp" or each.loopback)
        if doubtful and name not in told:
            asking.add(name)
            if ctx.now() - waiting.setdefault(name, ctx.now()) < EPHEMERAL_SECONDS:
                continue
        found.append(each)
    for name in waiting.keys() - asking:
        del waiting[name]
    return found


def by_importance(sockets: Iterable[Socket], told: Container[str]) -> list[Socket]:
    """Those of the system first, then those told before: no user's many ports push one of them out."""
    return sorted(sockets, key=lambda each: (each.uid >= _FIRST_PERSON, _name(each) not in told))


def _name(each: Socket) -> str:
    return f"{each.protocol}/{each.port}"


@collector(
    "listening",
    interval_seconds=60,
    platforms={"linux"},
    privileges="root: which program of another user holds a port is shown to root only",
    description="Listening TCP and UDP ports with program and user, those for this machine alone told apart; passing "
    "ones (UDP and local ports that the kernel hands out) only when held for an hour",
)
def collect(ctx: Context) -> Output:
    sockets = read_sockets(ctx.proc)
    if sockets is None:
        raise NothingToReport(reasons.NOTHING_READABLE(path="/proc/net"))
    told: dict[str, dict[str, Any]] = ctx.state.get("rows") or {}
    waiting: dict[str, float] = dict(ctx.state.get("waiting") or {})
    shown = by_importance(settled(ctx, sockets.found, told, waiting), told)
    cut = sockets.cut or len(shown) > MAX_SOCKETS
    del shown[MAX_SOCKETS:]
    rows = {row["name"]: row for row in rows_of(shown, _known.owners_of(ctx, shown))}
    systems = {_name(each) for each in shown if each.uid < _FIRST_PERSON}
    absent = _known.still_told(told, rows, ctx.now())
    rows.update({name: told[name] for name in absent})
    chosen = [
        rows[name] for name in sorted(rows, key=lambda n: (n not in systems, n not in absent, n not in told))
    ]
    ordered = sorted(
        chosen[:MAX_PORTS], key=lambda row: (row["scope"] == "loopback", row["protocol"], row["port"])
    )
    cut = cut or len(rows) > MAX_PORTS
    ctx.state["rows"] = {row["name"]: row for row in ordered}
    ctx.state["waiting"] = dict(list(waiting.items())[:_REMEMBERED])
    body = {
        "state": "partial" if cut else "ok",
        "reason": reasons.TABLE_CUT(number=len(ordered)) if cut else "",
        "count": len(rows),
        "ports": ordered,
    }
    return Output(documents=[StatusDocument(kind="listening", observed_at=ctx.now(), body=body)])
