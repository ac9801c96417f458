from __future__ import annotations

import base64
import contextlib
import http.client
import ssl
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from collector.enrolment import service
from collector.enrolment.authority import Authority
from collector.ingest.limits import AddressList
from collector.ingest.peer import certificate_sha256, parse_client_cert
from collector.state.base import utcnow
from tests.support.collector import BODY, STREAM, Endpoint, ask, send_batch, signing_request

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.collector import Site

DEMANDING = ["/v1/batches", "/v1/heartbeat", "/v1/renew"]


@pytest.mark.parametrize("path", DEMANDING)
def test_without_a_certificate_nothing_is_taken(stranger: http.client.HTTPSConnection, path: str) -> None:
    answer = send_batch(stranger, 1, path=path)

    assert answer.status == 401
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_revoked_certificate_is_refused_on_the_next_request_of_an_open_connection(
    site: Site, endpoint: Endpoint, connection: http.client.HTTPSConnection
) -> None:
    assert send_batch(connection, 1).status == 202
    socket = connection.sock
    with site.state.write() as session:
        service.revoke_endpoint(session, endpoint.id, "stolen", utcnow())

    for path in DEMANDING:
        answer = send_batch(connection, 2, path=path)
        assert answer.status == 403
        assert answer.json()["type"] == "urn:vonggac:problem:revoked"
    assert connection.sock is socket, "it was another connection"


def test_a_certificate_that_expires_is_refused_on_an_open_connection(
    site: Site, endpoint: Endpoint, connection: http.client.HTTPSConnection
) -> None:
    from sqlalchemy import update

    from collector.state.tables import Certificate

    assert send_batch(connection, 1).status == 202
    with site.state.write() as session:
        session.execute(
            update(Certificate)
            .where(Certificate.endpoint_id == endpoint.id)
            .values(not_after=utcnow() - timedelta(seconds=1))
        )

    assert send_batch(connection, 2).status == 401


def handshake_is_refused(site: Site, folder: Path, authority: Authority, days: int) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    identity = "0e0f4e0a-3f1c-4f55-8f2e-2d1c9a7b6c5d"
    signed = authority.sign_endpoint(
        signing_request(key), endpoint_id=identity, days=days, now=utcnow() - timedelta(days=30)
    )
    endpoint = Endpoint.write(folder, identity, key, signed.pem, site)
    # TLS 1.3 lets the client speak before it learns that it was refused.
    with contextlib.closing(endpoint.connect()) as connection, pytest.raises((ssl.SSLError, ConnectionError)):
        send_batch(connection, 1)


def test_a_certificate_of_another_authority_does_not_get_through_the_handshake(
    site: Site, tmp_path: Path
) -> None:
    handshake_is_refused(site, tmp_path, Authority.make(utcnow() - timedelta(days=60)), 90)


def test_an_expired_certificate_does_not_get_through_the_handshake(site: Site, tmp_path: Path) -> None:
    handshake_is_refused(site, tmp_path, site.prepared.authority, 1)


def test_a_certificate_of_ours_that_no_endpoint_owns_is_refused(site: Site, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    identity = "0e0f4e0a-3f1c-4f55-8f2e-2d1c9a7b6c5d"
    signed = site.prepared.authority.sign_endpoint(
        signing_request(key), endpoint_id=identity, days=9, now=utcnow()
    )
    endpoint = Endpoint.write(tmp_path, identity, key, signed.pem, site)

    with contextlib.closing(endpoint.connect()) as connection:
        assert send_batch(connection, 1).status == 401


def test_the_servers_own_certificate_is_no_endpoints(site: Site) -> None:
    context = site.trust()
    context.load_cert_chain(site.data.ca / "server.crt", site.data.ca / "server.key")

    with (
        contextlib.closing(site.connect(context)) as connection,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        send_batch(connection, 1)


def test_a_server_of_another_authority_is_not_believed(site: Site, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"
    other.write_text(Authority.make(utcnow()).pem)

    with (
        contextlib.closing(site.connect(ssl.create_default_context(cafile=str(other)))) as connection,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        ask(connection, "GET", "/healthz")


def client_cert(endpoint: Endpoint) -> str:
    der = ssl.PEM_cert_to_DER_cert(endpoint.certificate_pem)
    return f":{base64.b64encode(der).decode('ascii')}:"


def batch_from(
    site: Site, address: str, headers: dict[str, str], context: ssl.SSLContext | None = None
) -> int:
    connection = http.client.HTTPSConnection(
        "127.0.0.1", site.port, context=context or site.trust(), source_address=(address, 0), timeout=20
    )
    headers = {"Vonggac-Batch": f"{STREAM};1;1.0", **headers}
    with contextlib.closing(connection):
        return ask(connection, "POST", "/v1/batches", BODY, headers).status


def test_a_listed_terminators_client_cert_header_is_believed(site: Site, endpoint: Endpoint) -> None:
    assert batch_from(site, "127.0.0.2", {"Client-Cert": client_cert(endpoint)}) == 202


def test_anybody_elses_client_cert_header_is_not(site: Site, endpoint: Endpoint) -> None:
    assert batch_from(site, "127.0.0.1", {"Client-Cert": client_cert(endpoint)}) == 401
    assert batch_from(site, "127.0.0.3", {"Client-Cert": client_cert(endpoint)}) == 401


def test_a_terminators_own_certificate_is_not_its_clients(site: Site, endpoint: Endpoint) -> None:
    assert batch_from(site, "127.0.0.2", {}, endpoint.context) == 401


def test_a_terminators_unreadable_header_is_an_error(site: Site) -> None:
    assert batch_from(site, "127.0.0.2", {"Client-Cert": "MIIB"}) == 400


@given(st.binary(max_size=200))
def test_any_der_comes_back_from_its_header(der: bytes) -> None:
    header = b":" + base64.b64encode(der) + b":"

    if der:
        assert parse_client_cert(header) == der
    else:
        with pytest.raises(ValueError, match="byte sequence"):
            parse_client_cert(header)


@given(st.binary(max_size=100) | st.from_regex(rb":?[A-Za-z0-9+/=]{0,40}:?", fullmatch=True))
def test_any_header_is_read_or_refused(value: bytes) -> None:
    try:
        der = parse_client_cert(value)
    except ValueError:
        return
    assert base64.b64encode(der) in value


def test_several_client_cert_headers_are_an_error() -> None:
    scope = {"client": ("10.0.0.5", 1), "headers": [(b"client-cert", b":AA==:"), (b"client-cert", b":AQ==:")]}

    with pytest.raises(ValueError, match="more than one"):
        certificate_sha256(scope, AddressList(["10.0.0.0/8"]))


def test_our_certificates_satisfy_strict_verification(site: Site, endpoint: Endpoint) -> None:
    # The default of Python 3.13 (RFC 5280 without the usual leniency).
    endpoint.context.verify_flags |= ssl.VERIFY_X509_STRICT

    with contextlib.closing(endpoint.connect()) as connection:
        assert send_batch(connection, 1).status == 202
