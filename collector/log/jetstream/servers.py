"""What the machines need that keep the log: each server's configuration and certificates, and the collector's own.

The servers speak to each other and to the collectors by mutual TLS under an authority that is used for nothing else, so
no password is needed, and an endpoint's certificate opens nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from collector.enrolment.authority import Authority, general_name, private_pem
from collector.files import write_file
from collector.log.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from collector.settings import DataDirectory

PORT: Final = 4222
_ROUTES_PORT: Final = 6222
#: Where a server's files are to be on its machine, and its streams.
ETC: Final = "/etc/nats"
STORE: Final = "/var/lib/nats"
_LIFE: Final = timedelta(days=3649)
_BACKDATED: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Written:
    """``servers``: one folder a machine. ``settings``: a file with lines for the collectors' ``vonggac.toml``."""

    servers: tuple[Path, ...]
    settings: Path


def write_servers(
    folder: Path, data: DataDirectory, addresses: Sequence[str], max_bytes: int, now: datetime
) -> Written:
    """Write everything into ``folder``, and the collector's certificate into the data directory.

    Done again it makes new certificates under the same authority, which stays in ``folder``.

    Args:
        addresses: of the servers, where they listen: IP addresses or host names.
        max_bytes: how large the log may become on each of them.

    Raises:
        LogError: an even number of servers, or one twice.
        AuthorityError: an address that is none.
    """
    if len(addresses) % 2 == 0 or len(set(addresses)) != len(addresses):
        raise LogError("name one, three or five different servers: a majority of them must be up")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = _authority(folder, now)
    servers = []
    for number, address in enumerate(addresses, 1):
        target = folder / f"server-{number}"
        target.mkdir(mode=0o700, exist_ok=True)
        _write_identity(target, "server", authority, address, now)
        write_file(target / "authority.crt", authority.pem.encode(), 0o600)
        others = [other for other in addresses if other != address]
        text = _configuration(number, address, others, max_bytes)
        write_file(target / "nats-server.conf", text.encode(), 0o600)
        servers.append(target)
    _write_identity(data.ca, "log-client", authority, "collector", now)
    write_file(data.ca / "log-authority.crt", authority.pem.encode(), 0o600)
    settings = folder / "log.toml"
    write_file(settings, _settings(data, addresses, max_bytes).encode(), 0o600)
    return Written(tuple(servers), settings)


def _authority(folder: Path, now: datetime) -> Authority:
    key, certificate = folder / "authority.key", folder / "authority.crt"
    if key.exists():
        return Authority.read(key.read_bytes(), certificate.read_bytes())
    made = Authority.make(now)
    write_file(certificate, made.pem.encode(), 0o600)
    write_file(key, made.key_pem(), 0o600)
    return made


def _write_identity(folder: Path, name: str, authority: Authority, address: str, now: datetime) -> None:
    """A key and its certificate, for both ends of a connection: servers are each other's clients."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(authority.pem.encode())
    signer = serialization.load_pem_private_key(authority.key_pem(), password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)  # noqa: S101 - Authority.read has looked
    usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address[:64])]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(min(now + _LIFE, issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        .add_extension(x509.SubjectAlternativeName([general_name(address)]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    write_file(folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o600)
    write_file(folder / f"{name}.key", private_pem(key), 0o600)


def _configuration(number: int, address: str, others: Sequence[str], max_bytes: int) -> str:
    tls = (
        f'cert_file: "{ETC}/server.crt", key_file: "{ETC}/server.key", ca_file: "{ETC}/authority.crt",'
        " verify: true, timeout: 10"
    )
    routes = ", ".join(f'"nats-route://{_host(other)}:{_ROUTES_PORT}"' for other in others)
    cluster = (
        f'cluster {{\n  name: "vonggac"\n  listen: "{_host(address)}:{_ROUTES_PORT}"\n'
        f"  routes: [{routes}]\n  tls {{ {tls} }}\n}}\n"
        if others
        else ""
    )
    return (
        f'server_name: "log-{number}"\n'
        f'listen: "{_host(address)}:{PORT}"\n'
        "# A batch of events is one message.\n"
        "max_payload: 2MB\n"
        f"tls {{ {tls} }}\n"
        "jetstream {\n"
        f'  store_dir: "{STORE}"\n'
        "  # The stream's bound and a tenth: the disk must have that, and other room beside it.\n"
        f"  max_file_store: {max_bytes + max_bytes // 10}\n"
        "}\n" + cluster
    )


def _settings(data: DataDirectory, addresses: Sequence[str], max_bytes: int) -> str:
    url = ",".join(f"tls://{_host(address)}:{PORT}" for address in addresses)
    return (
        f'[log]\nurl = "{url}"\nreplicas = {min(len(addresses), 3)}\nmax_bytes = {max_bytes}\n'
        f'authority = "{data.ca / "log-authority.crt"}"\n'
        f'certificate = "{data.ca / "log-client.crt"}"\n'
        f'key = "{data.ca / "log-client.key"}"\n'
    )


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
