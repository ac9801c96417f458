"""Lets endpoints in, knows them again, and puts them out.

All functions run in a caller's transaction on the state store; those that change something need a writing one
(``StateStore.write``), whose lock makes them atomic against one another.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from sqlalchemy import bindparam, or_, select, update

from agent.messages import EnrolReply, TokenParts
from collector.enrolment.errors import NotAuthenticatedError, RevokedError, TokenRefusedError
from collector.enrolment.requests import key_sha256
from collector.errors import ConflictError, NotFoundError
from collector.identity.evidence import evidence_of_facts
from collector.identity.links import keep_evidence
from collector.state.tables import Agency, Assignment, Certificate, Endpoint, EnrolmentToken

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy.orm import Session

    from agent.messages import EnrolRequest, RenewRequest
    from collector.enrolment.authority import Authority, SignedCertificate

#: After a renewal the certificate before it works for this long yet: the reply may have been lost on its way.
OVERLAP = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class EndpointIdentity:
    """Who a request is from, as its certificate proves."""

    endpoint_id: str
    simulated: bool
    certificate_sha256: str


def create_token(
    session: Session,
    *,
    agency_id: int,
    simulated: bool,
    created_by: str,
    now: datetime,
    lifetime: timedelta,
    ca_sha256: str,
) -> str:
    """A new one-time token for ``agency_id``. The text is shown once: only a hash of its secret is kept.

    Raises:
        NotFoundError: no such agency.
    """
    if session.get(Agency, agency_id) is None:
        raise NotFoundError(f"no agency {agency_id}")
    parts = TokenParts(id=secrets.token_hex(8), secret=secrets.token_urlsafe(32), ca_sha256=ca_sha256)
    session.add(
        EnrolmentToken(
            id=parts.id,
            secret_sha256=_sha256(parts.secret),
            agency_id=agency_id,
            simulated=simulated,
            created_at=now,
            created_by=created_by,
            expires_at=now + lifetime,
        )
    )
    session.flush()
    return parts.encode()


def enrol(
    session: Session,
    request: EnrolRequest,
    authority: Authority,
    now: datetime,
    *,
    certificate_days: int = 90,
) -> EnrolReply:
    """Spend the request's token on a new endpoint with one certificate.

    Raises:
        TokenRefusedError: unknown, used, expired or mistyped token.
        CertificateRequestError: the token is good and stays unused, but the signing request is not.
    """
    token = _usable_token(session, request.token, now)
    endpoint_id = str(uuid.uuid4())
    signed = authority.sign_endpoint(request.csr_pem, endpoint_id=endpoint_id, days=certificate_days, now=now)
    session.add(
        Endpoint(
            id=endpoint_id,
            hostname=request.facts.hostname,
            agent_version=request.agent_version,
            simulated=token.simulated,
            facts=msgspec.to_builtins(request.facts),
            enrolled_at=now,
        )
    )
    session.flush()
    # One statement decides: even where two transactions read the token as unused, one of them changes no row.
    spent = session.execute(
        update(EnrolmentToken)
        .where(EnrolmentToken.id == token.id, EnrolmentToken.used_at.is_(None))
        .values(used_at=now, used_by=endpoint_id)
        .returning(EnrolmentToken.id)
    ).first()
    if spent is None:
        raise TokenRefusedError("the token was used in this very moment")
    session.add(Assignment(endpoint_id=endpoint_id, agency_id=token.agency_id, valid_from=now))
    session.add(certificate_row(endpoint_id, signed, key_sha256(request.csr_pem), ""))
    session.flush()
    keep_evidence(session, endpoint_id, evidence_of_facts(request.facts), now, simulated=token.simulated)
    return EnrolReply(endpoint_id=endpoint_id, certificate_pem=signed.pem, ca_pem=authority.pem)


def renew(
    session: Session,
    identity: EndpointIdentity,
    request: RenewRequest,
    authority: Authority,
    now: datetime,
    *,
    certificate_days: int = 90,
    spare: Collection[str] = (),
) -> EnrolReply:
    """A further certificate for an endpoint that has shown a valid one. The one that was shown ends within
    :data:`OVERLAP` unless it is in ``spare`` (SHA-256), and so do earlier ones of the key that is asked with: their
    answers were lost. Those of other keys are another holder's, who is not put out.

    The certificate is looked at again, under the writer's lock: who holds a renewal open while he is put out must
    not come back by it.

    Raises:
        CertificateRequestError: the signing request is not one we sign.
        RevokedError, NotAuthenticatedError: the endpoint was put out since it was authenticated.
    """
    authenticate(session, identity.certificate_sha256, now)
    signed = authority.sign_endpoint(
        request.csr_pem, endpoint_id=identity.endpoint_id, days=certificate_days, now=now
    )
    key = key_sha256(request.csr_pem)
    shown = identity.certificate_sha256
    end_soon(session, identity.endpoint_id, key, now, shown=None if shown in spare else shown)
    session.add(certificate_row(identity.endpoint_id, signed, key, shown))
    session.flush()
    return EnrolReply(endpoint_id=identity.endpoint_id, certificate_pem=signed.pem, ca_pem=authority.pem)


def end_soon(
    session: Session, endpoint_id: str, key: str, now: datetime, *, shown: str | None = None
) -> None:
    """Let the endpoint's certificates of ``key``, and the one that was ``shown``, work for :data:`OVERLAP` yet."""
    session.execute(
        update(Certificate)
        .where(
            Certificate.endpoint_id == endpoint_id,
            Certificate.not_after > now + OVERLAP,
            or_(Certificate.key_sha256 == key, Certificate.sha256 == shown),
        )
        .values(not_after=now + OVERLAP)
    )


