"""Parsers of what travels: between agent and collector, through proxies, into files of the agent, and feeds."""

from __future__ import annotations

import io
import json
import ssl
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import zstandard
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from agent import messages, reasons, settings_file, steered
from agent.assessment import form, values
from agent.messages import BatchHeader, TokenParts, Wanted
from agent.runtime import answers, enrolment, identity, proxy, sealing, spool_file, status, tpm, transport
from agent.runtime.errors import EnrolmentError, NotEnrolledError, TornFileError, TpmError, TransportError
from agent.settings import Settings, StateDirectory
from agent.update import choosing, manifest, signing
from agent.update.errors import ReleaseError
from collector.detect import assessment, decode
from collector.detect import values as cleaning
from collector.devices import macs
from collector.documents import diff
from collector.enrolment import requests
from collector.enrolment.errors import CertificateRequestError
from collector.ingest import envelope, limits, peer
from collector.ingest.problems import RefusalError
from collector.steering.releases import rollout
from collector.steering.releases import standing as release_standing
from collector.steering.settings import standing as settings_standing
from collector.vulnerabilities import cvss, ecosystems, judging, kev, nvd, osv, reading, versions
from collector.vulnerabilities import windows as products
from collector.vulnerabilities.errors import FeedError, RecordError
from collector.vulnerabilities.models import Interval
from tests.collector.pipeline import T0
from tests.collector.vulnerabilities import feeds
from tests.fuzz.parser import Parser, parser

if TYPE_CHECKING:
    from collections.abc import Callable

_STREAM: Final = "0123456789abcdef" * 2
_SCRATCH: Final = Path(tempfile.gettempdir())


class _Tunnel:
    """A socket whose other end has said ``data`` and gone."""

    session = None

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def makefile(self, _mode: str) -> io.BytesIO:
        return self._data

    def recv(self, size: int) -> bytes:
        return self._data.read(size)

    def sendall(self, data: bytes) -> None: ...

    def settimeout(self, seconds: float) -> None: ...

    def close(self) -> None: ...


