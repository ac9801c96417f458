"""Copies of a key: who renews, who says that he is another machine, and a person's order that all change their keys.

Nobody is put out by any of it. A copy becomes an endpoint of its own, in the same agency, that counts as unknown until
a person confirms it; the one that it was copied from stays what it was. Who asks twice with one key gets the same
endpoint twice, so that a lost answer makes no third machine; nothing but the possession of that key gives it, so that
whoever else holds the certificate cannot take the new endpoint over by telling the same numbers.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import func, select, update

from agent.messages import EnrolReply
from collector.enrolment import service
from collector.enrolment.errors import RevokedError
from collector.enrolment.requests import key_sha256
from collector.errors import ConflictError, NotFoundError
from collector.identity.evidence import evidence_of_facts, is_other_machine
from collector.identity.links import evidence_kept, keep_evidence, renew_evidence, within
from collector.state.tables import (
    Assignment,
    Certificate,
    Endpoint,
    EndpointOrigin,
    IdentityNote,
    RekeyOrder,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from agent.messages import HostFacts, RenewRequest
    from collector.enrolment.authority import Authority
    from collector.enrolment.service import EndpointIdentity
    from collector.state.scope import Scope

MOVED: Final = "moved"
REKEYED: Final = "rekeyed"


def renew(
    session: Session,
    identity: EndpointIdentity,
    request: RenewRequest,
    authority: Authority,
    now: datetime,
    *,
    certificate_days: int = 90,
    unconfirmed_limit: int = 64,
) -> EnrolReply:
    """A further certificate for who has shown a valid one: of the same endpoint, or of one of its own.

    While an order to change keys is open, whatever is asked with a certificate that it names answers it: who holds a
    copied key gets nothing more of the endpoint by leaving out the order's number.

    Raises:
        CertificateRequestError: the signing request is not one we sign.
        RevokedError, NotAuthenticatedError: the endpoint was put out since it was authenticated.
        ConflictError: the order to change keys is over, too many copies wait to be confirmed, the endpoint is such a
            copy itself, or the key has an endpoint already: the certificate at hand goes on working.
    """
    service.authenticate(session, identity.certificate_sha256, now)
    key = key_sha256(request.csr_pem)
    order = _order(session, identity, request.rekey)
    if order is not None or request.moved:
        own = session.scalar(select(EndpointOrigin).where(EndpointOrigin.key_sha256 == key))
        if own is not None:
            if own.split_from != identity.endpoint_id:
                raise ConflictError(
                    "this key has an endpoint already, which is no copy of this one: make a new key"
                )
            return _again(session, own, identity, request, authority, now, certificate_days, key)
        if order is None or request.moved or not _keeps(session, identity, order, key, request.facts, now):
            cause = MOVED if request.moved else REKEYED
            return _split(
                session, identity, request, authority, now, certificate_days, unconfirmed_limit, cause, key
            )
    if order is None:
        _tell_two_places(session, identity, key, now)
    reply = service.renew(
        session,
        identity,
        request,
        authority,
        now,
        certificate_days=certificate_days,
        spare=() if order is None else order.shared,
    )
    if request.facts is not None and not _differs(session, identity.endpoint_id, request.facts):
        said = evidence_of_facts(request.facts)
        renew_evidence(session, identity.endpoint_id, said, now, simulated=identity.simulated)
    return reply


def order_rekey(session: Session, endpoint_id: str, who: str, reason: str, now: datetime) -> RekeyOrder:
    """Have everything that holds a certificate of the endpoint change its key. The certificates of now go on working
    until :func:`close_rekey`, or their end.

    Raises:
        NotFoundError: no such endpoint.
        ConflictError: it is out of service, or has such an order.
    """
    endpoint = session.get(Endpoint, endpoint_id)
    if endpoint is None:
        raise NotFoundError(f"no endpoint {endpoint_id}")
    shared = session.scalars(
        select(Certificate.sha256).where(
            Certificate.endpoint_id == endpoint_id,
            Certificate.revoked_at.is_(None),
            Certificate.not_after > now,
        )
    ).all()
    if endpoint.retired_at is not None or not shared:
        raise ConflictError("the endpoint has no certificate that works: enrol it with a new token")
    if open_order(session, endpoint_id) is not None:
        raise ConflictError("its keys are being changed already")
    order = RekeyOrder(
        endpoint_id=endpoint_id, shared=sorted(shared), asked_at=now, asked_by=who, reason=reason[:200]
    )
    session.add(order)
    session.flush()
    return order


def close_rekey(session: Session, endpoint_id: str, who: str, now: datetime) -> int:
    """End the order: who still holds nothing but an old key is refused from now on. Return how many certificates that
    ended.

    Raises:
        ConflictError: there is no such order, or nobody has changed his key yet: everybody would be put out.
    """
    order = open_order(session, endpoint_id)
    if order is None:
        raise ConflictError("no keys of this endpoint are being changed")
    if order.kept_at is None:
        raise ConflictError("nobody has changed the key yet: all that hold it would be put out")
    order.closed_at, order.closed_by = now, who
    ended = session.execute(
        update(Certificate)
        .where(Certificate.sha256.in_(order.shared), Certificate.revoked_at.is_(None))
        .values(revoked_at=now, revoked_reason="the key was changed by all who asked")
        .returning(Certificate.sha256)
    ).all()
    session.flush()
    return len(ended)


def confirm(session: Session, endpoint_id: str, who: str, now: datetime) -> EndpointOrigin:
    """A copy is a machine of ours: it counts by what it reports.

    Raises:
        ConflictError: it is no copy, or confirmed already.
    """
    origin = session.get(EndpointOrigin, endpoint_id)
    if origin is None or origin.split_at is None or origin.confirmed_at is not None:
        raise ConflictError("there is nothing to confirm of this endpoint")
    origin.confirmed_at, origin.confirmed_by = now, who
    session.flush()
    return origin


def open_order(session: Session, endpoint_id: str) -> RekeyOrder | None:
    return session.scalar(
        select(RekeyOrder).where(RekeyOrder.endpoint_id == endpoint_id, RekeyOrder.closed_at.is_(None))
    )


def copies_of(session: Session, scope: Scope, endpoint_id: str) -> Sequence[Endpoint]:
    """Endpoints within the scope that came of this one's certificate, the newest first; at most 100."""
    query = (
        select(Endpoint)
        .join(EndpointOrigin, EndpointOrigin.endpoint_id == Endpoint.id)
        .where(EndpointOrigin.split_from == endpoint_id, within(scope, Endpoint))
        .order_by(EndpointOrigin.split_at.desc())
    )
    return session.scalars(query.limit(100)).all()