class FoundCertificate(NamedTuple):
    """A row of :data:`FIND_CERTIFICATE`."""

    sha256: str
    endpoint_id: str
    not_before: datetime
    not_after: datetime
    revoked_at: datetime | None
    simulated: bool
    retired_at: datetime | None


#: What :func:`judge` needs to know of the certificate whose digest is the parameter ``sha256``.
FIND_CERTIFICATE = (
    select(
        Certificate.sha256,
        Certificate.endpoint_id,
        Certificate.not_before,
        Certificate.not_after,
        Certificate.revoked_at,
        Endpoint.simulated,
        Endpoint.retired_at,
    )
    .join(Endpoint, Endpoint.id == Certificate.endpoint_id)
    .where(Certificate.sha256 == bindparam("sha256"))
)


def authenticate(session: Session, der_sha256: str, now: datetime) -> EndpointIdentity:
    """Whose certificate it is, by the SHA-256 (hex) of its DER.

    The caller has made sure that the peer holds its key (the TLS handshake, or a trusted terminator).

    Raises:
        NotAuthenticatedError: not ours, not valid yet, or expired.
        RevokedError: revoked, or the endpoint retired.
    """
    found = session.execute(FIND_CERTIFICATE, {"sha256": der_sha256}).first()
    return judge(None if found is None else FoundCertificate(*found), now)


def judge(found: FoundCertificate | None, now: datetime) -> EndpointIdentity:
    """What follows from a row of :data:`FIND_CERTIFICATE`, or from none; raises as :func:`authenticate`."""
    if found is None:
        raise NotAuthenticatedError("the certificate is not known here: enrol again")
    if found.revoked_at is not None or found.retired_at is not None:
        raise RevokedError("the endpoint's certificate was revoked")
    if now >= found.not_after:
        raise NotAuthenticatedError("the certificate is expired: enrol again")
    if now < found.not_before:
        raise NotAuthenticatedError("the certificate is not valid yet")
    return EndpointIdentity(found.endpoint_id, found.simulated, found.sha256)


def revoke_endpoint(session: Session, endpoint_id: str, reason: str, now: datetime) -> int:
    """Revoke every certificate of the endpoint, from its next request on; return how many still worked.

    Raises:
        NotFoundError: no such endpoint.
    """
    if session.get(Endpoint, endpoint_id) is None:
        raise NotFoundError(f"no endpoint {endpoint_id}")
    revoked = session.execute(
        update(Certificate)
        .where(Certificate.endpoint_id == endpoint_id, Certificate.revoked_at.is_(None))
        .values(revoked_at=now, revoked_reason=reason)
        .returning(Certificate.sha256)
    ).all()
    return len(revoked)


def retire(session: Session, endpoint_id: str, reason: str, now: datetime) -> None:
    """Take the endpoint out of service: certificates revoked, assignment closed, history kept.

    Raises:
        NotFoundError: no such endpoint.
        ConflictError: it is retired already.
    """
    endpoint = session.get(Endpoint, endpoint_id)
    if endpoint is None:
        raise NotFoundError(f"no endpoint {endpoint_id}")
    if endpoint.retired_at is not None:
        raise ConflictError(f"endpoint {endpoint_id} is retired already")
    revoke_endpoint(session, endpoint_id, reason, now)
    endpoint.retired_at = now
    session.execute(
        update(Assignment)
        .where(Assignment.endpoint_id == endpoint_id, Assignment.valid_to.is_(None))
        .values(valid_to=now)
    )
    session.flush()


def _usable_token(session: Session, text: str, now: datetime) -> EnrolmentToken:
    try:
        parts = TokenParts.decode(text)
    except ValueError as error:
        raise TokenRefusedError("not a token") from error
    token = session.get(EnrolmentToken, parts.id, populate_existing=True)
    # Compared even where there is no such token, so that the time taken says nothing about the id.
    expected = token.secret_sha256 if token is not None else "0" * 64
    if not hmac.compare_digest(expected, _sha256(parts.secret)) or token is None:
        raise TokenRefusedError("unknown token")
    if token.used_at is not None:
        raise TokenRefusedError("the token was used already")
    if now >= token.expires_at:
        raise TokenRefusedError("the token is expired")
    return token


def certificate_row(endpoint_id: str, signed: SignedCertificate, key: str, renewed_from: str) -> Certificate:
    """What the state store keeps of a certificate of ``key`` (SHA-256), given to who showed ``renewed_from``."""
    return Certificate(
        sha256=signed.sha256,
        endpoint_id=endpoint_id,
        serial=signed.serial,
        not_before=signed.not_before,
        not_after=signed.not_after,
        key_sha256=key,
        renewed_from=renewed_from,
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()
