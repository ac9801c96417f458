from __future__ import annotations

import contextlib
import hashlib
import json
import ssl
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agent.messages import TokenParts
from tests.support.collector import Endpoint, ask, make_site, send_batch, signing_request

if TYPE_CHECKING:
    import http.client
    from pathlib import Path

    from tests.support.collector import Site


def enrol(
    site: Site,
    connection: http.client.HTTPSConnection,
    token: str,
    key: ec.EllipticCurvePrivateKey | None = None,
) -> tuple[int, Any]:
    answer = ask(connection, "POST", "/v1/enroll", msgspec.json.encode(site.request(token, key)))
    return answer.status, answer.json()


def test_a_token_buys_a_certificate_with_which_batches_are_taken(
    site: Site, stranger: http.client.HTTPSConnection, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())

    status, reply = enrol(site, stranger, site.token(), key)

    assert status == 200
    assert reply["ca_pem"] == site.prepared.authority.pem
    endpoint = Endpoint.write(tmp_path, reply["endpoint_id"], key, reply["certificate_pem"], site)
    with contextlib.closing(endpoint.connect()) as connection:
        assert send_batch(connection, 1).status == 202


def test_a_token_used_twice_is_refused(site: Site, stranger: http.client.HTTPSConnection) -> None:
    token = site.token()
    assert enrol(site, stranger, token)[0] == 200

    status, problem = enrol(site, stranger, token)

    assert (status, problem["type"]) == (403, "urn:vonggac:problem:token")


def test_every_bad_token_gets_the_same_answer(site: Site, stranger: http.client.HTTPSConnection) -> None:
    used, expired = site.token(), site.token(hours=-1)
    enrol(site, stranger, used)
    parts = TokenParts.decode(site.token())
    unknown = TokenParts(id="0" * 16, secret=parts.secret, ca_sha256=parts.ca_sha256).encode()

    answers = [enrol(site, stranger, token) for token in (used, expired, unknown, "nonsense")]

    assert answers == [answers[0]] * 4


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", ""),
        (b"{", ""),
        (b"\xff\xfe", ""),
        (b"[1]", "Expected `object`"),
        (b"{}", "token"),
        (b'{"token":1}', "$.token"),
        (b'{"token":"x","csr_pem":"x","facts":{"hostname":"h"},"agent_version":"1","more":1}', "more"),
    ],
)
def test_an_unreadable_request_is_refused_with_the_place(
    stranger: http.client.HTTPSConnection, body: bytes, where: str
) -> None:
    answer = ask(stranger, "POST", "/v1/enroll", body)

    assert (answer.status, answer.json()["type"]) == (422, "urn:vonggac:problem:envelope")
    assert where in answer.json()["detail"]


def test_a_request_larger_than_any_real_one_is_not_read(stranger: http.client.HTTPSConnection) -> None:
    assert ask(stranger, "POST", "/v1/enroll", b" " * (64 << 10)).status == 413


def test_a_bad_signing_request_is_named_and_leaves_the_token(
    site: Site, stranger: http.client.HTTPSConnection
) -> None:
    token = site.token()
    request = msgspec.to_builtins(site.request(token)) | {"csr_pem": "-----BEGIN NONSENSE-----"}

    answer = ask(stranger, "POST", "/v1/enroll", json.dumps(request).encode())

    assert answer.status == 422
    assert answer.json()["detail"].startswith("csr_pem: ")
    assert enrol(site, stranger, token)[0] == 200


def test_a_certificate_is_renewed_over_itself(
    site: Site, endpoint: Endpoint, connection: http.client.HTTPSConnection, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    body = json.dumps({"csr_pem": signing_request(key)}).encode()

    answer = ask(connection, "POST", "/v1/renew", body)

    assert answer.status == 200
    assert answer.json()["endpoint_id"] == endpoint.id
    renewed = Endpoint.write(tmp_path, endpoint.id, key, answer.json()["certificate_pem"], site)
    with contextlib.closing(renewed.connect()) as fresh:
        assert send_batch(fresh, 1).status == 202
    assert send_batch(connection, 2).status == 202, "the old one works for a while yet"


def test_the_authoritys_certificate_can_be_checked_against_a_token(
    site: Site, stranger: http.client.HTTPSConnection
) -> None:
    answer = ask(stranger, "GET", "/v1/ca")

    der = ssl.PEM_cert_to_DER_cert(answer.body.decode("ascii"))
    assert hashlib.sha256(der).hexdigest() == TokenParts.decode(site.token()).ca_sha256


def test_many_failures_from_one_address_make_it_wait(tmp_path: Path) -> None:
    site = make_site(tmp_path / "data")
    process = site.start_ingest()
    try:
        with contextlib.closing(site.connect()) as connection:
            statuses = [enrol(site, connection, "nonsense")[0] for _ in range(22)]
            request = msgspec.json.encode(site.request(site.token()))
            answer = ask(connection, "POST", "/v1/enroll", request)
    finally:
        process.terminate()
        assert process.wait(15) == 0
        site.state.close()

    assert statuses[:20] == [403] * 20
    assert statuses[-1] == answer.status == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 10