def _order(session: Session, identity: EndpointIdentity, order_id: int) -> RekeyOrder | None:
    """The order that a request answers to, whether it says so (``order_id``) or not (0); ``None`` where its certificate
    came after the order, or there is none: an ordinary renewal."""
    order = open_order(session, identity.endpoint_id)
    if order_id and (order is None or order.id != order_id):
        raise ConflictError("there is no such order to change keys any more")
    return order if order is not None and identity.certificate_sha256 in order.shared else None


def _tell_two_places(session: Session, identity: EndpointIdentity, key: str, now: datetime) -> None:
    """A certificate that was renewed already is shown by somebody with another key: two hold it. An agent asks again
    with the key that it asked with before."""
    others = session.scalar(
        select(func.count(Certificate.key_sha256.distinct())).where(
            Certificate.endpoint_id == identity.endpoint_id,
            Certificate.renewed_from == identity.certificate_sha256,
            Certificate.key_sha256 != key,
        )
    )
    if others:
        body = {"found_by": "renewals", "places": others + 1, "since_time": now.timestamp()}
        session.add(
            IdentityNote(endpoint_id=identity.endpoint_id, action="two_places", body=body, made_at=now)
        )


def _keeps(
    session: Session,
    identity: EndpointIdentity,
    order: RekeyOrder,
    key: str,
    facts: HostFacts | None,
    now: datetime,
) -> bool:
    """Whether this one keeps the endpoint: it is the first, and what it says of itself is not another machine's."""
    if order.kept_key_sha256 is not None:
        return order.kept_key_sha256 == key
    if facts is not None and _differs(session, identity.endpoint_id, facts):
        return False
    order.kept_key_sha256, order.kept_at = key, now
    return True


