"""Documents into events: a change of what is true is something that happened.

One event a change, category = the document's kind, fields = the document under its kind, with
``event.action`` (``first``, ``changed``, ``removed``; the clock adds ``day_passed``), ``changed`` (paths,
with the kind before them; empty at first) and ``previous.<path>`` for what a changed field was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.coverage.protection import ANTIVIRUS, protection_of
from collector.detect.ages import AGING, age_of, with_age
from collector.detect.assessment import ASSESSMENT, changes, difference_of, tally
from collector.detect.evidence import take_evidence
from collector.detect.handover import Look
from collector.detect.step import observed
from collector.detect.tables import TABLES, differences, row_changes, without_tables
from collector.detect.values import moment
from collector.devices.cards import cards_of
from collector.devices.sightings import (
    gateway_of,
    neighbours_difference,
    neighbours_of,
    own_macs_of,
    place_of,
)
from collector.documents.diff import difference, packages_difference
from collector.documents.service import AGES, HEALTH, PROTECTION, Stored, digest_of
from collector.network.placing import touches
from collector.network.reading import ADDRESSES, ARP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.messages import CollectorHealth, StatusDocument
    from collector.detect.context import EndpointContext
    from collector.detect.step import Origin, WorkStep

# Which field names the item, for documents that come several of a kind.
_ITEM_FIELDS = {
    "antivirus": "product",
    "storage": "mount",
    "disk_encryption": "volume",
    "link": "name",
    "service_check": "service",
}
#: Who is on the LAN is told device by device, not as a change of a table; backups are judged with the register.
_NO_EVENT = frozenset({"backup", "neighbours", ARP})


class TooManyDocumentsError(ValueError):
    """An endpoint has more documents than any real one."""


def take_document(step: WorkStep, context: EndpointContext, origin: Origin, document: StatusDocument) -> None:
    """Store a document, make the events of its change, and note what it says of devices.

    Raises:
        TooManyDocumentsError: it would be one document too many; nothing was done.
    """
    kind, item = document.kind, document.item
    before = step.documents.get(context.id, kind, item)
    if document.body is None:
        if before is not None:
            step.documents.remove(context.id, kind, item, moment(origin.received_at))
            _tell(step, context, origin, kind, item, before.body, None, document.observed_at)
    else:
        digest = digest_of(document.body)
        if before is None and not step.documents.has_room(context.id, kind):
            raise TooManyDocumentsError(f"too many documents: no room for one more of kind {kind}")
        changed = before is None or before.digest != digest
        received = moment(origin.received_at)
        old = None if before is None else before.body
        stored = Stored(
            kind,
            item,
            document.body,
            digest,
            observed(document.observed_at, origin.received_at),
            received,
            received if before is None or changed else before.changed_at,
        )
        history = None if old is None else _for_history(kind, old, document.body)
        step.documents.put(context.id, stored, history=history)
        if kind == "host":
            _take_host(step, context, document.body)
            if changed:
                take_evidence(step, context, origin, old, document.body)
        if kind == "agent" and changed:
            _take_agent(step, context, document.body)
        if kind in ("host", "lan") and changed:
            _tell_macs(step, context, origin)
        if changed:
            _tell(step, context, origin, kind, item, old, document.body, document.observed_at)
            _look_around(step, context, origin, kind, document.body, first_look=before is None)
            if kind == ADDRESSES:
                step.touch(context.id, touches(old, document.body))
    if kind == ANTIVIRUS:
        sum_up_protection(step, context, origin)


def take_health(step: WorkStep, context: EndpointContext, origin: Origin, health: CollectorHealth) -> None:
    """How one of the agent's collectors fares: an event where that is new."""
    body = {"name": health.name, "ok": health.ok, "reason": health.reason}
    digest = digest_of(body)
    before = step.documents.get(context.id, HEALTH, health.name)
    if before is not None and before.digest == digest:
        return
    if before is None and not step.documents.has_room(context.id, HEALTH):
        raise TooManyDocumentsError("too many documents: no room for one more collector")
    received = moment(origin.received_at)
    step.documents.put(context.id, Stored(HEALTH, health.name, body, digest, received, received, received))
    fields: dict[str, Any] = {"health": {**body, "duration_seconds": health.duration_seconds}}
    if before is not None:
        change = difference(before.body, body)
        fields["changed"] = [f"health.{path}" for path in change.paths]
        fields["previous"] = {"health": change.previous}
    step.derive(context, origin, HEALTH, fields, action="first" if before is None else "changed")
    if health.name.startswith(ANTIVIRUS):
        sum_up_protection(step, context, origin)


