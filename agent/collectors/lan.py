"""How the network is from here: links, gateway, name servers, the way to the collector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent import reasons
from agent.collectors.common.files import read_text, under
from agent.collectors.common.interfaces import Interface, read_interfaces
from agent.collectors.common.neighbours import FAILED, INCOMPLETE, REACHABLE, Neighbour, read_neighbours
from agent.collectors.common.probes import (
    Ping,
    ProbeNotPermittedError,
    ask_dns,
    ping,
    time_to_connect,
)
from agent.collectors.common.routes import Gateway, parse_ipv6_route, parse_resolv_conf, parse_route
from agent.collectors.registry import Context, Metric, Output, StatusDocument, collector

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

PINGS = 3
PING_SECONDS = 0.7
DNS_SECONDS = 2.0
CONNECT_SECONDS = 5.0
#: An answer that the agent itself had so lately shows that the collector is reachable.
ANSWERED_SECONDS = 90.0
#: As seldom as metrics are sent (``[agent] metrics_seconds``).
CONNECT_EVERY_SECONDS = 590.0
#: So many runs in a row have to fail before something that was reachable is called unreachable.
FAILURES = 2


def find_gateway(ctx: Context) -> Gateway | None:
    """The IPv4 default route's next hop; IPv6's where there is no other."""
    v4 = parse_route(read_text(ctx.proc / "net/route", 1 << 20) or "")
    if v4:
        return v4[0]
    v6 = parse_ipv6_route(read_text(ctx.proc / "net/ipv6_route", 1 << 20) or "")
    return v6[0] if v6 else None


def judge_gateway(
    pinged: Ping | None, neighbour: Neighbour | None, answers_pings: bool
) -> tuple[bool | None, str]:
    """``(reachable, reason where that is not known)``.

    A gateway that answers echo requests is reachable. One that does not may be set not to: then the kernel's
    own neighbour discovery tells, as far as it has an opinion.
    """
    if pinged is not None and pinged.received:
        return True, ""
    if neighbour is not None and neighbour.state & REACHABLE:
        return True, ""
    if neighbour is None or neighbour.state & (FAILED | INCOMPLETE):
        return False, ""
    if answers_pings:
        return False, ""
    return None, reasons.NO_ECHO()


def settle(name: str, reachable: bool | None, state: MutableMapping[str, Any]) -> bool | None:
    """Smooths one lost answer away: down is said after ``FAILURES`` runs in a row, up at once."""
    failures = dict(state.get("failures") or {})
    told = dict(state.get("told") or {})
    failures[name] = int(failures.get(name, 0)) + 1 if reachable is False else 0
    if reachable is not False or failures[name] >= FAILURES or name not in told:
        told[name] = reachable
    if state.get("failures") != failures or state.get("told") != told:
        state.update(failures=failures, told=told)
    answer: bool | None = told[name]
    return answer


def gateway_facts(
    gateway: Gateway | None,
    echo: Callable[[Gateway], Ping],
    find: Callable[[Gateway], Neighbour | None],
    state: MutableMapping[str, Any],
    now: float,
) -> tuple[dict[str, Any], list[Metric]]:
    """The document's ``gateway``, and what was measured. ``echo`` asks it, raising what :func:`ping` does; ``find``
    then looks it up among the neighbours."""
    if gateway is None:
        nothing = {"ip": "", "mac": "", "interface": "", "reachable": None}
        return {**nothing, "reason": reasons.NO_ROUTE()}, []
    metrics, pinged, why = [], None, ""
    attributes = {"gateway": gateway.ip}
    try:
        pinged = echo(gateway)
    except ProbeNotPermittedError as error:
        why = str(error)
    except OSError:
        pinged = Ping(sent=PINGS, received=0, rtt_seconds=None)
    neighbour = find(gateway)
    answers = state.get("answers_pings") == gateway.ip
    if pinged is not None and pinged.received and not answers:
        state["answers_pings"] = gateway.ip
    reachable, reason = judge_gateway(pinged, neighbour, answers)
    if pinged is not None and (pinged.received or answers):
        lost = (pinged.sent - pinged.received) / pinged.sent
        metrics.append(
            Metric("lan.gateway_loss_ratio", now, round(lost, 4), unit="ratio", attributes=attributes)
        )
    if pinged is not None and pinged.rtt_seconds is not None:
        rtt = round(pinged.rtt_seconds, 6)
        metrics.append(Metric("lan.gateway_rtt_seconds", now, rtt, unit="seconds", attributes=attributes))
    reachable = settle("gateway", reachable, state)
    facts = {
        "ip": gateway.ip,
        "mac": _last_mac(gateway, neighbour, state),
        "interface": gateway.interface,
        "reachable": reachable,
        "reason": "" if reachable is not None else why or reason,
    }
    return facts, metrics


def _last_mac(gateway: Gateway, neighbour: Neighbour | None, state: MutableMapping[str, Any]) -> str:
    """The gateway's MAC; while it does not answer, the one it had: a change must not hide behind an outage."""
    now = [gateway.ip, neighbour.mac] if neighbour is not None and neighbour.mac else None
    known = state.get("gateway_mac")
    if now is not None and known != now:
        state["gateway_mac"] = known = now
    return str(known[1]) if isinstance(known, list) and known[0] == gateway.ip else ""


