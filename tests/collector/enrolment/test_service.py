from __future__ import annotations

import threading
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from agent.messages import EnrolReply, RenewRequest, TokenParts
from collector.enrolment import service
from collector.enrolment.errors import (
    CertificateRequestError,
    NotAuthenticatedError,
    RevokedError,
    TokenRefusedError,
)
from collector.enrolment.lookup import Authenticator
from collector.errors import ConflictError, NotFoundError
from collector.state.base import utcnow
from collector.state.tables import Assignment, Certificate, Checkpoint, Endpoint, EnrolmentToken
from tests.support.collector import make_site, signing_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from tests.support.collector import Site

pytestmark = pytest.mark.usefixtures("on_both_databases")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = make_site(tmp_path_factory.mktemp("site"))
    yield made
    made.state.close()


def enrol(site: Site, token: str, now: datetime | None = None) -> EnrolReply:
    with site.state.write() as session:
        return service.enrol(session, site.request(token), site.prepared.authority, now or utcnow())


def digest_of(site: Site, endpoint_id: str) -> str:
    with site.state.read() as session:
        newest = select(Certificate.sha256).where(Certificate.endpoint_id == endpoint_id)
        digest = session.scalar(newest.order_by(Certificate.not_after.desc()))
        assert digest is not None
        return digest


def authenticate(site: Site, digest: str, now: datetime | None = None) -> service.EndpointIdentity:
    with site.state.read() as session:
        return service.authenticate(session, digest, now or utcnow())


def test_the_short_way_of_looking_up_says_what_the_long_one_says(site: Site) -> None:
    with closing(Authenticator(site.state)) as authenticator:
        reply = enrol(site, site.token())
        digest = digest_of(site, reply.endpoint_id)
        for _ in range(2):
            assert authenticator.authenticate(digest, utcnow()) == authenticate(site, digest)
        with pytest.raises(NotAuthenticatedError, match="expired"):
            authenticator.authenticate(digest, utcnow() + timedelta(days=91))
        with pytest.raises(NotAuthenticatedError, match="not known"):
            authenticator.authenticate("0" * 64, utcnow())
        with site.state.write() as session:
            service.revoke_endpoint(session, reply.endpoint_id, "lost", utcnow())
        with pytest.raises(RevokedError):
            authenticator.authenticate(digest, utcnow())


def test_a_token_buys_an_endpoint_in_its_agency(site: Site) -> None:
    reply = enrol(site, site.token(simulated=True))

    with site.state.read() as session:
        endpoint = session.get_one(Endpoint, reply.endpoint_id)
        assert (endpoint.hostname, endpoint.agent_version, endpoint.simulated) == ("pc-01", "0.1.0", True)
        assert endpoint.facts["hostname"] == "pc-01"
        assignment = session.scalars(
            select(Assignment).where(Assignment.endpoint_id == reply.endpoint_id)
        ).one()
        assert (assignment.agency_id, assignment.valid_to) == (site.agency_id, None)
    identity = authenticate(site, digest_of(site, reply.endpoint_id))
    assert (identity.endpoint_id, identity.simulated) == (reply.endpoint_id, True)


def test_a_token_works_once(site: Site) -> None:
    token = site.token()
    enrol(site, token)

    with pytest.raises(TokenRefusedError):
        enrol(site, token)


def test_an_expired_token_is_refused(site: Site) -> None:
    with pytest.raises(TokenRefusedError):
        enrol(site, site.token(hours=1), utcnow() + timedelta(hours=1, seconds=1))


def test_the_right_id_with_another_secret_is_refused_and_spends_nothing(site: Site) -> None:
    token = site.token()
    parts = TokenParts.decode(token)
    other = TokenParts.decode(site.token())

    with pytest.raises(TokenRefusedError):
        enrol(site, TokenParts(id=parts.id, secret=other.secret, ca_sha256=parts.ca_sha256).encode())
    assert enrol(site, token).endpoint_id


def test_the_secret_itself_is_not_kept(site: Site) -> None:
    parts = TokenParts.decode(site.token())

    with site.state.read() as session:
        kept = session.get_one(EnrolmentToken, parts.id)
        assert parts.secret not in {str(value) for value in vars(kept).values()}


def test_a_bad_signing_request_leaves_the_token_unused(site: Site) -> None:
    token = site.token()
    bad = site.request(token, ec.generate_private_key(ec.SECP521R1()))

    with pytest.raises(CertificateRequestError), site.state.write() as session:
        service.enrol(session, bad, site.prepared.authority, utcnow())
    assert enrol(site, token).endpoint_id


