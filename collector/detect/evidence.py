"""What ``host`` documents say of the machine that speaks: kept for comparing records, and told where it is suddenly
another machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from collector.detect.values import moment
from collector.documents.service import Stored, digest_of
from collector.identity.evidence import evidence_of, fingerprint, is_other_machine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.detect.context import EndpointContext
    from collector.detect.step import Origin, WorkStep
    from collector.identity.evidence import Evidence

#: The document in which the collector keeps the machines that one endpoint said it is.
IDENTITY: Final = "identity"
_MACHINES: Final = 8


def take_evidence(
    step: WorkStep,
    context: EndpointContext,
    origin: Origin,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any],
) -> None:
    """Keep the evidence of a ``host`` document where it is new. Other hardware is an event: ``hardware_changed``, or
    ``two_places`` where the endpoint said before that it is that machine, and was another one since: two take turns."""
    before, now = evidence_of(old or {}), evidence_of(new)
    if now == before:
        return
    if now:
        step.evidence[context.id] = now
    if old is None or not is_other_machine(before, now):
        return
    known = step.documents.get(context.id, IDENTITY)
    machines = list(known.body["machines"]) if known is not None else [fingerprint(before)]
    told = fingerprint(now)
    again = told in machines
    body = {"machines": [*(each for each in machines if each != told), told][-_MACHINES:]}
    received = moment(origin.received_at)
    step.documents.put(context.id, Stored(IDENTITY, "", body, digest_of(body), received, received, received))
    fields = {
        IDENTITY: {"places": len(body["machines"]), "found_by": "evidence", **_told(now)},
        "previous": {IDENTITY: _told(before)},
    }
    step.derive(context, origin, IDENTITY, fields, action="two_places" if again else "hardware_changed")


def _told(evidence: Evidence) -> dict[str, str]:
    return {kind: ", ".join(sorted(values)) for kind, values in evidence.items() if kind != "mac"}