def sum_up_protection(
    step: WorkStep, context: EndpointContext, origin: Origin, *, identity: str = ""
) -> None:
    """Make a ``protection`` event where the summary of the endpoint's antivirus documents changed."""
    summary = protection_of(
        step.documents.items(context.id, ANTIVIRUS),
        step.documents.items(context.id, HEALTH),
        origin.received_at,
        step.settings.coverage,
    )
    body = {
        "state": summary.state,
        "reason": summary.reason.code,
        "product": summary.product,
        "signature_time": summary.signature_time,
        "signature_age_days": summary.age_days,
        "late": summary.late,
        "real_time": summary.real_time,
    }
    before = step.documents.get(context.id, PROTECTION)
    digest = digest_of(body)
    if before is not None and before.digest == digest:
        return
    received = moment(origin.received_at)
    step.documents.put(context.id, Stored(PROTECTION, "", body, digest, received, received, received))
    fields: dict[str, Any] = {PROTECTION: body, "changed": []}
    if before is not None:
        change = difference(before.body, body)
        fields["changed"] = [f"{PROTECTION}.{path}" for path in change.paths]
        fields["previous"] = {PROTECTION: change.previous}
    step.derive(
        context,
        origin,
        PROTECTION,
        fields,
        action="first" if before is None else "changed",
        identity=identity,
    )


def note_age(
    step: WorkStep, context: EndpointContext, kind: str, item: str, days: int | None, when: float
) -> None:
    """Keep the age that was last told, so that the clock tells only what is new."""
    before = step.documents.get(context.id, AGES)
    ages = dict(before.body) if before is not None else {}
    key = f"{kind}/{item}"
    if ages.get(key) == days:
        return
    if days is None:
        ages.pop(key, None)
    else:
        ages[key] = days
    received = moment(when)
    step.documents.put(context.id, Stored(AGES, "", ages, digest_of(ages), received, received, received))


def document_fields(
    kind: str, item: str, body: Mapping[str, Any], now: float, step: WorkStep
) -> dict[str, Any]:
    """The document as its events carry it: under its kind, with its item's name and its age."""
    shown = with_age(body, age_of(kind, body, now, step.settings.coverage))
    if item and kind in _ITEM_FIELDS:
        shown[_ITEM_FIELDS[kind]] = item if not shown.get(_ITEM_FIELDS[kind]) else shown[_ITEM_FIELDS[kind]]
    fields: dict[str, Any] = {kind: shown}
    if item:
        fields["document"] = {"item": item}
    return fields


def _tell(
    step: WorkStep,
    context: EndpointContext,
    origin: Origin,
    kind: str,
    item: str,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
    time: float,
) -> None:
    if kind in AGING:
        age = None if new is None else age_of(kind, new, origin.received_at, step.settings.coverage)
        note_age(step, context, kind, item, None if age is None else age.days, origin.received_at)
    if kind in _NO_EVENT:
        return
    if kind == ASSESSMENT and new is not None:
        _tell_checks(step, context, origin, item, old, new, time)
        return
    action = "removed" if new is None else "first" if old is None else "changed"
    if kind == "software":
        counts = {"count": new.get("count")} if new is not None else {}
        told = {} if old is None or new is None else packages_difference(old, new)
        step.derive(
            context, origin, kind, {kind: {**counts, **told}, "changed": []}, time=time, action=action
        )
        return
    if kind in TABLES:
        _tell_rows(step, context, origin, kind, old, new, time)
        return
    shown = {_ITEM_FIELDS[kind]: item} if new is None and kind in _ITEM_FIELDS else (new or {})
    fields = document_fields(kind, item, shown, origin.received_at, step)
    change = difference(old, new or {}) if old is not None else None
    fields["changed"] = [] if change is None else [f"{kind}.{path}" for path in change.paths]
    if change is not None:
        fields["previous"] = {kind: change.previous}
    step.derive(context, origin, kind, fields, time=time, action=action)


