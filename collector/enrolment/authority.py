"""The collector's own certificate authority: signs endpoints' keys and the server's own certificate.

A root key (EC P-256, RFC 5280 profile) made at the first start; nothing outside trusts it, and an
endpoint learns of it by the digest in its enrolment token.
"""

from __future__ import annotations

import hashlib
import ipaddress
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from collector.enrolment.errors import AuthorityError, CertificateRequestError
from collector.enrolment.requests import PublicKey, read_request

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_CA_LIFE: Final = timedelta(days=3650)
_SERVER_LIFE: Final = timedelta(days=397)
#: Certificates begin a little in the past: agents' clocks are not exact.
_BACKDATED: Final = timedelta(hours=1)
#: A server certificate with less than this left is made anew at start.
RENEW_BEFORE: Final = timedelta(days=60)


@dataclass(frozen=True)
class SignedCertificate:
    """A certificate and what the state store keeps of it. ``sha256`` is of the DER, hex; ``serial`` hex."""

    pem: str
    sha256: str
    serial: str
    not_before: datetime
    not_after: datetime


class Authority:
    """Signs. Stateless beside its key; threads may share it."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        if key.public_key() != certificate.public_key():
            raise AuthorityError("ca.key does not belong to ca.crt: restore both from the same backup")
        self._key = key
        self._certificate = certificate
        self.pem = certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
        self.der = certificate.public_bytes(serialization.Encoding.DER)
        self.sha256 = hashlib.sha256(self.der).hexdigest()

    @classmethod
    def make(cls, now: datetime) -> Authority:
        """A new root with a new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Vong Gac"),
                x509.NameAttribute(NameOID.COMMON_NAME, f"Vong Gac CA {identifier.digest.hex()[:8]}"),
            ]
        )
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + _CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @classmethod
    def read(cls, key_pem: bytes, certificate_pem: bytes) -> Authority:
        """Raise :class:`AuthorityError` where the two cannot be read or do not belong together."""
        try:
            key = serialization.load_pem_private_key(key_pem, password=None)
            certificate = x509.load_pem_x509_certificate(certificate_pem)
        except (ValueError, TypeError) as error:
            raise AuthorityError(f"the CA's files cannot be read: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise AuthorityError("ca.key is not an elliptic-curve key")
        return cls(key, certificate)

    def key_pem(self) -> bytes:
        return private_pem(self._key)

    def sign_endpoint(self, csr_pem: str, *, endpoint_id: str, days: int, now: datetime) -> SignedCertificate:
        """A client certificate for the request's key: CN is ``endpoint_id``, SAN ``urn:uuid:`` of it.

        Nothing else is taken from the request.

        Raises:
            CertificateRequestError: not a request, a wrong signature, or a kind of key that we do not sign.
        """
        key = read_request(csr_pem)
        if key == self._key.public_key():
            raise CertificateRequestError("that key is the authority's own")
        not_after = min(now + timedelta(days=days), self._certificate.not_valid_after_utc)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, endpoint_id)])
        alternative = x509.UniformResourceIdentifier(uuid.UUID(endpoint_id).urn)
        return self._sign(
            name, [alternative], key, ExtendedKeyUsageOID.CLIENT_AUTH, now - _BACKDATED, not_after
        )

    def sign_server(self, key: PublicKey, names: Iterable[str], now: datetime) -> SignedCertificate:
        """A server certificate for ``names`` (host names and IP addresses)."""
        unique = list(dict.fromkeys(names))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, unique[0][:64])])
        not_after = min(now + _SERVER_LIFE, self._certificate.not_valid_after_utc)
        alternatives = [general_name(name) for name in unique]
        return self._sign(
            subject, alternatives, key, ExtendedKeyUsageOID.SERVER_AUTH, now - _BACKDATED, not_after
        )

    def sign_statement(self, kind: bytes, content: bytes) -> bytes:
        """ECDSA with SHA-256 (DER) of ``kind`` and ``content``. ``kind`` is a line that says what is signed, so that a
        statement of one kind can never be taken for another, nor for a certificate (which begins otherwise)."""
        if not kind.endswith(b"\n") or b"\n" in kind[:-1] or not kind[:1].isalpha():
            raise ValueError("a kind of statement is one line that begins with a letter")
        return self._key.sign(kind + content, ec.ECDSA(hashes.SHA256()))

    def issued(self, certificate: x509.Certificate) -> bool:
        """Whether our key signed ``certificate``."""
        try:
            certificate.verify_directly_issued_by(self._certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def _sign(
        self,
        subject: x509.Name,
        alternatives: list[x509.GeneralName],
        key: PublicKey,
        usage: x509.ObjectIdentifier,
        not_before: datetime,
        not_after: datetime,
    ) -> SignedCertificate:
        serial = x509.random_serial_number()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(serial)
            .not_valid_before(not_before)
            .not_valid_after(not_after)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        return SignedCertificate(
            pem=certificate.public_bytes(serialization.Encoding.PEM).decode("ascii"),
            sha256=hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest(),
            serial=f"{serial:x}",
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )


def general_name(text: str) -> x509.GeneralName:
    """An IP address or a DNS name, as a certificate's alternative name.

    Raises:
        AuthorityError: neither of them.
    """
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        return x509.DNSName(text.encode("idna").decode("ascii") if not text.isascii() else text)
    except (ValueError, UnicodeError) as error:
        raise AuthorityError(f"not a host name or an IP address: {text!r}") from error


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
