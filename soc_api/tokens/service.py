"""Making, listing and revoking one-time enrolment tokens, with their audit entries."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import and_, or_, select

from agent.messages import TokenParts
from collector.enrolment.errors import AuthorityError
from collector.enrolment.service import create_token
from collector.errors import ConflictError, NotFoundError
from collector.state.tables import EnrolmentToken
from soc_api.accounts import audit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy.orm import Session

    from collector.state.scope import Scope
    from collector.state.tables import Agency


def authority_digest(folder: Path) -> str:
    """SHA-256 (hex) of the DER of ``ca.crt`` in ``folder``; the authority's key is not touched.

    Raises:
        AuthorityError: it is not there, or not a certificate.
    """
    path = folder / "ca.crt"
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise AuthorityError(f"{path}: {error.strerror}: start with `vonggac serve`") from error
    except ValueError as error:
        raise AuthorityError(f"{path}: not a certificate: restore it from a backup") from error
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def create_tokens(
    session: Session,
    agency: Agency,
    *,
    count: int,
    lifetime: timedelta,
    simulated: bool,
    actor: str,
    address: str = "",
    now: datetime,
    ca_sha256: str,
) -> list[str]:
    """``count`` tokens for ``agency``, as texts that are shown once. One audit entry names them all by id."""
    made = [
        create_token(
            session,
            agency_id=agency.id,
            simulated=simulated,
            created_by=actor,
            now=now,
            lifetime=lifetime,
            ca_sha256=ca_sha256,
        )
        for _ in range(count)
    ]
    ids = [TokenParts.decode(text).id for text in made]
    audit.record(
        session,
        now,
        actor,
        "token.create",
        f"agency:{agency.code}",
        address=address,
        tokens=ids,
        simulated=simulated,
        hours=lifetime / timedelta(hours=1),
    )
    return made


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page of the list (the newest first, then by id) begins."""

    created_at: datetime
    token_id: str


def list_tokens(
    session: Session,
    scope: Scope,
    *,
    now: datetime,
    usable_only: bool = False,
    after: Position | None = None,
    limit: int | None = None,
) -> Sequence[EnrolmentToken]:
    """The newest first. ``usable_only`` leaves out what was used, revoked or has expired."""
    query = select(EnrolmentToken).where(scope.where(EnrolmentToken.agency_id))
    if usable_only:
        query = query.where(EnrolmentToken.used_at.is_(None), EnrolmentToken.expires_at > now)
    if after is not None:
        same = and_(EnrolmentToken.created_at == after.created_at, EnrolmentToken.id > after.token_id)
        query = query.where(or_(EnrolmentToken.created_at < after.created_at, same))
    return session.scalars(
        query.order_by(EnrolmentToken.created_at.desc(), EnrolmentToken.id).limit(limit)
    ).all()


def revoke_token(
    session: Session, scope: Scope, token_id: str, *, actor: str, address: str = "", now: datetime
) -> EnrolmentToken:
    """The token ends now.

    Raises:
        NotFoundError: no such token within the scope.
        ConflictError: it was used; revoke the endpoint instead.
    """
    token = session.get(EnrolmentToken, token_id)
    if token is None or not scope.reaches(token.agency_id):
        raise NotFoundError(f"there is no token {token_id}: `vonggac token list` shows them")
    if token.used_at is not None:
        raise ConflictError(
            f"token {token_id} was used by endpoint {token.used_by}: revoke the endpoint instead"
        )
    token.expires_at = min(token.expires_at, now)
    audit.record(session, now, actor, "token.revoke", f"token:{token_id}", address=address)
    return token
