"""A prepared data directory and enrolled endpoints, made by the collector's own services."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import zstandard
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.messages import BATCH_HEADER, BatchHeader, EnrolRequest, HostFacts
from collector import bootstrap
from collector.enrolment import service
from collector.settings import DataDirectory, load
from collector.state.base import utcnow
from collector.state.database import open_state
from collector.state.tables import Agency
from soc_api.local import free_port
from tests.support.state import state_section
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

    from collector.state.database import StateStore

STREAM = "0123456789abcdef" * 2
BODY = zstandard.compress(b'{"schema":1,"created_at":0}')


def signing_request(key: CertificateIssuerPrivateKeyTypes, **subject: str) -> str:
    """A CSR in PEM; ``subject`` attributes are ones that the collector must ignore."""
    names = [x509.NameAttribute(x509.ObjectIdentifier(_OIDS[name]), value) for name, value in subject.items()]
    algorithm = None if type(key).__name__.startswith("Ed") else hashes.SHA256()
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name(names))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, algorithm)
    )
    return request.public_bytes(serialization.Encoding.PEM).decode("ascii")


_OIDS = {"cn": "2.5.4.3", "o": "2.5.4.10"}


@dataclass
class Site:
    """A data directory, ready to serve from, with one agency."""

    data: DataDirectory
    prepared: bootstrap.Prepared
    state: StateStore
    agency_id: int
    port: int

    def token(self, *, simulated: bool = False, hours: float = 1.0) -> str:
        with self.state.write() as session:
            return service.create_token(
                session,
                agency_id=self.agency_id,
                simulated=simulated,
                created_by="test",
                now=utcnow(),
                lifetime=timedelta(hours=hours),
                ca_sha256=self.prepared.authority.sha256,
            )

    def request(self, token: str, key: CertificateIssuerPrivateKeyTypes | None = None) -> EnrolRequest:
        return EnrolRequest(
            token=token,
            csr_pem=signing_request(key or ec.generate_private_key(ec.SECP256R1())),
            facts=HostFacts(hostname="pc-01"),
            agent_version="0.1.0",
        )

    def enrol(self, folder: Path) -> Endpoint:
        """An endpoint with its key and certificate in ``folder``."""
        key = ec.generate_private_key(ec.SECP256R1())
        with self.state.write() as session:
            reply = service.enrol(session, self.request(self.token(), key), self.prepared.authority, utcnow())
        return Endpoint.write(folder, reply.endpoint_id, key, reply.certificate_pem, self)

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.data.ca / "ca.crt"))

    def connect(self, context: ssl.SSLContext | None = None) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=context or self.trust(), timeout=20
        )

    def start_ingest(self, errors: Path | None = None) -> subprocess.Popen[bytes]:
        """The real ingest process, ready. The caller ends it."""
        output = (errors or self.data.logs / "ingest.log").open("ab")
        with output:
            process = subprocess.Popen(
                [sys.executable, "-m", "collector.process", "ingest", "--data", str(self.data.root)],
                stderr=output,
            )
        wait_until(lambda: self.answers(process), seconds=30, what="ingest to answer", every=0.05)
        return process

    def answers(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, f"ingest ended with {process.returncode}"
        connection = self.connect()
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


@dataclass
class Endpoint:
    """An enrolled endpoint as seen from itself."""

    id: str
    certificate_pem: str
    context: ssl.SSLContext
    site: Site

    @classmethod
    def write(
        cls, folder: Path, endpoint_id: str, key: ec.EllipticCurvePrivateKey, certificate_pem: str, site: Site
    ) -> Endpoint:
        folder.mkdir(parents=True, exist_ok=True)
        key_path, certificate_path = folder / "agent.key", folder / "agent.crt"
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        certificate_path.write_text(certificate_pem)
        context = site.trust()
        context.load_cert_chain(certificate_path, key_path)
        return cls(endpoint_id, certificate_pem, context, site)

    def connect(self) -> http.client.HTTPSConnection:
        return self.site.connect(self.context)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    connection.request(method, path, body, headers or {})
    reply = connection.getresponse()
    content = reply.read()
    return Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, content)


def send_batch(
    connection: http.client.HTTPConnection, seq: int, body: bytes = BODY, *, path: str = "/v1/batches"
) -> Answer:
    header = BatchHeader(stream=STREAM, seq=seq, sent_at=time.time()).encode()
    return ask(connection, "POST", path, body, {BATCH_HEADER: header})


def make_site(folder: Path, settings: str = "") -> Site:
    """``settings`` are further lines of the ``[ingest]`` section."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = DataDirectory(folder)
    data.create()
    port = free_port()
    data.settings.write_text(f"{state_section()}[ingest]\nport = {port}\n{settings}\n")
    prepared = bootstrap.prepare(data, load(data))
    state = open_state(load(data), data)
    with state.write() as session:
        agency = Agency(code="ttcntt", name="Trung tâm CNTT", search_name="trung tam cntt", level="tinh")
        session.add(agency)
        session.flush()
        agency_id = agency.id
    return Site(data, prepared, state, agency_id, port)
