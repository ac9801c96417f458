from __future__ import annotations

import ipaddress
import ssl
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from collector.enrolment.authority import Authority, general_name
from collector.enrolment.errors import AuthorityError, CertificateRequestError
from collector.enrolment.files import ensure_server_certificate, local_names, make_authority
from collector.enrolment.requests import read_request
from tests.support.collector import signing_request

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ENDPOINT = "7d8f4c0e-4c58-4f0e-9a55-6a2f0d1f9f10"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.make(NOW)


def certificate_for(authority: Authority, csr: str, days: int = 90) -> x509.Certificate:
    signed = authority.sign_endpoint(csr, endpoint_id=ENDPOINT, days=days, now=NOW)
    return x509.load_pem_x509_certificate(signed.pem.encode())


def test_an_endpoints_certificate_names_it_and_nothing_that_its_request_asked_for(
    authority: Authority,
) -> None:
    csr = signing_request(ec.generate_private_key(ec.SECP256R1()), cn="admin", o="Province")

    certificate = certificate_for(authority, csr)

    assert certificate.subject == x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ENDPOINT)])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier(uuid.UUID(ENDPOINT).urn)]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca
    assert certificate.not_valid_after_utc == NOW + timedelta(days=90)
    assert authority.issued(certificate)


def test_no_certificate_outlives_the_authority(authority: Authority) -> None:
    csr = signing_request(ec.generate_private_key(ec.SECP256R1()))

    root = x509.load_pem_x509_certificate(authority.pem.encode())
    assert certificate_for(authority, csr, days=3650 * 2).not_valid_after_utc == root.not_valid_after_utc


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["P-256", "P-384", "RSA-2048", "Ed25519"],
)
def test_usual_keys_are_signed(
    authority: Authority, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
) -> None:
    assert certificate_for(authority, signing_request(key)).public_key() == key.public_key()


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP521R1()),
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(65537, 1024),
        rsa.generate_private_key(3, 2048),
        dsa.generate_private_key(2048),
    ],
    ids=["P-521", "secp256k1", "RSA-1024", "RSA-e3", "DSA"],
)
def test_unusual_or_weak_keys_are_not_signed(
    authority: Authority, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | dsa.DSAPrivateKey
) -> None:
    with pytest.raises(CertificateRequestError):
        certificate_for(authority, signing_request(key))


def test_a_request_that_its_key_did_not_sign_is_refused() -> None:
    first = x509.load_pem_x509_csr(signing_request(ec.generate_private_key(ec.SECP256R1())).encode())
    der = bytearray(first.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    forged = ssl.DER_cert_to_PEM_cert(bytes(der)).replace("CERTIFICATE", "CERTIFICATE REQUEST")

    with pytest.raises(CertificateRequestError):
        read_request(forged)


@given(st.text(max_size=400) | st.binary(max_size=300).map(lambda der: _pem(der)))
def test_whatever_comes_instead_of_a_request_is_refused_as_one(text: str) -> None:
    with pytest.raises(CertificateRequestError):
        read_request(text)


def _pem(der: bytes) -> str:
    return ssl.DER_cert_to_PEM_cert(der).replace("CERTIFICATE", "CERTIFICATE REQUEST")


def test_the_authority_is_made_once_and_its_key_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "ca"

    first = make_authority(folder, NOW)

    assert make_authority(folder, NOW + timedelta(days=400)).sha256 == first.sha256
    assert (folder / "ca.key").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_half_an_authority_is_never_made_anew(tmp_path: Path) -> None:
    make_authority(tmp_path, NOW)
    (tmp_path / "ca.key").unlink()

    with pytest.raises(AuthorityError):
        make_authority(tmp_path, NOW)
    assert not (tmp_path / "ca.key").exists()


def test_a_key_of_another_authority_is_refused(tmp_path: Path) -> None:
    make_authority(tmp_path / "a", NOW)
    make_authority(tmp_path / "b", NOW)
    (tmp_path / "a" / "ca.key").replace(tmp_path / "b" / "ca.key")

    with pytest.raises(AuthorityError, match="does not belong"):
        make_authority(tmp_path / "b", NOW)


def test_the_servers_certificate_holds_every_name_under_which_it_is_reached(tmp_path: Path) -> None:
    authority = make_authority(tmp_path, NOW)

    assert ensure_server_certificate(tmp_path, authority, ["soc.example.vn", "192.0.2.7"], NOW)

    certificate = x509.load_pem_x509_certificate((tmp_path / "server.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"localhost", "soc.example.vn"} <= set(names.get_values_for_type(x509.DNSName))
    assert {ipaddress.ip_address(text) for text in ("127.0.0.1", "::1", "192.0.2.7")} <= set(
        names.get_values_for_type(x509.IPAddress)
    )
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert (tmp_path / "server.key").stat().st_mode & 0o777 == 0o600


def test_the_servers_certificate_is_renewed_when_it_must_be_and_only_then(tmp_path: Path) -> None:
    authority = make_authority(tmp_path, NOW)

    def ensure(names: list[str], days: int) -> bool:
        return ensure_server_certificate(tmp_path, authority, names, NOW + timedelta(days=days))

    assert ensure([], 0)
    assert not ensure([], 100)
    assert ensure([], 397 - 30)
    assert ensure(["further.example.vn"], 367)
    assert not ensure([], 367)
    (tmp_path / "server.key").write_bytes(b"damaged")
    assert ensure([], 367)
    assert ensure_server_certificate(tmp_path, Authority.make(NOW), [], NOW)


def test_the_servers_certificate_and_key_belong_together(tmp_path: Path) -> None:
    authority = make_authority(tmp_path, NOW)
    ensure_server_certificate(tmp_path, authority, local_names(), NOW)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")  # raises where they do not
    assert context.get_ca_certs() == []


def test_a_name_in_vietnamese_letters_is_encoded_as_dns_needs_it() -> None:
    value = str(general_name("máy-chủ.vn").value)

    assert value.startswith("xn--")
    assert value.encode("ascii").decode("idna") == "máy-chủ.vn"


@pytest.mark.parametrize("name", ["x" * 300 + "é", "é..vn"])
def test_a_name_that_no_certificate_can_hold_is_an_error(name: str) -> None:
    with pytest.raises(AuthorityError, match="not a host name"):
        general_name(name)
