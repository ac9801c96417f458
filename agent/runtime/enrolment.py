"""Enrolment and renewal, in a process of their own: ``python -m agent.runtime.enrolment enroll|renew``.

``cryptography`` weighs as much as the whole agent, so the running agent never imports it. The request is read
as JSON from standard input (a token on a command line could be read by others); the answer is one line on
standard output, the exit status 0 or 1.

First contact: the collector's CA is fetched over a connection that nobody vouches for yet, and is believed
only where its digest is the one in the token. Everything after that, the token itself first of all, travels
over a connection that this CA vouches for.
"""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct

import agent
from agent.messages import (
    CA_PATH,
    ENROL_PATH,
    RENEW_PATH,
    UNREADABLE,
    EnrolReply,
    EnrolRequest,
    RenewRequest,
    TokenParts,
)
from agent.runtime.errors import AgentError, EnrolmentError, RefusedError, TransportError
from agent.runtime.evidence import host_facts
from agent.runtime.files import write_atomically
from agent.runtime.identity import Identity, load_identity, own_context, store_renewed, waiting_key
from agent.runtime.keeping import REFUSED
from agent.runtime.keys import asking_key, keep_key, plain_pem
from agent.runtime.proxy import Proxy  # noqa: TC001 - msgspec reads the annotation
from agent.runtime.transport import Address, Connection, Reply, trusting_context
from agent.settings import TPM_DEVICE, StateDirectory, TpmPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.messages import HostFacts

#: Answers that the same question would have again.
_FINAL: Final = (400, 401, 403, 404, 409, 413, 422)


class Order(Struct, frozen=True, forbid_unknown_fields=True):
    """What the process is told on standard input. ``token`` is empty for a renewal, of which ``moved`` and ``rekey``
    are those of :class:`agent.messages.RenewRequest`. ``tpm`` and ``tpm_device``: settings of ``[agent]``."""

    state_dir: str
    url: str = ""
    token: str = ""
    proxy: Proxy | None = None
    root: str = "/"
    moved: bool = False
    rekey: int = 0
    tpm: TpmPolicy = "auto"
    tpm_device: str = TPM_DEVICE

    @property
    def state(self) -> StateDirectory:
        return StateDirectory(Path(self.state_dir), Path(self.tpm_device))


class KeyAndRequest(Struct, frozen=True):
    key_pem: bytes
    csr_pem: str


