"""Whether this machine's own packet filter is on, and what it does with packets nobody made a rule for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent import reasons
from agent.collectors.common.command import ProgramTooSlowError, failed, find_program, run_program
from agent.collectors.common.files import read_text
from agent.collectors.common.firewall import (
    Firewall,
    UnreadableRulesError,
    parse_iptables_save,
    parse_nft,
    stricter,
)
from agent.collectors.registry import Context, Output, StatusDocument, collector

if TYPE_CHECKING:
    from pathlib import Path

LEGACY_TABLES = ("net/ip_tables_names", "net/ip6_tables_names")
SECONDS = 15.0


class _UnknownError(Exception):
    """The state cannot be known; ``str()`` is the reason shown."""


def judge(firewall: Firewall, backend: str) -> dict[str, Any]:
    """The ``firewall`` document. On is what turns something away; a chain that lets everything in is off."""
    on = firewall.input_policy in ("drop", "reject") or firewall.refuses
    if firewall.input_policy == "none":
        reason = reasons.NO_RULE_SET()
    elif not on:
        reason = reasons.LETS_EVERYTHING_IN()
    else:
        reason = "" if firewall.input_policy != "accept" else reasons.REFUSES_SOME()
    return {
        "state": "on" if on else "off",
        "reason": reason,
        "backend": backend if firewall.input_policy != "none" else "none",
        "input_policy": firewall.input_policy,
        "rule_count": firewall.rule_count,
    }


def _run(arguments: list[str]) -> bytes:
    try:
        done = run_program(arguments, SECONDS)
    except ProgramTooSlowError as error:
        raise _UnknownError(str(error)) from error
    except OSError as error:
        raise _UnknownError(reasons.at(arguments[0], error)) from error
    if done.status != 0:
        denied = "permitted" in done.errors or "ermission denied" in done.errors
        if denied:
            raise _UnknownError(reasons.RULES_NEED_ROOT(program=arguments[0]))
        raise _UnknownError(failed(arguments[0], done))
    return done.output


def read_nftables() -> Firewall | None:
    """``None`` where nft is not installed."""
    program = find_program("nft")
    if program is None:
        return None
    try:
        return parse_nft(_run([program, "-j", "list", "ruleset"]))
    except UnreadableRulesError as error:
        raise _UnknownError(str(error)) from error


def read_iptables(*names: str) -> Firewall | None:
    """The first of the ``iptables-save`` programs ``names`` that is installed; ``None`` where none is."""
    program = next((found for name in names if (found := find_program(name))), None)
    return None if program is None else parse_iptables_save(_run([program]).decode("utf-8", "replace"))


def _has_legacy_filter(proc: Path) -> bool:
    """Whether the old kernel interface holds a filter table, which nft does not show."""
    return any("filter" in (read_text(proc / name, 4096) or "").split() for name in LEGACY_TABLES)


def read_firewall(proc: Path) -> dict[str, Any]:
    """The body of the document, from whatever program is here."""
    nft = read_nftables()
    firewall, backend = nft, "nftables"
    if nft is None:
        firewall, backend = read_iptables("iptables-nft-save", "iptables-save"), "iptables"
    if _has_legacy_filter(proc):
        legacy = read_iptables("iptables-legacy-save", "iptables-save")
        if legacy is None:
            raise _UnknownError(reasons.NO_IPTABLES_SAVE())
        if firewall is None or firewall.input_policy == "none":
            firewall, backend = legacy, "iptables"
        else:
            firewall = stricter(firewall, legacy)
    if firewall is None:
        raise _UnknownError(reasons.NO_FIREWALL_PROGRAM())
    return judge(firewall, backend)


def firewall_body(proc: Path) -> dict[str, Any]:
    """The body of the document; ``state`` is ``unknown``, with the reason, where the rules cannot be read."""
    try:
        return read_firewall(proc)
    except _UnknownError as error:
        return {
            "state": "unknown",
            "reason": str(error),
            "backend": "none",
            "input_policy": "unknown",
            "rule_count": 0,
        }


@collector(
    "firewall_local",
    interval_seconds=300,
    platforms={"linux"},
    privileges="root: the kernel shows its rule set only with CAP_NET_ADMIN",
    description="The machine's own packet filter (nftables, iptables): on or off, what happens to unexpected packets",
)
def collect(ctx: Context) -> Output:
    return Output(
        documents=[StatusDocument(kind="firewall", observed_at=ctx.now(), body=firewall_body(ctx.proc))]
    )
