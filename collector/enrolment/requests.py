"""Reads a certificate signing request (RFC 2986) that came from outside: its key, and nothing else."""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from collector.enrolment.errors import CertificateRequestError

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

_CURVES: Final = ("secp256r1", "secp384r1")
_RSA_BITS: Final = range(2048, 8193)


def read_request(csr_pem: str) -> PublicKey:
    """The key that the request asks a certificate for, after proof that the sender holds it.

    Raises:
        CertificateRequestError: not a request, a wrong signature, or none of EC P-256/P-384, RSA of 2,048 to
            8,192 bits, Ed25519.
    """
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode("ascii"))
        key = request.public_key()
        _check_kind(key)
        sound = request.is_signature_valid
    except (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm, InvalidSignature) as error:
        raise CertificateRequestError("not a certificate signing request that can be read") from error
    if not sound:
        raise CertificateRequestError("the signing request's own signature is wrong")
    assert isinstance(key, PublicKey)  # noqa: S101 - _check_kind has made sure
    return key


def key_sha256(csr_pem: str) -> str:
    """Of the public key that a request asks a certificate for (RFC 5280, 4.1.2.7, as DER), hex. Proves its possession.

    Raises:
        CertificateRequestError: as :func:`read_request`.
    """
    der = read_request(csr_pem).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()


def _check_kind(key: object) -> None:
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _CURVES:
            raise CertificateRequestError(f"curve {key.curve.name}: use P-256 or P-384")
    elif isinstance(key, rsa.RSAPublicKey):
        if key.key_size not in _RSA_BITS:
            raise CertificateRequestError(f"RSA of {key.key_size} bits: use 2,048 to 8,192")
        if key.public_numbers().e < 65537:
            raise CertificateRequestError("RSA with a small exponent: use 65537")
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        raise CertificateRequestError("this kind of key is not signed: use EC P-256")
