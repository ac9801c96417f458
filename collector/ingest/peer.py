"""Who is at the other end: the client certificate, from our own TLS or from a trusted terminator (RFC 9440)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import ssl
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collector.ingest.limits import AddressList

#: A Structured Field Byte Sequence (RFC 8941, 3.3.5) holding the DER of one certificate.
_BYTE_SEQUENCE: Final = re.compile(rb":([A-Za-z0-9+/]+={0,2}):")
_MAX_HEADER_BYTES: Final = 16 << 10


def parse_client_cert(value: bytes) -> bytes:
    """The DER in a ``Client-Cert`` header field.

    Raises:
        ValueError: not one byte sequence of valid Base64.
    """
    match = _BYTE_SEQUENCE.fullmatch(value.strip(b" "))
    if match is None or len(value) > _MAX_HEADER_BYTES:
        raise ValueError("Client-Cert is not a byte sequence (RFC 9440, 2.1)")
    try:
        return base64.b64decode(match[1], validate=True)
    except binascii.Error as error:
        raise ValueError("Client-Cert is not valid Base64") from error


def certificate_sha256(scope: dict[str, Any], terminators: AddressList) -> str | None:
    """SHA-256 (hex) of the DER of the certificate whose key the client has proved to hold; None without one.

    A header from anybody but a listed terminator is as if it were not there; and where a terminator is at the
    other end its own certificate is not the client's.

    Raises:
        ValueError: a terminator sent a header that cannot be read, or several.
    """
    if client_address(scope) in terminators:
        headers = [value for name, value in scope["headers"] if name == b"client-cert"]
        if not headers:
            return None
        if len(headers) > 1:
            raise ValueError("more than one Client-Cert header")
        return hashlib.sha256(parse_client_cert(headers[0])).hexdigest()
    chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain") or ()
    if not chain:
        return None
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(chain[0])).hexdigest()


def client_address(scope: dict[str, Any]) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""
