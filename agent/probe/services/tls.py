"""A server's certificate: whether it is one that browsers take, and how long it lasts."""

from __future__ import annotations

import ssl
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from agent import reasons
from agent.probe.services.result import CheckError

if TYPE_CHECKING:
    import socket

#: OpenSSL's verification errors (X509_V_ERR_…), as words that rules and people can use.
_PROBLEMS: Final = {
    9: "not_yet_valid",
    10: "expired",
    18: "self_signed",
    19: "self_signed",
    20: "chain_incomplete",
    21: "chain_incomplete",
    23: "revoked",
    62: "other_host",
    64: "other_host",
}


@lru_cache(maxsize=8)
def _context(ca_file: str, *, trusting: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file or None)
    if trusting:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def shake_hands(sock: socket.socket, host: str, ca_file: str, *, trusting: bool = False) -> ssl.SSLSocket:
    """TLS over a connection. ``trusting``: whatever certificate comes.

    Raises:
        CertificateError: the certificate is not good; the connection is of no use any more.
        CheckError: no TLS at all, or authorities that cannot be read.
    """
    try:
        context = _context(ca_file, trusting=trusting)
    except (OSError, ssl.SSLError) as error:
        raise CheckError(
            reasons.SERVICE_TLS(where=host, detail=f"{ca_file}: {error}"[:150]), "unknown"
        ) from error
    try:
        return context.wrap_socket(sock, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise CertificateError(_PROBLEMS.get(error.verify_code, "refused"), error.verify_message) from error
    except (OSError, ValueError) as error:
        detail = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise CheckError(reasons.SERVICE_TLS(where=host, detail=str(detail)[:100])) from error


class CertificateError(Exception):
    """``problem``: a word for it; ``str()`` what OpenSSL says."""

    def __init__(self, problem: str, message: str) -> None:
        super().__init__(message)
        self.problem = problem


def facts_of(sock: ssl.SSLSocket, problem: str = "") -> dict[str, Any]:
    """What documents carry: ``problem`` (empty: none), ``not_after`` (seconds since the epoch), ``issuer``,
    ``serial_number``."""
    facts: dict[str, Any] = {"problem": problem}
    found = sock.getpeercert()
    if found:
        facts["not_after"] = ssl.cert_time_to_seconds(str(found["notAfter"]))
        facts["issuer"] = _name_of(found.get("issuer", ()))
        facts["serial_number"] = str(found.get("serialNumber", ""))[:64]
        return facts
    raw = sock.getpeercert(binary_form=True)
    if raw:
        facts.update(_unverified(raw))
    return facts


def _name_of(name: Any) -> str:
    """The common name, or the organisation's."""
    parts = {key: value for each in name for key, value in each}
    return str(parts.get("commonName") or parts.get("organizationName") or "")[:200]


def _unverified(raw: bytes) -> dict[str, Any]:
    """Of a certificate that did not verify; nothing where it cannot be read."""
    # A good one is read by the interpreter itself: so this process holds the library only where one is bad.
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        found = x509.load_der_x509_certificate(raw)
        names = found.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
        return {
            "not_after": found.not_valid_after_utc.timestamp(),
            "issuer": str(names[0].value)[:200] if names else "",
            "serial_number": f"{found.serial_number:X}"[:64],
        }
    except (ValueError, x509.InvalidVersion):
        return {}