def make_key_and_request(name: str, key: ec.EllipticCurvePrivateKey | None = None) -> KeyAndRequest:
    """A P-256 key, new where none is given, and a certificate request (RFC 2986) signed by it. ``name`` is only a
    description."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64] or "endpoint")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return KeyAndRequest(
        key_pem=plain_pem(key),
        csr_pem=request.public_bytes(serialization.Encoding.PEM).decode("ascii"),
    )


def certificate_life(certificate_pem: str) -> tuple[float, float]:
    """Return when the certificate begins and ends to be valid, in seconds since the Unix epoch."""
    certificate = x509.load_pem_x509_certificate(certificate_pem.encode("ascii"))
    return (
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
    )


def fetch_ca(address: Address, ca_sha256: str, proxy: Proxy | None = None) -> str:
    """Return the collector's CA certificate (PEM), believed only by its digest.

    Raises:
        EnrolmentError: nobody there, or not the collector the token was made by.
    """
    unknown = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unknown.minimum_version = ssl.TLSVersion.TLSv1_3
    unknown.check_hostname = False
    unknown.verify_mode = ssl.CERT_NONE
    connection = Connection(address, unknown, proxy=proxy)
    try:
        reply = connection.request("GET", CA_PATH, {})
    except TransportError as error:
        raise EnrolmentError(
            f"{address.url}: {error.detail}: is the collector running, and may this machine reach it?"
        ) from error
    finally:
        connection.close()
    try:
        pem = reply.body.decode("ascii")
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    except ValueError as error:
        raise EnrolmentError(f"{address.url}: this is not a Vọng Gác collector's agent port") from error
    if digest != ca_sha256:
        raise EnrolmentError(
            f"{address.url} is not the collector that made this token: "
            "check the address, or ask for a new token"
        )
    return pem


def enrol(
    state: StateDirectory,
    address: Address,
    token_text: str,
    facts: HostFacts,
    proxy: Proxy | None = None,
    tpm: TpmPolicy = "auto",
) -> Identity:
    """Make a key, buy a certificate with the token, and write both to ``state``.

    Raises:
        EnrolmentError: the token is spent, expired or not this collector's; or the collector is not to be
            trusted; or the TPM must have the key and does not take it. Nothing was written.
    """
    try:
        token = TokenParts.decode(token_text)
    except ValueError as error:
        raise EnrolmentError(str(error)) from error
    ca_pem = fetch_ca(address, token.ca_sha256, proxy)
    kept = keep_key(ec.generate_private_key(ec.SECP256R1()), tpm, state.tpm)
    made = make_key_and_request(facts.hostname, kept.key)
    request = EnrolRequest(
        token=token.encode(), csr_pem=made.csr_pem, facts=facts, agent_version=agent.__version__
    )
    connection = Connection(address, trusting_context(ca_pem), proxy=proxy)
    reply = _ask(connection, address, ENROL_PATH, msgspec.json.encode(request))
    not_before, not_after = certificate_life(reply.certificate_pem)
    identity = Identity(
        endpoint_id=reply.endpoint_id,
        collector_url=address.url,
        ca_sha256=token.ca_sha256,
        enrolled_at=time.time(),
        not_before=not_before,
        not_after=not_after,
        machine=facts,
        unsealed=kept.unsealed,
    )
    write_identity(state, kept.content, reply.certificate_pem, ca_pem, identity)
    return identity


def write_identity(
    state: StateDirectory,
    key: bytes,
    certificate_pem: str,
    ca_pem: str,
    identity: Identity,
    *,
    durable: bool = True,
) -> None:
    """Put a first identity in place; ``identity.json`` last, for it is what makes the others count. ``key``: the file's
    content."""
    state.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    state.identity.unlink(missing_ok=True)
    for left in (waiting_key(state), _asking_file(state)):
        left.unlink(missing_ok=True)
    write_atomically(state.ca, ca_pem.encode("ascii"), mode=0o644, durable=durable)
    write_atomically(state.certificate, certificate_pem.encode("ascii"), mode=0o644, durable=durable)
    write_atomically(state.key, key, durable=durable)
    write_atomically(state.identity, msgspec.json.encode(identity), mode=0o644, durable=durable)


def renew(
    state: StateDirectory,
    url: str = "",
    proxy: Proxy | None = None,
    *,
    facts: HostFacts | None = None,
    moved: bool = False,
    rekey: int = 0,
    tpm: TpmPolicy = "auto",
) -> Identity:
    """Exchange key and certificate for new ones, with the old ones as proof. Who is ``moved``, or changes his key
    because others have it, may be given an endpoint of his own. The key that is asked with is kept until the answer is
    there, since by it the collector knows who asks again.

    Raises:
        RefusedError: the collector answered that it will not.
        AgentError: no answer, or not now; the old ones stay.
    """
    old = load_identity(state)
    address = Address.of(url or old.collector_url)
    asking = _asking_file(state)
    parts = moved or bool(rekey)
    # First: where the TPM does not answer now, the key that was asked with is not to be given up for a new one.
    connection = Connection(address, own_context(state), proxy=proxy)
    kept = asking_key(asking, tpm, state.tpm)
    made = make_key_and_request(socket.gethostname(), kept.key)
    request = RenewRequest(csr_pem=made.csr_pem, facts=facts if parts else None, moved=moved, rekey=rekey)
    reply = _ask(connection, address, RENEW_PATH, msgspec.json.encode(request))
    not_before, not_after = certificate_life(reply.certificate_pem)
    identity = msgspec.structs.replace(
        old,
        endpoint_id=reply.endpoint_id,
        not_before=not_before,
        not_after=not_after,
        machine=facts or old.machine,
        rekeyed=rekey or old.rekeyed,
        unsealed=kept.unsealed,
    )
    store_renewed(state, kept.content, reply.certificate_pem.encode("ascii"), identity)
    asking.unlink(missing_ok=True)
    return identity


def _asking_file(state: StateDirectory) -> Path:
    return state.key.with_name(state.key.name + ".asking")


def _ask(connection: Connection, address: Address, path: str, body: bytes) -> EnrolReply:
    try:
        reply = connection.request("POST", path, {"Content-Type": "application/json"}, body)
    except TransportError as error:
        hint = (
            "its certificate does not name this host: use the name or address it was made for"
            if error.code == "untrusted"
            else "is the collector running?"
        )
        raise EnrolmentError(f"{address.url}: {error.detail}: {hint}") from error
    finally:
        connection.close()
    return read_reply(reply)


def read_reply(reply: Reply) -> EnrolReply:
    """Raise :class:`EnrolmentError` with the collector's own words where it refused."""
    if reply.status not in (200, 201):
        problem = reply.problem
        words = problem.detail or f"{problem.title}: ask for a new token"
        kind = RefusedError if reply.status in _FINAL else EnrolmentError
        raise kind(f"the collector refused ({reply.status}): {words}")
    try:
        return msgspec.json.decode(reply.body, type=EnrolReply)
    except UNREADABLE as error:
        raise EnrolmentError(f"the collector's answer cannot be read: {error}") from error


def main() -> int:
    """Exit status 0: done; 1: not done, 2: the collector refused and will again; with the reason as one line."""
    os.umask(0o077)
    actions: dict[str, Callable[[Order], Identity]] = {
        "enroll": lambda order: enrol(
            order.state,
            Address.of(order.url),
            order.token,
            host_facts(Path(order.root)),
            order.proxy,
            order.tpm,
        ),
        "renew": lambda order: renew(
            order.state,
            order.url,
            order.proxy,
            facts=host_facts(Path(order.root)),
            moved=order.moved,
            rekey=order.rekey,
            tpm=order.tpm,
        ),
    }
    try:
        order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
        identity = actions[sys.argv[1]](order)
    except RefusedError as error:
        sys.stdout.write(f"{error}\n")
        return REFUSED
    except (AgentError, OSError, ValueError, msgspec.MsgspecError, KeyError, IndexError) as error:
        sys.stdout.write(f"{error}\n")
        return 1
    sys.stdout.write(msgspec.json.encode(identity).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
