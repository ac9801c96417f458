"""What the fuzzer has found, kept."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.collectors.common.auth import auth_fields
from agent.collectors.common.firewall import UnreadableRulesError, parse_nft
from agent.runtime.status import read_status
from agent.runtime.transport import Reply
from agent.settings import Settings
from agent.settings_file import SettingsError, load_settings
from agent.windows.system import parse_adapters
from collector.enrolment.errors import CertificateRequestError
from collector.enrolment.requests import read_request
from collector.vulnerabilities.errors import FeedError, RecordError
from collector.vulnerabilities.kev import parse_kev
from collector.vulnerabilities.nvd import parse_nvd
from collector.vulnerabilities.reading import read_feed
from tests.collector.vulnerabilities.feeds import write_zip
from tests.fuzz.watchdog import limited

if TYPE_CHECKING:
    from pathlib import Path

    from agent.windows.wmi import Row

_LONG = 16_000


@pytest.mark.parametrize(
    ("program", "start", "piece"),
    [
        ("login", "FAILED LOGIN (1) on '", "' from '' FOR '"),
        ("su", "(to root", ") x on "),
        ("su", "FAILED SU (", ") "),
        ("login", "pam_unix(a:session): session opened for user ", " by (uid=1"),
        ("gpasswd", "user ", " added by  to group "),
    ],
)
def test_a_line_made_to_be_tried_over_and_over_is_read_at_once(program: str, start: str, piece: str) -> None:
    message = start + piece * (_LONG // len(piece)) + " "
    with limited(5):
        for _ in range(20):
            auth_fields(program, 1, message)


def test_the_host_of_a_failed_login_is_told_where_it_is_an_address() -> None:
    line = "FAILED LOGIN (3) on '/dev/pts/1' from '{}' FOR 'an' FOR 'root', Authentication failure"
    (known,) = auth_fields("login", 1, line.format("192.0.2.7"))
    assert (known["SourceIP"], known["Terminal"], known["User"]) == (
        "192.0.2.7",
        "/dev/pts/1",
        "an' FOR 'root",
    )
    (named,) = auth_fields("login", 1, line.format("pc.lan"))
    assert "SourceIP" not in named


def test_names_in_a_session_with_a_number_are_told_apart() -> None:
    opened = "pam_unix(login:session): session opened for user {} by an(uid=1000)"
    (fields,) = auth_fields("login", 1, opened.format("root(uid=0)"))
    assert (fields["TargetUser"], fields["TargetUid"], fields["User"], fields["ByUid"]) == (
        "root",
        0,
        "an",
        1000,
    )
    (fields,) = auth_fields("login", 1, opened.format("root"))
    assert fields["TargetUser"] == "root"
    assert "TargetUid" not in fields


@pytest.mark.parametrize("answer", [b'{"nftables": "\x80"}', b"[" * 5000, b"1", b"null"])
def test_rules_that_are_no_json_are_said_to_be_unreadable(answer: bytes) -> None:
    with pytest.raises(UnreadableRulesError):
        parse_nft(answer)


@pytest.mark.parametrize("body", [b'{"type": "\x80"}', b'{"x":' + b"[" * 5000])
def test_a_refusal_in_no_words_is_told_by_its_number(body: bytes, tmp_path: Path) -> None:
    assert Reply(status=503, body=body).problem.title == "HTTP 503"
    status = tmp_path / "status.json"
    status.write_bytes(body)
    assert read_status(status) is None


@pytest.mark.parametrize("text", ["[" * 5000, "9" * 5000, "\udce3"])
def test_a_setting_beyond_reason_names_its_place(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"collectors\.disabled|surrogates"):
        load_settings(Settings, None, {"VONGGAC_AGENT_COLLECTORS_DISABLED": text}, "VONGGAC_AGENT")
    path = tmp_path / "agent.toml"
    path.write_text(f"[collectors]\ndisabled = {text}", encoding="utf-8", errors="surrogateescape")
    with pytest.raises(SettingsError, match=r"agent\.toml"):
        load_settings(Settings, path, {}, "VONGGAC_AGENT")


def test_an_adapter_numbered_with_a_list_is_told_without_its_settings() -> None:
    adapter: Row = {"NetConnectionID": "Ethernet", "Index": ["1"]}
    (told,) = parse_adapters([adapter], [{"Index": ["1"], "IPAddress": ["192.0.2.1"]}])
    assert told["name"] == "Ethernet"


def test_a_signing_request_of_no_known_version_is_refused() -> None:
    named = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = named.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    der = request.public_bytes(serialization.Encoding.DER)
    assert der.count(b"\x02\x01\x00") >= 1
    broken = base64.encodebytes(der.replace(b"\x02\x01\x00", b"\x02\x01\x40", 1)).decode("ascii")
    with pytest.raises(CertificateRequestError):
        read_request(f"-----BEGIN CERTIFICATE REQUEST-----\n{broken}-----END CERTIFICATE REQUEST-----\n")


def test_a_zip_with_a_name_that_is_no_text_is_no_feed(tmp_path: Path) -> None:
    whole = write_zip(tmp_path / "whole.zip", [{"id": "tên"}]).read_bytes()
    path = tmp_path / "feed.zip"
    path.write_bytes(whole.replace("tên".encode(), b"t\xc2\xc2n", 1))  # in the member's own header
    with pytest.raises(FeedError, match=r"feed\.zip"):
        list(read_feed(path)[1])


@pytest.mark.parametrize("parse", [parse_nvd, parse_kev])
def test_half_a_character_in_a_feed_spoils_its_record_alone(parse: object) -> None:
    name = "CVE-2026-\ud8001"
    item = {"cve": {"id": name}, "cveID": name, "dateAdded": "2026-11-05"}
    with pytest.raises(RecordError):
        parse(item)  # type: ignore[operator]  # one of the two