class _Answered(transport.Connection):
    """A connection whose other end answers every request so."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(transport.Address("collector", 8444), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        self._answer = answer

    def _open(self) -> ssl.SSLSocket:
        return cast("ssl.SSLSocket", _Tunnel(self._answer))


def _reply(answer: bytes) -> object:
    reply = _Answered(answer).request("POST", messages.BATCH_PATH, {}, b"x")
    return reply.problem


def _translated(text: str) -> object:
    return reasons.translate(text, "vi"), reasons.translate(text, "en")


def _enrol_reply(body: bytes) -> object:
    reply = transport.Reply(status=200, body=body)
    return reply.problem, enrolment.read_reply(reply)


def _let_through(answer: bytes) -> None:
    proxy.let_through(proxy.read_answer(cast("Any", _Tunnel(answer)), float("inf")))


def _of_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """A reader of files, as one of bytes."""

    def call(data: bytes) -> object:
        with tempfile.TemporaryDirectory(prefix="fuzz-", dir=_SCRATCH) as folder:
            path = Path(folder) / name
            path.write_bytes(data)
            return read(path)

    return call


def _settings(path: Path) -> object:
    return settings_file.load_settings(Settings, path, {}, "VONGGAC_AGENT")


def _variable(text: str) -> object:
    environ = {"VONGGAC_AGENT_COLLECTOR_URL": text, "VONGGAC_AGENT_COLLECTORS_DISABLED": "[]"}
    return settings_file.load_settings(Settings, None, environ, "VONGGAC_AGENT")


def _feed(path: Path) -> object:
    kind, records = reading.read_feed(path)
    return kind, [each.fault for each in records]


def _header(value: bytes) -> object:
    return envelope.read_header([(b"vonggac-batch", value)], first=1)


def _other_headers(value: bytes) -> object:
    importance = [(b"vonggac-importance", value)]
    return envelope.read_importance(importance, 10), envelope.declared_length([(b"content-length", value)])


def _wanted(text: str) -> object:
    wanted = Wanted.decode(text)
    return Wanted.decode(wanted.encode()), messages.Importance.of(text)


def _differences(value: Any) -> object:
    pair = value if isinstance(value, list) and len(value) == 2 else [value, {}]
    old, new = (each if isinstance(each, dict) else {} for each in pair)
    checks = assessment.difference_of(old, new), assessment.changes(old, new), assessment.tally(new)
    packages = diff.packages_difference(old.get("packages"), new.get("packages"))
    return diff.difference(old, new), packages, checks


def _update(value: Any) -> object:
    told = release_standing.told_of(value)
    machines = [rollout.Machine(each, 0, each, 1.0, told) for each in ("0.2.0", "0.3.0")]
    course = rollout.Course("0.3.0", rollout.RUNNING, 0, 0.0)
    return rollout.judge(course, machines, 2e5), [each.trouble("0.3.0") for each in machines]


def _settled(value: Any) -> object:
    told = settings_standing.told_of(value)
    return settings_standing.state_of(3, told), hash(told)


def _clean(value: Any) -> object:
    return msgspec.json.encode(cleaning.clean(value, max_leaves=1000))


def _addresses(value: Any) -> object:
    mac = macs.parse_mac(value)
    if mac is not None:
        macs.is_locally_administered(mac)
    return macs.parse_ip(value), macs.is_inner_interface(value)


def _version(text: str) -> object:
    compared: list[object] = []
    for scheme in ("dpkg", "rpm", "numbers"):
        try:
            one, other = versions.parse_version(scheme, text), versions.parse_version(scheme, "1.2")
        except versions.VersionError:
            continue
        compared.append((one < other, one == other, hash(one)))
        compared.append(judging.judge(scheme, text, [_STATEMENT]))
    return compared


def _matched(value: Any) -> object:
    host = value if isinstance(value, dict) else {}
    packages = host.get("packages")
    ecosystem = ecosystems.ecosystem_of(host)
    sources = [
        ecosystems.sources_of(
            "dpkg", {"name": "", "version": "", **{str(n): str(v) for n, v in each.items()}}
        )
        for each in (packages if isinstance(packages, list) else [])
        if isinstance(each, dict)
    ]
    return ecosystem, sources


_STATEMENT: Final = judging.Statement(
    names=("CVE-2026-1001",),
    feed="a feed",
    intervals=(Interval("0", "3.0.15", ""), Interval("4", "", "4.1")),
    record_id="R-1",
    summary="",
    severity="high",
    score=7.5,
    published_at=None,
    modified_at=None,
)


def _csr() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pc")])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _zip(content: Any) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", json.dumps(content))
        archive.writestr("b.json", b"{}")
    return packed.getvalue()


_BATCH: Final = msgspec.json.encode(
    {
        "schema": 1,
        "created_at": T0,
        "events": [
            {
                "time": 1.0,
                "logsource": {"product": "linux", "service": "auth"},
                "fields": {"User": "an", "n": [1]},
            }
        ],
        "documents": [{"kind": "host", "observed_at": 2.0, "body": {"name": "pc", "deep": {"a": [1, None]}}}],
        "metrics": [
            {"name": "load.cpu_ratio", "time": 1.0, "value": 0.5, "unit": "ratio", "attributes": {"a": "b"}}
        ],
        "health": [{"name": "host", "ok": True, "duration_seconds": 0.1}],
        "dropped": {"events": 3},
    }
)
_FRAME: Final = zstandard.ZstdCompressor(level=1).compress(_BATCH)
_ANSWER: Final = (
    b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nRetry-After: 7\r\nVonggac-Time: 1795294800.5\r\n"
    b"Vonggac-Takes: status\r\nVonggac-Wanted: settings=3;release=0.2.0\r\n\r\nok"
)
_PROBLEM: Final = b'{"type":"urn:vonggac:problem:busy","title":"Busy","status":503,"detail":"later"}'
_WHEEL: Final = "vonggac-0.2.0-py3-none-any.whl"
_MANIFEST: Final = msgspec.json.encode(
    manifest.Manifest(
        manifest.FORMAT, manifest.PRODUCT, "0.2.0", 1, T0, [manifest.Wheel(_WHEEL, 1000, "f" * 64)]
    )
)
_PUBLIC_KEY: Final = (
    ed25519.Ed25519PrivateKey.generate()
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
)
_IDENTITY: Final = msgspec.json.encode(
    identity.Identity("e", "https://c:8444", "f" * 64, enrolled_at=1.0, not_before=1.0, not_after=2.0)
)
_OSV: Final = json.dumps(
    feeds.osv(
        "DEBIAN-CVE-2026-1001",
        ("Debian:12", "openssl", feeds.below("3.0.15-1~deb12u1")),
        severity=[{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
    )
).encode()
_NVD: Final = feeds.nvd_item(
    "CVE-2026-1001", 7.5, {"criteria": "cpe:2.3:a:7-zip:7-zip:*:*:*:*:*:*:*:*", "versionEndExcluding": "24"}
)

PARSERS: Final[tuple[Parser, ...]] = (
    parser(
        "bytes",
        manifest.read_manifest,
        manifest.read_manifest,
        manifest.version_key,
        seeds=(_MANIFEST,),
        raises=(ReleaseError,),
        longest=manifest.MOST_MANIFEST_BYTES,
    ),
    parser("text", manifest.version_key, manifest.version_key, seeds=("1.2.3rc1", "0.1.0"), longest=255),
    parser("text", choosing.tags_of, choosing.tags_of, seeds=(_WHEEL,), raises=(ReleaseError,), longest=205),
    parser(
        "bytes",
        _of_file("release.pub", signing.load_public),
        signing.load_public,
        seeds=(_PUBLIC_KEY,),
        raises=(ReleaseError,),
    ),
    parser(
        "value",
        steered.read_steered,
        steered.read_steered,
        seeds=({"disabled": ["usb_storage"], "intervals": {"host": 3600}},),
        raises=(msgspec.ValidationError, UnicodeEncodeError, RecursionError),
    ),
    parser(
        "bytes",
        messages.decode_batch,
        messages.decode_batch,
        seeds=(_BATCH,),
        longest=1 << 20,
        raises=(msgspec.MsgspecError, UnicodeDecodeError, RecursionError),
    ),
    parser(
        "text",
        BatchHeader.decode,
        BatchHeader.decode,
        seeds=(f"{_STREAM};1;1795294800.123",),
        raises=(ValueError,),
    ),
    parser(
        "text",
        _wanted,
        Wanted.decode,
        messages.Importance.of,
        seeds=("settings=3;release=0.2.0", "status", "release=1"),
    ),
    parser(
        "text",
        TokenParts.decode,
        TokenParts.decode,
        raises=(ValueError,),
        seeds=(TokenParts("0" * 16, "a" * 43, "f" * 64).encode(),),
    ),
    parser(
        "bytes",
        spool_file.decode_file,
        spool_file.decode_file,
        raises=(TornFileError,),
        seeds=(spool_file.encode_file(spool_file.Head(1.0, cursors={"a": {"b": 1}}), _FRAME),),
    ),
    parser(
        "text",
        spool_file.FileName.decode,
        spool_file.FileName.decode,
        longest=255,
        seeds=("000000000001.2.zst", "000000000001.2.77.zst"),
    ),
    parser(
        "bytes",
        _reply,
        transport.Connection.request,
        answers.read_answer,
        raises=(TransportError,),
        seeds=(_ANSWER,),
        longest=1 << 17,
    ),
    parser(
        "bytes",
        _enrol_reply,
        enrolment.read_reply,
        raises=(EnrolmentError,),
        seeds=(_PROBLEM, msgspec.json.encode(messages.EnrolReply("e", "c", "a"))),
        longest=1 << 16,
    ),
    parser(
        "bytes",
        _let_through,
        proxy.let_through,
        proxy.read_answer,
        raises=(ValueError,),
        longest=1 << 17,
        seeds=(
            b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n",
            b"HTTP/1.0 407 Who are you?\r\n\r\n",
        ),
    ),
    parser(
        "text",
        proxy.Proxy.of,
        proxy.Proxy.of,
        raises=(ValueError,),
        seeds=("http://an@[2001:db8::1]:3128/",),
        longest=4096,
    ),
    parser(
        "text",
        transport.Address.of,
        transport.Address.of,
        raises=(ValueError,),
        seeds=("https://c.lan:8444",),
        longest=4096,
    ),
    parser(
        "bytes",
        _of_file("agent.toml", _settings),
        settings_file.load_settings,
        raises=(settings_file.SettingsError,),
        seeds=(b'[collector]\nurl = "https://c:8444"\n[collectors]\ndisabled = ["usb_storage"]\n',),
    ),
    parser(
        "text",
        _variable,
        settings_file.load_settings,
        raises=(settings_file.SettingsError,),
        seeds=('["a", "b"]', "https://c"),
    ),
    parser(
        "bytes",
        _of_file(
            "identity.json", lambda path: identity.load_identity(StateDirectory(path.parent), finish=False)
        ),
        identity.load_identity,
        raises=(NotEnrolledError,),
        seeds=(_IDENTITY,),
    ),
    parser(
        "bytes",
        sealing.decode,
        sealing.decode,
        raises=(TpmError,),
        seeds=(sealing.encode(tpm.Sealed(public=b"p" * 48, private=b"q" * 249)),),
    ),
    parser(
        "bytes",
        tpm.sealed_of,
        tpm.sealed_of,
        raises=(TpmError,),
        seeds=(b"\0\0\0\x06\0\x02ab\0\x02cd",),
    ),
    parser(
        "bytes",
        _of_file("status.json", status.read_status),
        status.read_status,
        seeds=(msgspec.json.encode(status.Status(version="1", pid=1, started_at=1.0)),),
    ),
    parser(
        "bytes",
        form.decoder().decode,
        form.decoder,
        raises=(msgspec.MsgspecError, UnicodeDecodeError, RecursionError),
        seeds=((Path(form.__file__).parent / "checks" / "linux.json").read_bytes()[:60_000],),
    ),
    parser("text", values.whole, values.whole, seeds=("12", " 7 ", "-3", "0x10")),
    parser("bytes", decode.decode, decode.decode, decode.decompress, seeds=(_FRAME,), longest=1 << 20),
    parser(
        "bytes",
        lambda data: decode.decode(zstandard.ZstdCompressor(level=1).compress(data)),
        decode.decode,
        seeds=(_BATCH,),
        longest=1 << 20,
    ),
    parser(
        "bytes",
        _header,
        envelope.read_header,
        raises=(RefusalError,),
        seeds=(f"{_STREAM};1;1795294800.123".encode(),),
    ),
    parser(
        "bytes",
        _other_headers,
        envelope.read_importance,
        envelope.declared_length,
        raises=(RefusalError,),
        seeds=(b"status", b"1024"),
        longest=4096,
    ),
    parser("bytes", envelope.check_frame, envelope.check_frame, raises=(RefusalError,), seeds=(_FRAME,)),
    parser(
        "value",
        _differences,
        diff.difference,
        diff.packages_difference,
        assessment.difference_of,
        assessment.changes,
        assessment.tally,
        seeds=(
            [
                {
                    "a": 1,
                    "b": {"c": [1]},
                    "packages": [{"name": "x", "version": "1", "architecture": "a", "manager": "dpkg"}],
                },
                {"a": 2, "packages": [{"name": "x", "version": "2", "architecture": "a", "manager": "dpkg"}]},
            ],
            [
                {"checks": {"ssh-root": {"result": "passed"}}},
                {"checks": {"ssh-root": {"result": "failed", "reason": "x"}}},
            ],
        ),
    ),
    parser(
        "value",
        _update,
        release_standing.told_of,
        seeds=(
            {"update": {"wanted": "0.3.0", "state": "refused", "code": "disk", "detail": "x", "starts": 12}},
            {"update": {"last": {"version": "0.3.0", "state": "refused", "code": "build", "detail": "x"}}},
        ),
    ),
    parser(
        "value",
        _settled,
        settings_standing.told_of,
        seeds=(
            {"settings": {"number": 3, "state": "trying", "stated": ["spool_bytes"]}},
            {"settings": {"number": 2, "failed": 3, "failure": "rolled_back", "reason": "x"}},
        ),
    ),
    parser(
        "value",
        _clean,
        cleaning.clean,
        raises=(cleaning.UnusableValueError,),
        seeds=({"a": [1, {"b": "x\0"}]},),
    ),
    parser(
        "value",
        _addresses,
        macs.parse_mac,
        macs.parse_ip,
        macs.is_inner_interface,
        seeds=("02-FC-00-00-00-01", "192.0.2.9", "fe80::1%eth0", "docker0"),
    ),
    parser(
        "text",
        requests.read_request,
        requests.read_request,
        raises=(CertificateRequestError,),
        seeds=(_csr(),),
        longest=8192,
    ),
    parser(
        "bytes", peer.parse_client_cert, peer.parse_client_cert, raises=(ValueError,), seeds=(b":AAECAwQ=:",)
    ),
    parser(
        "text",
        _translated,
        reasons.translate,
        longest=reasons.LONGEST,
        seeds=(
            reasons.TOO_MANY_INCLUDED(path="/etc/ssh/sshd_config"),
            reasons.CONNECTOR(why="Permission denied; Permission denied"),
            reasons.AT(where="/etc/x", system_error="Permission denied"),
            reasons.NOT_INSTALLED(program="dnf"),
        ),
    ),
    parser(
        "text",
        products.product_of,
        products.product_of,
        seeds=("7-Zip 24.09 (x64)", "Mozilla Firefox (x64 vi)"),
        longest=255,
    ),
    parser(
        "text",
        limits.is_loopback,
        limits.is_loopback,
        seeds=("127.0.0.1", "::1", "::ffff:127.0.0.1"),
        longest=255,
    ),
    parser("bytes", osv.parse_osv, osv.parse_osv, raises=(RecordError,), seeds=(_OSV,), longest=1 << 20),
    parser("value", nvd.parse_nvd, nvd.parse_nvd, raises=(RecordError,), seeds=(_NVD,)),
    parser(
        "value",
        kev.parse_kev,
        kev.parse_kev,
        raises=(RecordError,),
        seeds=(feeds.kev("CVE-2026-1001")["vulnerabilities"][0],),
    ),
    parser(
        "text",
        cvss.base_score,
        cvss.base_score,
        longest=4096,
        seeds=("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "CVSS:4.0/AV:N/AC:L/AT:N"),
    ),
    parser(
        "text",
        _version,
        versions.parse_version,
        judging.judge,
        seeds=("1:3.0.11-1~deb12u2", "3.0.7-27.el9_4", "24.0.9.1"),
        longest=512,
    ),
    parser(
        "value",
        _matched,
        ecosystems.ecosystem_of,
        ecosystems.sources_of,
        seeds=(
            {
                "os": {"name": "Debian GNU/Linux", "version": "12", "family": "debian"},
                "packages": [{"name": "a", "version": "1", "source": "b"}],
            },
            {"os": {"name": "Rocky Linux", "version": "9.4", "family": "rhel"}, "packages": []},
        ),
    ),
    parser(
        "bytes",
        _of_file("feed.json", _feed),
        reading.read_feed,
        raises=(FeedError,),
        longest=1 << 19,
        seeds=(
            _OSV,
            json.dumps(feeds.nvd(_NVD, _NVD)).encode(),
            json.dumps(feeds.kev("CVE-2026-1001", "CVE-2026-1002")).encode(),
            _zip(json.loads(_OSV)),
            _zip(feeds.kev("CVE-2026-1001")),
        ),
    ),
)
