"""Names: what servers answer, whether they agree, and what a domain says about its mail (RFC 7208, 7489, 6376)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver

from agent import reasons
from agent.probe.services.connecting import Deadline
from agent.probe.services.page import clean
from agent.probe.services.result import CheckError, Result

if TYPE_CHECKING:
    from agent.probe.services.settings import Service

_PORT = 53
_MOST_ANSWERS = 50


def check_dns(service: Service) -> Result:
    """Ask each server for the name; the seconds are those of the slowest answer.

    Raises:
        CheckError: none answers, or not what is expected. Where some do and some do not, it is degraded.
    """
    deadline = Deadline(service.timeout_seconds)
    servers = service.servers or _system_servers()
    slowest, good, troubles = 0.0, 0, []
    serials = set()
    expected = sorted(_normal(each) for each in service.answers)
    for server in servers:
        try:
            started = time.monotonic()
            found = ask(server, service.domain, service.record, deadline)
            slowest = max(slowest, time.monotonic() - started)
            if service.servers:
                serials.update(ask(server, service.domain, "SOA", deadline))
        except CheckError as error:
            troubles.append(str(error))
            continue
        if (expected and found != expected) or not found:
            troubles.append(reasons.DNS_OTHER(detail=", ".join(found)[:150] or "-"))
        else:
            good += 1
    findings = ("servers_disagree",) if len(serials) > 1 else ()
    if not good:
        raise CheckError("; ".join(dict.fromkeys(troubles))[:250] or reasons.DNS_NO_ANSWER(where="-"))
    if troubles:
        return Result("degraded", slowest, "; ".join(dict.fromkeys(troubles))[:250], findings)
    return Result("up", slowest, findings=findings)


def check_mail_domain(service: Service) -> Result:
    """Ask for MX, SPF, DMARC and DKIM; what is missing or lets everything pass is a finding. Raises
    :class:`CheckError` where nothing answers."""
    started = time.monotonic()
    deadline = Deadline(service.timeout_seconds)
    server = (service.servers or _system_servers())[0]
    findings = set()
    if not ask(server, service.domain, "MX", deadline):
        findings.add("mx_missing")
    findings.update(judge_spf(ask(server, service.domain, "TXT", deadline)))
    findings.update(judge_dmarc(ask(server, f"_dmarc.{service.domain}", "TXT", deadline)))
    for selector in service.dkim_selectors:
        keys = ask(server, f"{selector}._domainkey.{service.domain}", "TXT", deadline)
        if not any("p=" in key and not key.rstrip(" ;").endswith("p=") for key in keys):
            findings.add("dkim_missing")
    return Result("up", time.monotonic() - started, findings=tuple(sorted(findings)))


def judge_spf(texts: list[str]) -> set[str]:
    """RFC 7208: one record, and an end that does not let everybody pass."""
    records = [each.lower() for each in texts if each.lower().split(" ")[0] == "v=spf1"]
    if len(records) != 1:
        return {"spf_several" if records else "spf_missing"}
    terms = records[0].split()
    if any(each in ("+all", "all", "?all") for each in terms):
        return {"spf_passes_all"}
    closed = any(each in ("-all", "~all") or each.startswith("redirect=") for each in terms)
    return set() if closed else {"spf_open_end"}


def judge_dmarc(texts: list[str]) -> set[str]:
    """RFC 7489: one record, whose policy does something."""
    records = [each for each in texts if each.replace(" ", "").lower().startswith("v=dmarc1")]
    if len(records) != 1:
        return {"dmarc_missing"}
    tags = dict(part.strip().lower().partition("=")[::2] for part in records[0].split(";"))
    return {"dmarc_none"} if tags.get("p", "none").strip() not in ("quarantine", "reject") else set()


def ask(server: str, name: str, record: str, deadline: Deadline) -> list[str]:
    """The records, sorted, as text; none where there are none or no such name. Over TCP where UDP does not hold them.

    Raises:
        CheckError: no answer within the time, or a refusal.
    """
    try:
        query = dns.message.make_query(dns.name.from_text(name), record)
        reply, _ = dns.query.udp_with_fallback(query, server, timeout=min(5.0, deadline.left), port=_PORT)
    except dns.exception.Timeout as error:
        raise CheckError(reasons.DNS_NO_ANSWER(where=server)) from error
    except (dns.exception.DNSException, OSError, ValueError) as error:
        detail = getattr(error, "strerror", None) or type(error).__name__
        raise CheckError(reasons.DNS_REFUSES(where=server, detail=detail)) from error
    if reply.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise CheckError(reasons.DNS_REFUSES(where=server, detail=dns.rcode.to_text(reply.rcode())))
    wanted = dns.rdatatype.from_text(record)
    found = [_text(each) for kept in reply.answer if kept.rdtype == wanted for each in kept]
    return sorted(found)[:_MOST_ANSWERS]


def _text(record: object) -> str:
    strings = getattr(record, "strings", None)
    if strings is not None:
        return clean(b"".join(strings).decode("utf-8", "replace"))[:1000]
    return _normal(clean(str(record)))[:1000]


def _normal(text: str) -> str:
    return text.strip().rstrip(".").lower()


def _system_servers() -> list[str]:
    """Raise :class:`CheckError` where this system has none."""
    try:
        servers = [str(each) for each in dns.resolver.Resolver().nameservers]
    except dns.exception.DNSException as error:
        raise CheckError(reasons.SERVICE_NO_NETWORK(), "unknown") from error
    return servers[:3]
