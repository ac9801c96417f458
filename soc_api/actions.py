"""What a signed-in person does to alerts, endpoints, tokens and agencies: the collector's service and the
audit entry in one transaction. API and pages both come through here, so that no change goes unwritten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.alerts import service as alerts
from collector.enrolment import service as enrolment
from collector.registry import service as registry
from soc_api.accounts import audit
from soc_api.endpoints import service as endpoints

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.registry.models import AgencyRow, ImportResult
    from collector.state.tables import Agency, Alert
    from soc_api.accounts.principal import Principal


def acknowledge_alert(session: Session, principal: Principal, alert_id: int, now: datetime) -> Alert:
    """See :func:`collector.alerts.service.acknowledge`."""
    alert = alerts.acknowledge(session, principal.scope, alert_id, principal.username, now)
    _record(session, principal, "alert.acknowledge", f"alert:{alert_id}", now, subject=alert.subject)
    return alert


def close_alert(
    session: Session, principal: Principal, alert_id: int, reason: str, note: str, now: datetime
) -> Alert:
    """See :func:`collector.alerts.service.close`."""
    alert = alerts.close(session, principal.scope, alert_id, principal.username, reason, note, now)
    _record(session, principal, "alert.close", f"alert:{alert_id}", now, subject=alert.subject, reason=reason)
    return alert


def import_agencies(
    session: Session, principal: Principal, rows: Sequence[AgencyRow], now: datetime
) -> ImportResult:
    """See :func:`collector.registry.service.import_agencies`."""
    result = registry.import_agencies(session, rows, now)
    _record(
        session,
        principal,
        "agency.import",
        "",
        now,
        created=result.created,
        changed=result.changed,
        rows=len(rows),
    )
    return result


def revoke_endpoint(
    session: Session, principal: Principal, endpoint_id: str, reason: str, now: datetime
) -> None:
    """See :func:`collector.enrolment.service.revoke_endpoint`; only within the principal's scope."""
    hostname = endpoints.get_endpoint(session, principal.scope, endpoint_id).endpoint.hostname
    enrolment.revoke_endpoint(session, endpoint_id, reason, now)
    target = f"endpoint:{endpoint_id}"
    _record(session, principal, "endpoint.revoke", target, now, reason=reason, hostname=hostname)


def retire_endpoint(
    session: Session, principal: Principal, endpoint_id: str, reason: str, now: datetime
) -> None:
    """See :func:`collector.enrolment.service.retire`; only within the principal's scope."""
    hostname = endpoints.get_endpoint(session, principal.scope, endpoint_id).endpoint.hostname
    enrolment.retire(session, endpoint_id, reason, now)
    target = f"endpoint:{endpoint_id}"
    _record(session, principal, "endpoint.retire", target, now, reason=reason, hostname=hostname)


def reassign_endpoint(
    session: Session, principal: Principal, endpoint_id: str, agency: Agency, now: datetime
) -> None:
    """See :func:`collector.registry.service.assign_endpoint`; the endpoint must be within the principal's
    scope."""
    before = endpoints.get_endpoint(session, principal.scope, endpoint_id).agency
    registry.assign_endpoint(session, endpoint_id, agency.id, now)
    _record(
        session,
        principal,
        "endpoint.reassign",
        f"endpoint:{endpoint_id}",
        now,
        before=before.code if before else None,
        after=agency.code,
    )


def _record(
    session: Session, principal: Principal, action: str, target: str, now: datetime, **detail: object
) -> None:
    audit.record(session, now, principal.username, action, target, address=principal.address, **detail)