def name_server_facts(
    servers: list[str], state: MutableMapping[str, Any], now: float
) -> tuple[dict[str, Any], list[Metric]]:
    """The document's ``dns``, and how long the first that answered took."""
    if not servers:
        return {"servers": [], "reachable": None, "reason": reasons.NO_NAME_SERVER()}, []
    metrics: list[Metric] = []
    for server in servers:  # as the resolver does: the first that answers
        took = ask_dns(server, DNS_SECONDS)
        if took is not None:
            attributes = {"server": server}
            metrics.append(
                Metric("lan.dns_answer_seconds", now, round(took, 6), unit="seconds", attributes=attributes)
            )
            break
    return {"servers": servers, "reachable": settle("dns", bool(metrics), state), "reason": ""}, metrics


def collector_facts(ctx: Context, now: float) -> tuple[dict[str, Any], list[Metric]]:
    """The document's ``collector``, and how long a connection took. While the collector answers the agent itself, a
    connection of its own is made for the measure alone, once for each report of it."""
    if not ctx.collector_host:
        return {"reachable": None, "reason": reasons.NOT_ENROLLED()}, []
    since = now - float(ctx.state.get("connected_at") or 0.0)
    if 0 <= now - ctx.answered_at < ANSWERED_SECONDS and 0 <= since < CONNECT_EVERY_SECONDS:
        return {"reachable": settle("collector", True, ctx.state), "reason": ""}, []
    took = time_to_connect(ctx.collector_host, ctx.collector_port, CONNECT_SECONDS)
    facts = {"reachable": settle("collector", took is not None, ctx.state), "reason": ""}
    if took is None:
        return facts, []
    ctx.state["connected_at"] = now
    return facts, [Metric("lan.collector_connect_seconds", now, round(took, 6), unit="seconds")]


def _interface(interface: Interface) -> dict[str, Any]:
    return {
        "name": interface.name,
        "mac": interface.mac,
        "up": interface.up,
        "speed_mbps": interface.speed_mbps,
        "addresses": interface.addresses,
    }


@collector(
    "lan",
    interval_seconds=60,
    platforms={"linux"},
    privileges="root: echo requests to the gateway need CAP_NET_RAW, or a group in net.ipv4.ping_group_range",
    description="Links and addresses, gateway and its MAC, latency and loss to it, name servers and their answer "
    "time, time to connect to the collector",
)
def collect(ctx: Context) -> Output:
    now = ctx.now()
    gateway, metrics = gateway_facts(
        find_gateway(ctx),
        lambda way: ping(way.ip, PINGS, PING_SECONDS, way.interface),
        lambda way: next((n for n in read_neighbours(ctx.proc) if n.ip == way.ip), None),
        ctx.state,
        now,
    )
    servers = parse_resolv_conf(read_text(under(ctx.root, "/etc/resolv.conf")) or "")
    dns, dns_metrics = name_server_facts(servers, ctx.state, now)
    way, way_metrics = collector_facts(ctx, now)
    body = {
        "interfaces": [_interface(i) for i in read_interfaces(ctx.sys)],
        "gateway": gateway,
        "dns": dns,
        "collector": way,
    }
    document = StatusDocument(kind="lan", observed_at=now, body=body)
    return Output(documents=[document], metrics=[*metrics, *dns_metrics, *way_metrics])
