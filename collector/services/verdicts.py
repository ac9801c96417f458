"""Several probes' words about one service, as one answer. Pure: documents in, verdicts out; what agents say is hostile.

Each agency has one vote, however many probes it has: no commune's machines can outvote the others.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from agent.probe.services.sketch import difference
from collector.services.models import (
    ACCEPTED,
    CERTIFICATE,
    CHANGED,
    CONTENT,
    DOWN_FOR_ALL,
    DOWN_FOR_SOME,
    IN_ORDER,
    INVALID,
    POSTURE,
    SERVICE,
    UNACCEPTED,
    UNKNOWN,
    UP,
    VALID,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from collector.services.models import Probed

#: A page that differs by this much from all that was accepted has changed.
CHANGED_FROM: Final = 0.3
#: By this much, where it also loads from hosts that were not accepted.
CHANGED_WITH_HOSTS: Final = 0.15
#: Days before a certificate's end at which it is told.
MARKS: Final = (30, 14, 7, 3, 1, 0)
_DAY: Final = 86_400.0
#: What agents call a time may be a number of any size: one beyond the year 5000 is none.
_LAST_SECOND: Final = 1e11
_MOST: Final = 50
_LONGEST: Final = 300


def service_verdict(service_id: int, probed: Iterable[Probed]) -> Verdict:
    """``up`` where it works from every agency that could ask, ``down_for_all`` where it does not from most of them."""
    votes: dict[int, list[str]] = {}
    reasons: dict[int, str] = {}
    for each in probed:
        state = each.body.get("state")
        if each.fresh and state in ("up", "degraded", "down"):
            votes.setdefault(each.agency_id, []).append(state)
            if state != "up":
                reasons[each.agency_id] = text_of(each.body.get("reason"))
    down = sorted(agency for agency, states in votes.items() if set(states) == {"down"})
    faulty = sorted(agency for agency, states in votes.items() if "degraded" in states and agency not in down)
    if not votes:
        state = UNKNOWN
    elif not down:
        state = UP
    else:
        state = DOWN_FOR_ALL if 2 * len(down) > len(votes) else DOWN_FOR_SOME
    why = sorted({reasons[agency] for agency in (*down, *faulty) if reasons.get(agency)})[:5]
    fields = {
        "asked_count": len(votes),
        "down_count": len(down),
        "degraded_count": len(faulty),
        "reasons": why,
    }
    return Verdict(SERVICE, service_id, state, fields, {**fields, "down": down[:_MOST]})


def content_verdict(
    service_id: int, probed: Iterable[Probed], accepted: Sequence[Mapping[str, Any]]
) -> Verdict | None:
    """Of the page as probes see it, the one that differs most from everything that was accepted; while nothing was, it
    is ``unaccepted``, or ``changed`` where its words speak against it. ``None``: nobody tells of a page."""
    worst: Verdict | None = None
    for each in probed:
        page = page_of(each.body)
        if not each.fresh or page is None:
            continue
        score = score_of(page, accepted)
        hosts = {host for one in accepted for host in one["hosts"]}
        new = [host for host in page["hosts"] if host not in hosts]
        known = any(page["digest"] == one["digest"] for one in accepted)
        other = score >= CHANGED_FROM or (bool(new) and score >= CHANGED_WITH_HOSTS)
        changed = bool(page["words"]) or (bool(accepted) and other)
        state = CHANGED if changed and not known else ACCEPTED if accepted else UNACCEPTED
        fields = {
            "score_ratio": round(score, 3),
            "words": page["words"],
            "words_count": len(page["words"]),
            "new_hosts": new,
            "title": page["title"],
            "excerpt": page["excerpt"],
            "digest": page["digest"],
        }
        verdict = Verdict(
            CONTENT,
            service_id,
            state,
            fields,
            {**page, **fields, "endpoint_id": each.endpoint_id},
        )
        if worst is None or (verdict.state == CHANGED, score) > (
            worst.state == CHANGED,
            worst.fields["score_ratio"],
        ):
            worst = verdict
    return worst


def score_of(page: Mapping[str, Any], accepted: Iterable[Mapping[str, Any]]) -> float:
    """0: as one of those that were accepted; 1: nothing in common with any."""
    return min(
        (max(difference(page[part], one[part]) for part in ("text", "structure")) for one in accepted),
        default=1.0,
    )


def page_of(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """A document's page, where it is one: text of limited length, sketches that can be compared."""
    said = body.get("content")
    if not isinstance(said, dict):
        return None
    parts = ("text", "structure", "digest", "title", "excerpt")
    page: dict[str, Any] = {part: text_of(said.get(part), 1_000) for part in parts}
    try:
        difference(page["text"], page["structure"])
    except ValueError:
        return None
    for part in ("hosts", "words"):
        listed = said.get(part)
        page[part] = [text_of(each) for each in listed[:_MOST]] if isinstance(listed, list) else []
    picture = said.get("picture")
    if isinstance(picture, dict):
        page["picture"] = {name: text_of(picture.get(name)) for name in ("file", "sha256")}
    return page


def certificate_verdict(service_id: int, probed: Iterable[Probed], now: float) -> Verdict | None:
    """``valid``, ``invalid``, or the smallest of :data:`MARKS` that it has passed, as text. ``None``: nobody tells of
    one."""
    ends, problem, issuer = math.inf, "", ""
    for each in probed:
        tls = each.body.get("tls")
        if not each.fresh or not isinstance(tls, dict):
            continue
        problem = problem or text_of(tls.get("problem"))
        end = tls.get("not_after")
        if (
            not isinstance(end, bool)
            and isinstance(end, int | float)
            and 0 <= end < _LAST_SECOND
            and end < ends
        ):
            ends, issuer = float(end), text_of(tls.get("issuer"))
    if math.isinf(ends) and not problem:
        return None
    days = None if math.isinf(ends) else math.floor((ends - now) / _DAY)
    passed = [mark for mark in MARKS if days is not None and days < mark]
    state = INVALID if problem else str(min(passed)) if passed else VALID
    fields: dict[str, Any] = {"problem": problem, "issuer": issuer}
    if days is not None:
        fields |= {"days_left": days, "not_after": ends}
    return Verdict(CERTIFICATE, service_id, state, fields, fields)


def posture_verdict(service_id: int, probed: Iterable[Probed]) -> Verdict | None:
    """What should be mended, as any probe found: its state is the codes, with commas. ``None``: nobody tells."""
    heard, found = False, set()
    for each in probed:
        listed = each.body.get("findings")
        if each.fresh and each.body.get("state") in ("up", "degraded") and isinstance(listed, list):
            heard = True
            found |= {text_of(code, 64) for code in listed[:_MOST]}
    if not heard:
        return None
    findings = sorted(found)[:_MOST]
    told = {"findings": findings, "count": len(findings)}
    return Verdict(POSTURE, service_id, ",".join(findings) or IN_ORDER, told, told)


def text_of(value: object, longest: int = _LONGEST) -> str:
    """One line of limited length; anything but text is empty."""
    if not isinstance(value, str):
        return ""
    return "".join(each if each.isprintable() else " " for each in value[:longest])
