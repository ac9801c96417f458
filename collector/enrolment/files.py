"""The authority and the server's certificate on disk: ``ca.key ca.crt server.key server.crt``, keys 0600."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from collector.enrolment.authority import RENEW_BEFORE, Authority, general_name, private_pem
from collector.enrolment.errors import AuthorityError
from collector.files import write_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path


def open_authority(folder: Path) -> Authority:
    """The authority in ``folder``.

    Raises:
        AuthorityError: it is not there, or damaged.
    """
    try:
        return Authority.read((folder / "ca.key").read_bytes(), (folder / "ca.crt").read_bytes())
    except OSError as error:
        raise AuthorityError(f"{error.filename}: {error.strerror}: start with `vonggac serve`") from error


def make_authority(folder: Path, now: datetime) -> Authority:
    """The authority in ``folder``, made where there is none.

    Raises:
        AuthorityError: half of it is missing: making a new one would disown every enrolled endpoint.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key, certificate = folder / "ca.key", folder / "ca.crt"
    if key.exists() or certificate.exists():
        return open_authority(folder)
    authority = Authority.make(now)
    write_file(certificate, authority.pem.encode("ascii"), 0o644)
    write_file(key, authority.key_pem(), 0o600)
    return authority


def ensure_server_certificate(
    folder: Path, authority: Authority, names: Iterable[str], now: datetime
) -> bool:
    """Make the server's certificate where it is missing, near its end, of another authority, or lacks a name.

    Returns whether one was made.
    """
    wanted = [*local_names(), *names]
    key_path, certificate_path = folder / "server.key", folder / "server.crt"
    key = _read_key(key_path)
    if key is not None and _still_good(certificate_path, key, authority, wanted, now):
        return False
    key = ec.generate_private_key(ec.SECP256R1())
    signed = authority.sign_server(key.public_key(), wanted, now)
    # The certificate goes first: should only one be written, the pair does not match and is made again.
    write_file(certificate_path, (signed.pem + authority.pem).encode("ascii"), 0o644)
    write_file(key_path, private_pem(key), 0o600)
    return True


def local_names() -> list[str]:
    """The names under which this machine is always reached."""
    names = ["localhost", "127.0.0.1", "::1"]
    try:
        host = socket.gethostname()
        general_name(host)
    except (OSError, AuthorityError):
        return names
    return [*names, host] if host and host not in names else names


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey | None:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _still_good(
    path: Path, key: ec.EllipticCurvePrivateKey, authority: Authority, wanted: list[str], now: datetime
) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        present = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    names: set[object] = set(present.get_values_for_type(x509.DNSName))
    names |= set(present.get_values_for_type(x509.IPAddress))
    needed = {_plain(name) for name in wanted}
    return (
        authority.issued(certificate)
        and certificate.public_key() == key.public_key()
        and certificate.not_valid_after_utc - now > RENEW_BEFORE
        and needed <= names
    )


def _plain(name: str) -> str | ipaddress.IPv4Address | ipaddress.IPv6Address:
    value = general_name(name).value
    assert isinstance(value, str | ipaddress.IPv4Address | ipaddress.IPv6Address)  # noqa: S101 - of these two kinds
    return value
