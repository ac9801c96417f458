"""Copies of a key get endpoints of their own, and nobody is put out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select

from agent.messages import EnrolRequest, HostFacts, RenewRequest
from collector.coverage.models import Reason
from collector.coverage.service import machine_of
from collector.enrolment import service
from collector.enrolment.authority import Authority
from collector.enrolment.errors import RevokedError
from collector.errors import ConflictError
from collector.identity import splitting
from collector.settings import Coverage
from collector.state.scope import EVERYTHING, Scope
from collector.state.tables import Assignment, Certificate, Endpoint, EndpointOrigin, IdentityNote
from soc_api.reports.document import reason_sentence
from tests.collector.identity.test_evidence import HARDWARE, OTHER
from tests.collector.pipeline import add_agency
from tests.support.collector import signing_request
from tests.support.state import new_state

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

    from agent.messages import EnrolReply
    from collector.state.database import StateStore

pytestmark = pytest.mark.usefixtures("on_both_databases")
NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
MINE = msgspec.convert({"hostname": "pc-01", **HARDWARE}, HostFacts)
THEIRS = msgspec.convert({"hostname": "pc-02", **OTHER}, HostFacts)


class Collector:
    """The services that the agents' port calls, and one endpoint of an agency."""

    def __init__(self, state: StateStore) -> None:
        self.state = state
        self.authority = Authority.make(NOW)
        self.agency = add_agency(state)
        with state.write() as session:
            token = service.create_token(
                session,
                agency_id=self.agency,
                simulated=False,
                created_by="t",
                now=NOW,
                lifetime=timedelta(hours=1),
                ca_sha256=self.authority.sha256,
            )
            request = EnrolRequest(token=token, csr_pem=request_of(new_key()), facts=MINE, agent_version="1")
            self.first = service.enrol(session, request, self.authority, NOW)

    def renew(
        self, shown: EnrolReply, key: ec.EllipticCurvePrivateKey, *, at: timedelta = timedelta(), limit: int = 64,
        facts: HostFacts | None = None, moved: bool = False, rekey: int = 0,
    ) -> EnrolReply:  # fmt: skip
        request = RenewRequest(csr_pem=request_of(key), facts=facts, moved=moved, rekey=rekey)
        with self.state.write() as session:
            identity = service.authenticate(session, digest_of(session, shown), NOW + at)
            return splitting.renew(
                session, identity, request, self.authority, NOW + at, unconfirmed_limit=limit
            )

    def order(self) -> int:
        with self.state.write() as session:
            return splitting.order_rekey(session, self.first.endpoint_id, "lan", "two places", NOW).id


def digest_of(session: Session, reply: EnrolReply) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    certificate = x509.load_pem_x509_certificate(reply.certificate_pem.encode())
    return certificate.fingerprint(hashes.SHA256()).hex()


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def request_of(key: ec.EllipticCurvePrivateKey) -> str:
    return signing_request(key, cn="x")


@pytest.fixture
def collector(tmp_path: Path) -> Collector:
    return Collector(new_state(tmp_path))


def test_another_machine_gets_an_endpoint_of_its_own_and_the_first_goes_on(collector: Collector) -> None:
    own = collector.renew(collector.first, new_key(), facts=THEIRS, moved=True)

    assert own.endpoint_id != collector.first.endpoint_id
    with collector.state.read() as session:
        for reply in (own, collector.first):
            assert (
                service.authenticate(session, digest_of(session, reply), NOW).endpoint_id == reply.endpoint_id
            )
        made = session.get_one(Endpoint, own.endpoint_id)
        origin = session.get_one(EndpointOrigin, own.endpoint_id)
        assert (made.hostname, made.simulated, made.retired_at) == ("pc-02", False, None)
        assert (origin.split_from, origin.cause) == (collector.first.endpoint_id, "moved")
        agencies = session.scalars(
            select(Assignment.agency_id).where(Assignment.endpoint_id == made.id)
        ).all()
        assert agencies == [collector.agency]
        [note] = session.scalars(select(IdentityNote))
        assert (note.endpoint_id, note.action) == (made.id, "copy_on_its_own")


def test_a_copy_is_unknown_in_the_percentage_until_somebody_confirms_it(collector: Collector) -> None:
    own = collector.renew(collector.first, new_key(), facts=THEIRS, moved=True)
    with collector.state.write() as session:
        session.get_one(Endpoint, own.endpoint_id).last_seen_at = NOW
        session.flush()
        machine = machine_of(session, EVERYTHING, Coverage(), NOW, own.endpoint_id)
        assert machine is not None
        assert (machine.state, machine.reason.code) == ("unknown", "copy_not_confirmed")
        assert machine.reason.parameters == {"hostname": "pc-01"}

        splitting.confirm(session, own.endpoint_id, "lan", NOW)
        machine = machine_of(session, EVERYTHING, Coverage(), NOW, own.endpoint_id)
        assert machine is not None
        assert machine.reason.code == "no_antivirus_report"
        with pytest.raises(ConflictError):
            splitting.confirm(session, own.endpoint_id, "lan", NOW)


