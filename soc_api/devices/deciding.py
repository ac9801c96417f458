"""What people decide on devices: which may be on a LAN without an agent, for how long, and what they are."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import select, update

from collector.devices.approvals import approved
from collector.devices.kinds import KINDS
from collector.devices.macs import parse_mac
from collector.errors import ConflictError, NotFoundError
from collector.registry import service as registry
from collector.state.tables import Agency, Device, DeviceApproval
from soc_api.accounts import audit
from soc_api.errors import Fault, InvalidError

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from soc_api.accounts.principal import Principal

#: The longest that an approval may last; it can be given anew.
MOST_DAYS: Final = 366
MOST_REASON: Final = 1_000


def approve(
    session: Session,
    principal: Principal,
    *,
    agency_code: str,
    mac: str,
    reason: str,
    expires_at: datetime,
    now: datetime,
) -> DeviceApproval:
    """Let a card be on an agency's LAN without an agent, also one that was not seen yet; written to the audit log.

    Raises:
        InvalidError: no MAC of one card, no reason, no or too far an end.
        NotFoundError: no such agency within the principal's scope.
        ConflictError: it is approved there already.
    """
    card, reason = parse_mac(mac), reason.strip()
    if card is None:
        raise InvalidError(Fault("mac", "not the MAC address of a network card"))
    if not reason or len(reason) > MOST_REASON:
        raise InvalidError(Fault("reason", f"say why, in at most {MOST_REASON} characters"))
    if not now < expires_at <= now + timedelta(days=MOST_DAYS):
        raise InvalidError(Fault("expires_at", f"must lie ahead, by at most {MOST_DAYS} days"))
    agency = registry.get_agency(session, principal.scope, agency_code)
    if approved(session, agency.id, [card], now):
        raise ConflictError("this device is approved already: end that approval first")
    row = DeviceApproval(
        agency_id=agency.id,
        mac=card,
        reason=reason,
        made_at=now,
        made_by=principal.username,
        expires_at=expires_at,
    )
    session.add(row)
    session.flush()
    # When the approval is over, that is told anew.
    session.execute(
        update(Device)
        .where(Device.agency_id == agency.id, Device.mac == card)
        .values(unauthorised_at=None)
        .execution_options(synchronize_session=False)
    )
    audit.record(
        session,
        now,
        principal.username,
        "device.approve",
        f"approval:{row.id}",
        address=principal.address,
        agency=agency_code,
        mac=card,
        until=expires_at.isoformat(),
        reason=reason,
    )
    return row


def withdraw(session: Session, principal: Principal, approval_id: int, now: datetime) -> DeviceApproval:
    """End an approval before its time; written to the audit log.

    Raises:
        NotFoundError: there is none within the principal's scope.
        ConflictError: it holds no more.
    """
    row = session.get(DeviceApproval, approval_id)
    if row is None or not principal.scope.reaches(row.agency_id):
        raise NotFoundError(f"there is no approval {approval_id}")
    if row.ended_at is not None or row.expires_at <= now:
        raise ConflictError("this approval holds no more")
    row.ended_at, row.ended_by = now, principal.username
    code = session.scalar(select(Agency.code).where(Agency.id == row.agency_id))
    audit.record(
        session,
        now,
        principal.username,
        "device.approval_end",
        f"approval:{row.id}",
        address=principal.address,
        agency=code,
        mac=row.mac,
    )
    return row


def set_kind(session: Session, principal: Principal, device_id: int, kind: str, now: datetime) -> Device:
    """Say what a device is (``collector.devices.kinds``), which decides whether it counts; written to the audit log.

    Raises:
        InvalidError: no such kind.
        NotFoundError: there is no such device within the principal's scope.
    """
    if kind not in KINDS:
        raise InvalidError(Fault("kind", f"none of {', '.join(each for each in KINDS if each)}"))
    device = session.get(Device, device_id)
    if device is None or not principal.scope.reaches(device.agency_id):
        raise NotFoundError(f"there is no device {device_id}")
    before, device.assigned_kind = device.assigned_kind, kind
    audit.record(
        session,
        now,
        principal.username,
        "device.kind",
        f"device:{device_id}",
        address=principal.address,
        mac=device.mac,
        kind=kind,
        before=before,
    )
    return device