def test_of_many_at_once_with_one_token_exactly_one_gets_in(site: Site) -> None:
    token = site.token()
    racers = 8
    line = threading.Barrier(racers)
    won: list[str] = []
    lost: list[str] = []

    def race() -> None:
        line.wait()
        try:
            won.append(enrol(site, token).endpoint_id)
        except TokenRefusedError as error:
            lost.append(str(error))

    threads = [threading.Thread(target=race) for _ in range(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(won), len(lost)) == (1, racers - 1)
    with site.state.read() as session:
        assert session.get_one(EnrolmentToken, TokenParts.decode(token).id).used_by == won[0]


@given(
    st.text(max_size=200)
    | st.from_regex(r"vg1\.[0-9a-f]{16}\.[A-Za-z0-9_-]{43}\.[0-9a-f]{64}", fullmatch=True)
)
def test_whatever_comes_instead_of_a_token_is_refused(site: Site, text: str) -> None:
    with pytest.raises(TokenRefusedError):
        enrol(site, text)


def test_a_token_for_no_agency_is_not_made(site: Site) -> None:
    with pytest.raises(NotFoundError), site.state.write() as session:
        service.create_token(
            session,
            agency_id=999,
            simulated=False,
            created_by="test",
            now=utcnow(),
            lifetime=timedelta(hours=1),
            ca_sha256="0" * 64,
        )


def test_a_certificate_is_known_only_within_its_time(site: Site) -> None:
    digest = digest_of(site, enrol(site, site.token()).endpoint_id)

    with pytest.raises(NotAuthenticatedError, match="expired"):
        authenticate(site, digest, utcnow() + timedelta(days=90, seconds=1))
    with pytest.raises(NotAuthenticatedError, match="not valid yet"):
        authenticate(site, digest, utcnow() - timedelta(hours=2))
    with pytest.raises(NotAuthenticatedError, match="not known"):
        authenticate(site, "0" * 64)


def test_revoking_ends_every_certificate_of_the_endpoint_and_no_other(site: Site) -> None:
    one, other = enrol(site, site.token()), enrol(site, site.token())
    digest = digest_of(site, one.endpoint_id)

    with site.state.write() as session:
        assert service.revoke_endpoint(session, one.endpoint_id, "lost", utcnow()) == 1
        assert service.revoke_endpoint(session, one.endpoint_id, "lost", utcnow()) == 0

    with pytest.raises(RevokedError):
        authenticate(site, digest)
    assert authenticate(site, digest_of(site, other.endpoint_id)).endpoint_id == other.endpoint_id
    with pytest.raises(NotFoundError), site.state.write() as session:
        service.revoke_endpoint(session, "nobody", "lost", utcnow())


def test_a_retired_endpoint_leaves_its_agency_and_keeps_its_history(site: Site) -> None:
    reply = enrol(site, site.token())
    digest = digest_of(site, reply.endpoint_id)

    with site.state.write() as session:
        service.retire(session, reply.endpoint_id, "scrapped", utcnow())

    with pytest.raises(RevokedError):
        authenticate(site, digest)
    with site.state.read() as session:
        assert session.get_one(Endpoint, reply.endpoint_id).retired_at is not None
        assignment = session.scalars(
            select(Assignment).where(Assignment.endpoint_id == reply.endpoint_id)
        ).one()
        assert assignment.valid_to is not None
    with pytest.raises(ConflictError), site.state.write() as session:
        service.retire(session, reply.endpoint_id, "scrapped", utcnow())


def test_after_a_renewal_the_old_certificate_lives_a_week_and_the_new_one_its_life(site: Site) -> None:
    reply = enrol(site, site.token())
    old = digest_of(site, reply.endpoint_id)
    request = RenewRequest(csr_pem=signing_request(ec.generate_private_key(ec.SECP256R1())))

    with site.state.write() as session:
        identity = service.authenticate(session, old, utcnow())
        renewed = service.renew(session, identity, request, site.prepared.authority, utcnow())

    assert renewed.endpoint_id == reply.endpoint_id
    new = digest_of(site, reply.endpoint_id)
    assert new != old
    later = utcnow() + timedelta(days=8)
    assert authenticate(site, old).endpoint_id == reply.endpoint_id
    assert authenticate(site, new, later).endpoint_id == reply.endpoint_id
    with pytest.raises(NotAuthenticatedError):
        authenticate(site, old, later)


def test_an_endpoint_retired_since_it_was_authenticated_gets_no_new_certificate(site: Site) -> None:
    reply = enrol(site, site.token())
    identity = authenticate(site, digest_of(site, reply.endpoint_id))
    request = RenewRequest(csr_pem=signing_request(ec.generate_private_key(ec.SECP256R1())))

    with site.state.write() as session:
        service.retire(session, reply.endpoint_id, "scrapped", utcnow())
        with pytest.raises(RevokedError):
            service.renew(session, identity, request, site.prepared.authority, utcnow())


def test_an_endpoint_revoked_while_its_renewal_was_on_its_way_gets_no_new_certificate(site: Site) -> None:
    reply = enrol(site, site.token())
    identity = authenticate(site, digest_of(site, reply.endpoint_id))
    request = RenewRequest(csr_pem=signing_request(ec.generate_private_key(ec.SECP256R1())))
    with site.state.write() as session:
        service.revoke_endpoint(session, reply.endpoint_id, "stolen", utcnow())

    with pytest.raises(RevokedError), site.state.write() as session:
        service.renew(session, identity, request, site.prepared.authority, utcnow())


def test_preparing_a_directory_twice_changes_nothing(site: Site, tmp_path: Path) -> None:
    first = make_site(tmp_path / "data")
    files = {path: path.read_bytes() for path in first.data.ca.iterdir()}

    from collector import bootstrap
    from collector.settings import load

    again = bootstrap.prepare(first.data, load(first.data))

    assert first.prepared.first_start
    assert not again.first_start
    assert not again.server_certificate_made
    assert {path: path.read_bytes() for path in first.data.ca.iterdir()} == files
    assert first.data.root.stat().st_mode & 0o777 == 0o700
    first.state.close()


def test_preparing_a_directory_whose_log_was_lost_goes_on_behind_the_checkpoint(tmp_path: Path) -> None:
    from contextlib import closing

    from collector import bootstrap
    from collector.log.sqlite_reader import SqliteReader
    from collector.settings import load

    site = make_site(tmp_path / "data")
    with site.state.write() as session:
        session.add(Checkpoint(worker="detect", log_offset=41, updated_at=utcnow()))
    bootstrap.prepare(site.data, load(site.data))
    with closing(SqliteReader(site.data.log)) as reader:
        assert reader.last_offset() == 41
    site.state.close()