def _split(
    session: Session,
    identity: EndpointIdentity,
    request: RenewRequest,
    authority: Authority,
    now: datetime,
    certificate_days: int,
    unconfirmed_limit: int,
    cause: str,
    key: str,
) -> EnrolReply:
    itself = session.get(EndpointOrigin, identity.endpoint_id)
    if itself is not None and itself.split_at is not None and itself.confirmed_at is None:
        raise ConflictError("this endpoint is a copy that nobody has confirmed: no copy is made of it")
    waiting = session.scalar(
        select(func.count())
        .select_from(EndpointOrigin)
        .join(Endpoint, Endpoint.id == EndpointOrigin.endpoint_id)
        .where(
            EndpointOrigin.split_from == identity.endpoint_id,
            EndpointOrigin.confirmed_at.is_(None),
            Endpoint.retired_at.is_(None),
        )
    )
    if (waiting or 0) >= unconfirmed_limit:
        raise ConflictError("too many copies of this endpoint's key wait for somebody to confirm them")
    source = session.get_one(Endpoint, identity.endpoint_id)
    endpoint_id = str(uuid.uuid4())
    signed = authority.sign_endpoint(request.csr_pem, endpoint_id=endpoint_id, days=certificate_days, now=now)
    facts = request.facts
    session.add(
        Endpoint(
            id=endpoint_id,
            hostname=facts.hostname if facts is not None else source.hostname,
            role=source.role,
            os_name=source.os_name,
            agent_version=source.agent_version,
            simulated=identity.simulated,
            facts={} if facts is None else msgspec.to_builtins(facts),
            enrolled_at=now,
        )
    )
    session.flush()
    agency_id = session.scalar(
        select(Assignment.agency_id).where(
            Assignment.endpoint_id == identity.endpoint_id, Assignment.valid_to.is_(None)
        )
    )
    if agency_id is not None:
        session.add(Assignment(endpoint_id=endpoint_id, agency_id=agency_id, valid_from=now))
    session.add(service.certificate_row(endpoint_id, signed, key, identity.certificate_sha256))
    if facts is not None:
        keep_evidence(session, endpoint_id, evidence_of_facts(facts), now, simulated=identity.simulated)
    origin = session.get(EndpointOrigin, endpoint_id)
    if origin is None:
        origin = EndpointOrigin(endpoint_id=endpoint_id, evidence_at=now, compared_at=now)
        session.add(origin)
    origin.split_from, origin.split_at, origin.cause, origin.key_sha256 = (
        identity.endpoint_id, now, cause, key,
    )  # fmt: skip
    body = {"cause": cause, "other_id": source.id, "other_name": source.hostname}
    session.add(IdentityNote(endpoint_id=endpoint_id, action="copy_on_its_own", body=body, made_at=now))
    session.flush()
    return EnrolReply(endpoint_id=endpoint_id, certificate_pem=signed.pem, ca_pem=authority.pem)


def _again(
    session: Session,
    own: EndpointOrigin,
    identity: EndpointIdentity,
    request: RenewRequest,
    authority: Authority,
    now: datetime,
    certificate_days: int,
    key: str,
) -> EnrolReply:
    """The answer was lost on its way: the same once more, in place of the one before."""
    endpoint = session.get_one(Endpoint, own.endpoint_id)
    if endpoint.retired_at is not None:
        raise RevokedError("the endpoint that this key has was taken out of service")
    signed = authority.sign_endpoint(request.csr_pem, endpoint_id=endpoint.id, days=certificate_days, now=now)
    service.end_soon(session, endpoint.id, key, now)
    session.add(service.certificate_row(endpoint.id, signed, key, identity.certificate_sha256))
    session.flush()
    return EnrolReply(endpoint_id=endpoint.id, certificate_pem=signed.pem, ca_pem=authority.pem)


def _differs(session: Session, endpoint_id: str, facts: HostFacts) -> bool:
    return is_other_machine(evidence_kept(session, endpoint_id), evidence_of_facts(facts))
