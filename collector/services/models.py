"""What is judged, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

#: Kinds of verdicts: of a service, and of an agency.
SERVICE, CONTENT, CERTIFICATE, POSTURE = "service", "content", "certificate", "posture"
LAN, WAN, LINE = "lan", "wan", "line"

#: States of ``service``. ``unknown``: nobody could ask.
UP, DOWN_FOR_SOME, DOWN_FOR_ALL, UNKNOWN = "up", "down_for_some", "down_for_all", "unknown"
#: States of ``content`` and ``certificate`` (beside a number of days); of ``posture`` (beside codes of findings).
ACCEPTED, CHANGED = "accepted", "changed"
#: Of a page that was never accepted, and that agencies do not agree on: a person has to say whether it is right.
UNACCEPTED = "unaccepted"
VALID, INVALID = "valid", "invalid"
IN_ORDER = "in_order"
#: States of ``lan`` and ``wan``. ``unreachable``: the whole agency is silent, so its line or its power is gone.
CONNECTED, DEGRADED, LOST, UNREACHABLE = "connected", "degraded", "lost", "unreachable"
#: States of ``line``: of the lines whose use is measured.
FREE, BUSY = "free", "busy"


@dataclass(frozen=True, slots=True)
class Probed:
    """One probe's document. ``fresh``: the probe is heard, and its part works."""

    endpoint_id: str
    agency_id: int
    kind: str
    item: str
    body: dict[str, Any]
    fresh: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a subject (a service or an agency) is now. ``fields`` go into the event of a change, under its category;
    ``detail`` is kept with the span. ``held``: the subject has changed too often lately, so its state is left as it
    was."""

    kind: str
    subject_id: int
    state: str
    fields: dict[str, Any] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)
    held: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom events of a verdict are about. ``agency``: ``id``, ``code``, ``name``, empty where nobody is known."""

    name: str
    title: str
    agency: dict[str, Any]
    importance: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """A subject's state is another one. ``before`` is empty at first."""

    verdict: Verdict
    subject: Subject
    before: str
    since: float


#: By kind of verdict: the category of its events.
CATEGORIES: Final = {
    SERVICE: "service",
    CONTENT: "service_content",
    CERTIFICATE: "service_certificate",
    POSTURE: "service_posture",
    LAN: "connectivity",
    WAN: "connectivity",
    LINE: "leased_line",
}
