"""Tries each link again and again, and tells what became of it."""

from __future__ import annotations

import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from agent import reasons
from agent.collectors.common.files import read_text
from agent.collectors.common.neighbours import REACHABLE, read_neighbours
from agent.collectors.common.probes import ProbeNotPermittedError, ping
from agent.collectors.common.routes import parse_ipv6_route, parse_route
from agent.collectors.registry import Metric, Output, StatusDocument
from agent.probe.links.judging import LinkState, Round, State
from agent.probe.links.settings import GATEWAY

if TYPE_CHECKING:
    from pathlib import Path

    from agent.probe.contract import PartContext
    from agent.probe.links.settings import LinksSettings, Role, Target

SOURCE: Final = "links"
KIND: Final = "link"
#: Why a link is in a state.
REASONS: Final[dict[State, str]] = {"down": reasons.LINK_NO_ANSWER(), "degraded": reasons.LINK_DEGRADED()}
_AT_ONCE: Final = 8
#: Between the questions of one round: so that a burst of loss does not take all of them.
_PAUSE_SECONDS: Final = 0.2


class Link(Struct, frozen=True):
    """What is tried in a round. ``address`` is empty where there is no gateway. ``line``: what the document says of the
    leased line, whose use another part measures."""

    name: str
    role: Role
    address: str
    port: int = 0
    interface: str = ""
    line: dict[str, Any] | None = None


def run(context: PartContext[LinksSettings]) -> None:
    """Until told to stop."""
    watch = Watch(context)
    while not context.stopping.is_set():
        began = time.monotonic()
        watch.round()
        every = context.settings.links.interval_seconds
        # Probes of a whole province do not ask in step.
        pause = every * random.uniform(0.9, 1.1) - (time.monotonic() - began)  # noqa: S311 - no secret
        context.stopping.wait(max(1.0, pause))


class Watch:
    def __init__(self, context: PartContext[LinksSettings]) -> None:
        self._context = context
        self._settings = context.settings.links
        kept = context.memory(SOURCE).get("links")
        memories: dict[str, Any] = kept if isinstance(kept, dict) else {}
        self._memories = {name: each for name, each in memories.items() if isinstance(each, dict)}
        self._states: dict[str, LinkState] = {}

    def round(self) -> None:
        """Try each link once, and tell."""
        links = self._links()
        with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="link") as pool:
            found = list(pool.map(self._try, links))
        if self._context.stopping.is_set():
            return
        now = self._context.now()
        documents, metrics = [], []
        for link, seen in zip(links, found, strict=True):
            state = self._states.get(link.name)
            if state is None:
                state = self._states[link.name] = LinkState(self._settings, self._memories.get(link.name))
            state.take(seen, now, REASONS)
            documents.append(StatusDocument(KIND, now, _body(link, state), link.name))
            metrics += _metrics(link, seen, now)
        for name in self._states.keys() - {link.name for link in links}:
            del self._states[name]
        memory = {"links": {name: state.memory() for name, state in self._states.items()}}
        self._context.tell(SOURCE, Output(documents=documents, metrics=metrics), memory=memory)

    def _links(self) -> list[Link]:
        links = []
        if self._settings.gateway:
            address, interface = find_gateway(self._context.proc)
            links.append(Link(GATEWAY, "lan", address, 0, interface))
        targets = self._settings.target
        return links + [
            Link(each.name, self._settings.role_of(each), each.address, each.port, line=line_of(each))
            for each in targets
        ]

    def _try(self, link: Link) -> Round:
        if not link.address:
            return Round((None,) * self._settings.echo_count)
        answers: list[float | None] = []
        for number in range(self._settings.echo_count):
            if number and self._context.stopping.wait(_PAUSE_SECONDS):
                break
            try:
                answers.append(ask(link, self._settings.timeout_seconds))
            except ProbeNotPermittedError as error:
                return Round((), str(error))
        found = Round(tuple(answers))
        if (
            link.role == "lan"
            and not link.port
            and not found.answered
            and is_neighbour(link.address, self._context.proc)
        ):
            return Round((), present=True)
        return found


def line_of(target: Target) -> dict[str, Any] | None:
    """``device`` and ``interface`` as the part ``snmp`` calls them; ``received_bits``, ``sent_bits``: what the line can
    carry, bits a second."""
    if not target.device:
        return None
    return {
        "device": target.device,
        "interface": target.interface,
        "received_bits": target.capacity_bits,
        "sent_bits": target.capacity_sent_bits or target.capacity_bits,
    }


def ask(link: Link, timeout_seconds: float) -> float | None:
    """One question: the seconds until its answer, ``None`` without one. A refused connection is an answer: the host is
    there. Raises :class:`ProbeNotPermittedError`."""
    try:
        if not link.port:
            return ping(link.address, 1, timeout_seconds, link.interface).rtt_seconds
        started = time.perf_counter()
        with suppress(ConnectionRefusedError):
            socket.create_connection((link.address, link.port), timeout_seconds).close()
        return time.perf_counter() - started
    except OSError:
        return None


def is_neighbour(address: str, proc: Path) -> bool:
    """Whether the kernel has just heard of it on the LAN: a gateway may be set to answer no echo requests."""
    try:
        return any(each.ip == address and each.state & REACHABLE for each in read_neighbours(proc))
    except OSError:
        return False


def find_gateway(proc: Path) -> tuple[str, str]:
    """``(address, interface)`` of the best default route, empty without one."""
    found = parse_route(read_text(proc / "net/route", 1 << 20) or "")
    found = found or parse_ipv6_route(read_text(proc / "net/ipv6_route", 1 << 20) or "")
    return (found[0].ip, found[0].interface) if found else ("", "")


def _body(link: Link, state: LinkState) -> dict[str, Any]:
    """Changes only with the state: how the link is in numbers, metrics say. The numbers here are those of the turn."""
    body: dict[str, Any] = {
        "name": link.name,
        "role": link.role,
        "address": link.address,
        "state": state.state,
        "since": round(state.since, 3),
    }
    if link.port:
        body["port"] = link.port
    if state.reason:
        body["reason"] = state.reason
    if link.line is not None:
        body["line"] = link.line
    body["loss_ratio"] = round(state.then.loss_ratio, 3)
    if state.then.rtt_seconds is not None:
        body["rtt_seconds"] = round(state.then.rtt_seconds, 6)
    if state.then.jitter_seconds is not None:
        body["jitter_seconds"] = round(state.then.jitter_seconds, 6)
    return body


def _metrics(link: Link, seen: Round, now: float) -> list[Metric]:
    if seen.problem or not seen.answers:
        return []
    attributes = {"link": link.name, "role": link.role}
    answered = seen.answered
    found = [Metric("link.loss_ratio", now, 1 - len(answered) / len(seen.answers), "ratio", attributes)]
    if answered:
        found.append(Metric("link.rtt_seconds", now, min(answered), "seconds", attributes))
    steps = [abs(b - a) for a, b in pairwise(answered)]
    if steps:
        found.append(Metric("link.jitter_seconds", now, sum(steps) / len(steps), "seconds", attributes))
    return found
