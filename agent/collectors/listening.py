"""What can be connected to: listening TCP and UDP ports, each with the program and the user behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agent import reasons
from agent.collectors.common.files import read_text
from agent.collectors.common.sockets import Owner, Socket, find_owners, read_sockets
from agent.collectors.common.users import user_name
from agent.collectors.registry import Context, NothingToReport, Output, StatusDocument, collector

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_PORTS: Final = 300
#: A port that is not there is believed to be gone after this time: services restart.
GONE_SECONDS: Final = 300.0
#: UDP ports of the range that the kernel hands out are questions waiting for an answer, unless they stay so long.
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
    """The processes behind sockets seen lately: looking for them is the dear part."""

    def __init__(self) -> None:
        self.owners: dict[int, Owner] = {}
        self.asked: set[int] = set()

    def owners_of(self, ctx: Context, sockets: list[Socket]) -> dict[int, Owner]:
        inodes = {each.inode for each in sockets if each.inode}
        self.asked &= inodes
        if new := inodes - self.asked:
            self.owners.update(find_owners(ctx.proc, new))
            self.asked |= new
        self.owners = {inode: owner for inode, owner in self.owners.items() if inode in inodes}
        return self.owners


_known = _Known()


def settled(
    ctx: Context, sockets: list[Socket], seen: dict[str, float], waiting: dict[str, float]
) -> list[Socket]:
    """Those that are told: without UDP ports of the range handed out that are not there for long, or for this machine
    alone. ``seen`` are the ports told already, ``waiting`` (since when) is brought up to date."""
    first, last = parse_range(read_text(ctx.proc / "sys/net/ipv4/ip_local_port_range", 64) or "")
    found: list[Socket] = []
    asking: set[str] = set()
    for each in sockets:
        name = f"{each.protocol}/{each.port}"
        if each.protocol == "udp" and first <= each.port <= last and name not in seen:
            if each.loopback:
                continue
            asking.add(name)
            if ctx.now() - waiting.setdefault(name, ctx.now()) < EPHEMERAL_SECONDS:
                continue
        found.append(each)
    for name in waiting.keys() - asking:
        del waiting[name]
    return found


@collector(
    "listening",
    interval_seconds=60,
    platforms={"linux"},
    privileges="root: which program of another user holds a port is shown to root only",
    description="Listening TCP and UDP ports with program and user, those for this machine alone told apart; UDP ports "
    "that the kernel hands out only when held for an hour",
)
def collect(ctx: Context) -> Output:
    sockets = read_sockets(ctx.proc)
    if sockets is None:
        raise NothingToReport(reasons.NOTHING_READABLE(path="/proc/net"))
    seen: dict[str, float] = dict(ctx.state.get("seen") or {})
    waiting: dict[str, float] = dict(ctx.state.get("waiting") or {})
    shown = settled(ctx, sockets, seen, waiting)
    rows = {row["name"]: row for row in rows_of(shown, _known.owners_of(ctx, shown))}
    # Noted in steps of minutes: what stays as it is changes the memory seldom.
    seen.update({name: ctx.now() for name in rows if ctx.now() - seen.get(name, 0.0) >= GONE_SECONDS / 2})
    for name, row in (ctx.state.get("rows") or {}).items():
        if 0 <= ctx.now() - seen.get(name, 0.0) < GONE_SECONDS:
            rows.setdefault(name, row)
    ordered = sorted(
        rows.values(), key=lambda row: (row["scope"] == "loopback", row["protocol"], row["port"])
    )
    ctx.state["rows"] = {row["name"]: row for row in ordered[:MAX_PORTS]}
    ctx.state["seen"] = {name: when for name, when in seen.items() if name in rows}
    ctx.state["waiting"] = dict(list(waiting.items())[:_REMEMBERED])
    body = {"state": "ok", "reason": "", "count": len(rows), "ports": ordered[:MAX_PORTS]}
    return Output(documents=[StatusDocument(kind="listening", observed_at=ctx.now(), body=body)])