def _for_history(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the history keeps of a large document that changed; None: all of it."""
    if kind == "software":
        return packages_difference(old, new)
    if kind in TABLES:
        return differences(kind, old, new)
    if kind in ("neighbours", ARP):
        return neighbours_difference(old, new)
    return difference_of(old, new) if kind == ASSESSMENT else None


def _tell_checks(
    step: WorkStep,
    context: EndpointContext,
    origin: Origin,
    item: str,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any],
    time: float,
) -> None:
    """One event a check that counts as something else; at first one, with how many there are of each."""
    named = {"document": {"item": item}}
    if old is None:
        fields = {ASSESSMENT: {"set": str(new.get("set", ""))[:64], **tally(new)}, "changed": [], **named}
        step.derive(context, origin, ASSESSMENT, fields, time=time, action="first")
        return
    for change in changes(old, new):
        fields = {
            ASSESSMENT: change.fields,
            "changed": [f"{ASSESSMENT}.result"],
            "previous": {ASSESSMENT: {"result": change.before}},
            **named,
        }
        step.derive(context, origin, ASSESSMENT, fields, time=time, action=change.action)


def _tell_rows(
    step: WorkStep,
    context: EndpointContext,
    origin: Origin,
    kind: str,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
    time: float,
) -> None:
    """The event of the whole without its tables, and one of each row that changed: none of them at first, when every
    row would be new, and none when the document is gone, which says nothing of what it told."""
    whole, before = without_tables(kind, new or {}), None if old is None else without_tables(kind, old)
    rows, untold = row_changes(kind, old, new) if old is not None and new is not None else ([], 0)
    change = None if before is None else difference(before, whole)
    if untold:
        whole["untold_count"] = untold
    if change is None or change.paths or untold or new is None:
        fields: dict[str, Any] = {kind: whole, "changed": []}
        if change is not None:
            fields["changed"] = [f"{kind}.{path}" for path in change.paths]
            fields["previous"] = {kind: change.previous}
        action = "removed" if new is None else "first" if old is None else "changed"
        step.derive(context, origin, kind, fields, time=time, action=action)
    for row in rows:
        step.derive(context, origin, kind, row.fields, time=time, action=row.action)


def _take_host(step: WorkStep, context: EndpointContext, body: Mapping[str, Any]) -> None:
    values: dict[str, Any] = {}
    name = body.get("name")
    if isinstance(name, str) and name.strip() and name.isprintable() and name[:255] != context.hostname:
        values["hostname"] = name[:255]
    role = body.get("role")
    if role in ("workstation", "server", "unknown") and role != context.role:
        values["role"] = role
    system = body.get("os")
    if isinstance(system, dict):
        parts = [part for key in ("name", "version") if isinstance(part := system.get(key), str)]
        spoken = " ".join(parts).strip()[:255]
        if spoken and spoken.isprintable() and spoken != context.os_name:
            values["os_name"] = spoken
    if values:
        step.change_endpoint(context, **values)


def _take_agent(step: WorkStep, context: EndpointContext, body: Mapping[str, Any]) -> None:
    version = body.get("version")
    if isinstance(version, str) and version and version.isprintable():
        step.change_endpoint(context, agent_version=version[:64])


def _tell_macs(step: WorkStep, context: EndpointContext, origin: Origin) -> None:
    host, lan = step.documents.get(context.id, "host"), step.documents.get(context.id, "lan")
    macs = own_macs_of(None if host is None else host.body, None if lan is None else lan.body)
    _hand_over(step, context, origin, own_macs=sorted(macs))


def _look_around(
    step: WorkStep,
    context: EndpointContext,
    origin: Origin,
    kind: str,
    body: Mapping[str, Any],
    *,
    first_look: bool,
) -> None:
    """Devices are of an agency, which many endpoints see: who sees all of them is to judge."""
    if context.agency_id is None:
        return
    if kind in ("neighbours", ARP):
        seen = [(each.mac, each.ip) for each in neighbours_of(body)]
        _hand_over(step, context, origin, seen=seen, first_look=first_look, cards=cards_of(body))
    elif kind == "switch_port" and (place := place_of(body)) is not None:
        _hand_over(step, context, origin, own_place=place)
    elif kind == "lan" and (gateway := gateway_of(body)) is not None:
        _hand_over(step, context, origin, gateway=(gateway.mac, gateway.ip), first_look=first_look)


def _hand_over(step: WorkStep, context: EndpointContext, origin: Origin, **said: Any) -> None:
    look = Look(
        context.id,
        context.agency_id,
        context.simulated,
        origin.received_at,
        context.fields(),
        origin.next_look(),
        **said,
    )
    step.hand_over(context.id, origin.log_offset, look)
