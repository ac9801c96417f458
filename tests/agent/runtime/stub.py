"""A small real collector for the agent's tests: TLS with client certificates, its own CA, answers to order."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import json
import ssl
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import msgspec
import zstandard
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.messages import Batch, BatchHeader, EnrolReply, TokenParts, decode_batch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FIRST_ID = "00000000-0000-4000-8000-000000000001"
#: Of a machine that says that it is another one.
OWN_ID = "00000000-0000-4000-8000-000000000002"
DAY = dt.timedelta(days=1)


class Authority:
    """A CA. ``pem`` is its certificate, ``sha256`` the digest that a token carries."""

    def __init__(self, name: str = "Test CA") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = dt.datetime.now(dt.UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + 100 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM).decode()
        self.sha256 = hashlib.sha256(self._certificate.public_bytes(serialization.Encoding.DER)).hexdigest()

    def sign(
        self, public_key: Any, name: str, *, hosts: Sequence[str] = (), life: dt.timedelta = 90 * DAY
    ) -> str:
        now = dt.datetime.now(dt.UTC)
        usage = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + life)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if hosts:
            names: list[x509.GeneralName] = []
            for host in hosts:
                try:
                    names.append(x509.IPAddress(ipaddress.ip_address(host)))
                except ValueError:
                    names.append(x509.DNSName(host))
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def server_files(self, folder: Path, hosts: Sequence[str]) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate, private = folder / "server.crt", folder / "server.key"
        certificate.write_text(self.sign(key.public_key(), "collector", hosts=hosts))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, private


class Seen(msgspec.Struct):
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    certified: bool
    resumed: bool


class StubCollector:
    """Takes what comes; ``answers`` are given first, in order, as ``(status, headers, body)``.

    Like the real one it takes a number of a stream once, and answers 202 to a repeat.
    """

    def __init__(self, folder: Path, *, hosts: Sequence[str] = ("127.0.0.1", "localhost")) -> None:
        self.authority = Authority()
        self.seen: list[Seen] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.kept: dict[tuple[str, int], Batch] = {}
        self.repeats = 0
        self.used_tokens: set[str] = set()
        self.certificate_life = 90 * DAY
        self.close_after_answer = False
        certificate, key = self.authority.server_files(folder, hosts)
        authority_file = folder / "stub-ca.crt"
        authority_file.write_text(self.authority.pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(authority_file)
        context.verify_mode = ssl.CERT_OPTIONAL
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # a refused peer is no news
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def token(self) -> str:
        return TokenParts(id=uuid.uuid4().hex[:16], secret="s" * 43, ca_sha256=self.authority.sha256).encode()

    def batches(self) -> list[Batch]:
        return [self.kept[key] for key in sorted(self.kept)]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def enrol(self, body: bytes) -> tuple[int, bytes]:
        request = json.loads(body)
        if request["token"] in self.used_tokens:
            problem = {"type": "urn:vonggac:problem:token", "title": "the token was used", "status": 403}
            return 403, json.dumps(problem).encode()
        self.used_tokens.add(request["token"])
        return 201, self._certify(request["csr_pem"])

    def renew(self, body: bytes) -> tuple[int, bytes]:
        asked = json.loads(body)
        return 200, self._certify(asked["csr_pem"], OWN_ID if asked.get("moved") else FIRST_ID)

    def _certify(self, csr_pem: str, endpoint_id: str = FIRST_ID) -> bytes:
        request = x509.load_pem_x509_csr(csr_pem.encode())
        assert request.is_signature_valid
        reply = EnrolReply(
            endpoint_id=endpoint_id,
            certificate_pem=self.authority.sign(
                request.public_key(), endpoint_id, life=self.certificate_life
            ),
            ca_pem=self.authority.pem,
        )
        return msgspec.json.encode(reply)

    def _take(self, seen: Seen) -> tuple[int, dict[str, str], bytes]:
        if self.answers:
            return self.answers.pop(0)
        if seen.path == "/v1/ca":
            return 200, {}, self.authority.pem.encode()
        if seen.path == "/v1/enroll":
            return (*_with_headers(self.enrol(seen.body)),)
        if not seen.certified:
            return 401, {}, b""
        if seen.path == "/v1/renew":
            return (*_with_headers(self.renew(seen.body)),)
        header = BatchHeader.decode(seen.headers["Vonggac-Batch"])
        if seen.path == "/v1/batches":
            key = (header.stream, header.seq)
            if key in self.kept:
                self.repeats += 1
            else:
                self.kept[key] = decode_batch(zstandard.ZstdDecompressor().decompress(seen.body))
        return 202, {"Vonggac-Time": f"{time.time():.3f}"}, b""

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self) -> None:
                self._serve()

            def do_POST(self) -> None:
                self._serve()

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                assert isinstance(self.connection, ssl.SSLSocket)
                seen = Seen(
                    path=self.path,
                    headers=dict(self.headers.items()),
                    body=body,
                    connection=self.client_address[1],
                    certified=self.connection.getpeercert() is not None,
                    resumed=bool(self.connection.session_reused),
                )
                stub.seen.append(seen)
                status, headers, answer = stub._take(seen)
                self.send_response_only(status)
                self.send_header("Content-Length", str(len(answer)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)
                if stub.close_after_answer:
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
                """Silent."""

        return Handler


def _with_headers(answer: tuple[int, bytes]) -> tuple[int, dict[str, str], bytes]:
    return answer[0], {"Content-Type": "application/json"}, answer[1]