def test_a_copy_does_not_name_a_machine_of_another_agency(collector: Collector) -> None:
    own = collector.renew(collector.first, new_key(), facts=THEIRS, moved=True)
    there = add_agency(collector.state, "so-y-te")
    with collector.state.write() as session:
        session.get_one(Endpoint, own.endpoint_id).last_seen_at = NOW
        assignment = session.scalars(
            select(Assignment).where(Assignment.endpoint_id == own.endpoint_id)
        ).one()
        assignment.agency_id = there
        session.flush()
        for scope in (EVERYTHING, Scope(frozenset({there}))):
            machine = machine_of(session, scope, Coverage(), NOW, own.endpoint_id)
            assert machine is not None
            assert machine.reason == Reason("copy_not_confirmed")
    for lang, words in (("en", "another machine"), ("vi", "máy khác")):
        assert words in reason_sentence(Reason("copy_not_confirmed"), lang)


def test_a_lost_answer_makes_no_third_machine_and_numbers_open_nobodys_endpoint(collector: Collector) -> None:
    key = new_key()
    own = collector.renew(collector.first, key, facts=THEIRS, moved=True)

    again = collector.renew(collector.first, key, facts=THEIRS, moved=True)
    thief = collector.renew(collector.first, new_key(), facts=THEIRS, moved=True)

    assert again.endpoint_id == own.endpoint_id
    assert thief.endpoint_id not in (own.endpoint_id, collector.first.endpoint_id)


def test_a_stolen_key_makes_no_more_endpoints_than_wait_for_people(collector: Collector) -> None:
    for _ in range(3):
        collector.renew(collector.first, new_key(), facts=THEIRS, moved=True, limit=3)
    with pytest.raises(ConflictError, match="wait for somebody to confirm"):
        collector.renew(collector.first, new_key(), facts=THEIRS, moved=True, limit=3)
    assert collector.renew(collector.first, new_key()).endpoint_id == collector.first.endpoint_id


def test_all_copies_change_their_keys_and_the_first_keeps_the_endpoint(collector: Collector) -> None:
    order = collector.order()
    first_key, second_key = new_key(), new_key()

    kept = collector.renew(collector.first, first_key, facts=MINE, rekey=order)
    lost_answer = collector.renew(collector.first, first_key, facts=MINE, rekey=order)
    own = collector.renew(collector.first, second_key, facts=MINE, rekey=order)

    assert kept.endpoint_id == lost_answer.endpoint_id == collector.first.endpoint_id
    assert own.endpoint_id != kept.endpoint_id
    # A third copy comes after weeks, with the key that the kept one has renewed away since.
    kept = collector.renew(lost_answer, new_key(), at=timedelta(days=20))
    late = collector.renew(collector.first, new_key(), at=timedelta(days=30), facts=MINE, rekey=order)
    assert late.endpoint_id not in (own.endpoint_id, kept.endpoint_id)
    # Who has changed his key already only renews.
    after = collector.renew(kept, new_key(), at=timedelta(days=21), rekey=order)
    assert after.endpoint_id == kept.endpoint_id


def test_who_is_plainly_another_machine_does_not_keep_the_endpoint_though_it_came_first(
    collector: Collector,
) -> None:
    order = collector.order()
    assert collector.renew(collector.first, new_key(), facts=THEIRS, rekey=order).endpoint_id != (
        collector.first.endpoint_id
    )
    assert collector.renew(collector.first, new_key(), facts=MINE, rekey=order).endpoint_id == (
        collector.first.endpoint_id
    )


def test_the_old_key_ends_by_a_persons_word_only_and_not_before_somebody_has_changed_it(
    collector: Collector,
) -> None:
    order = collector.order()
    with collector.state.write() as session:
        with pytest.raises(ConflictError, match="already"):
            splitting.order_rekey(session, collector.first.endpoint_id, "lan", "", NOW)
        with pytest.raises(ConflictError, match="put out"):
            splitting.close_rekey(session, collector.first.endpoint_id, "lan", NOW)
    kept = collector.renew(collector.first, new_key(), facts=MINE, rekey=order)
    with collector.state.write() as session:
        assert splitting.close_rekey(session, collector.first.endpoint_id, "lan", NOW) == 1
        with pytest.raises(RevokedError):
            service.authenticate(session, digest_of(session, collector.first), NOW)
        assert service.authenticate(session, digest_of(session, kept), NOW).endpoint_id == kept.endpoint_id
        assert session.scalar(select(Certificate.revoked_reason).where(Certificate.revoked_at.is_not(None)))
