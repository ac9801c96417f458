from __future__ import annotations

import calendar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collectors.antivirus_clamav import parse_last_scan, real_time
from agent.collectors.antivirus_clamav_log import without_repeats
from agent.collectors.common.clamd import (
    Configuration,
    Finding,
    Version,
    malware_event,
    parse_configuration,
    parse_ctime,
    parse_found,
    parse_version,
)
from tests.agent.collectors.support import CAPTURED, fixture_bytes, fixture_lines, fixture_text

BUILT = calendar.timegm((2023, 7, 6, 7, 29, 38))
MD5 = "44d88612fea8a8f36de82e1278abb02f"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (b"ClamAV 1.0.1/26961/Thu Jul  6 07:29:38 2023\0", Version("1.0.1", "26961", float(BUILT))),
        (b"ClamAV 1.4.6\0", Version("1.4.6", None, None)),
        (b"COMMAND UNAVAILABLE\0", Version()),
        (b"UNKNOWN COMMAND\0", Version()),
        (b"ClamAV 1.0.1/26961/yesterday\0", Version("1.0.1", "26961", None)),
        (b"", Version()),
    ],
)
def test_what_clamd_does_not_tell_is_not_known(reply: bytes, expected: Version) -> None:
    assert parse_version(reply) == expected


def test_debians_configuration_names_socket_and_log() -> None:
    found = parse_configuration(fixture_text("clamav/debian_clamd.conf"))
    assert found.sockets == ["/var/run/clamav/clamd.ctl"]
    assert (found.log_file, found.log_time, found.tcp) == ("/var/log/clamav/clamav.log", True, None)
    assert found.on_access_paths == []


def test_a_tcp_socket_and_watched_folders_are_found_whatever_the_case() -> None:
    found = parse_configuration(
        '# LocalSocket /no\ntcpsocket 3310\nTCPAddr 0.0.0.0\nOnAccessIncludePath "/home"\nOnAccessMountPath /srv\n'
    )
    assert found == Configuration(tcp=("127.0.0.1", 3310), on_access_paths=["/home", "/srv"])


def test_findings_in_clamds_log_name_file_signature_time_and_digest() -> None:
    findings = parse_found(fixture_lines("clamav/clamd.log"))
    assert findings[0] == Finding(
        time=float(calendar.timegm((2026, 11, 21, 20, 34, 6))),
        filename="/home/alice/Downloads/eicar.com",
        signature="Eicar-Test-Signature.UNOFFICIAL",
        md5=MD5,
    )
    assert {f.filename for f in findings} == {
        "/home/alice/Downloads/eicar.com",
        "/home/alice/Downloads/tệp: lạ FOUND.txt",
        "/home/alice/Downloads/new\nline.txt",
        "/home/alice/watch/e.com",
    }


def test_findings_in_clamonaccs_log_have_no_time() -> None:
    findings = parse_found(fixture_lines("clamav/clamonacc.log"), stamped=False)
    assert {(f.time, f.filename, f.md5) for f in findings} == {(None, "/home/alice/watch/e.com", "")}


def test_a_log_of_unknown_kind_tells_itself_whether_it_has_times() -> None:
    stamped = [b"Sat Nov 21 20:34:06 2026 -> /tmp/x", b"y: Evil FOUND"]
    assert [f.filename for f in parse_found(stamped, stamped=None)] == ["/tmp/x\ny"]
    plain = [b"/a: Evil FOUND", b"/b: Evil FOUND"]
    assert [f.filename for f in parse_found(plain, stamped=None)] == ["/a", "/b"]


def test_a_file_name_with_a_line_break_does_not_pass_for_another_file() -> None:
    lines = [b"Sat Nov 21 20:34:06 2026 -> /tmp/x", b"/etc/passwd: Evil FOUND"]
    assert [f.filename for f in parse_found(lines)] == ["/tmp/x\n/etc/passwd"]


def test_the_same_finding_is_told_once_a_minute() -> None:
    seen: dict[str, float] = {}
    one = Finding(time=CAPTURED, filename="/a", signature="S")
    unstamped = Finding(time=None, filename="/a", signature="S")
    other = Finding(time=CAPTURED, filename="/b", signature="S")
    assert without_repeats([one, unstamped, other], seen, CAPTURED) == [one, other]
    assert without_repeats([one], seen, CAPTURED + 5) == []
    later = Finding(time=CAPTURED + 61, filename="/a", signature="S")
    assert without_repeats([later], seen, CAPTURED + 61) == [later]


def test_what_is_remembered_of_findings_stays_small() -> None:
    seen: dict[str, float] = {}
    many = [Finding(time=CAPTURED + n, filename=f"/{n}", signature="S") for n in range(1000)]
    assert len(without_repeats(many, seen, CAPTURED)) == 1000
    assert len(seen) == 128


def test_a_finding_is_sigmas_antivirus_event() -> None:
    event = malware_event(Finding(time=CAPTURED, filename="/a", signature="S", md5=MD5), CAPTURED)
    assert (event.logsource.category, event.logsource.product) == ("antivirus", "linux")
    assert event.time == CAPTURED
    assert {k: event.fields[k] for k in ("Signature", "Filename", "Action", "Hashes")} == {
        "Signature": "S",
        "Filename": "/a",
        "Action": "detected",
        "Hashes": f"MD5={MD5}",
    }


def test_a_time_far_in_the_future_is_replaced_by_now() -> None:
    assert malware_event(Finding(time=CAPTURED * 2, filename="/a", signature="S"), CAPTURED).time == CAPTURED


def test_a_scan_log_tells_when_the_last_scan_ended() -> None:
    assert parse_last_scan(fixture_bytes("clamav/clamdscan.log")) == calendar.timegm(
        (2026, 11, 21, 20, 59, 2)
    )
    assert parse_last_scan(fixture_bytes("clamav/clamd.log")) is None


@pytest.mark.parametrize(
    ("state", "running", "configuration", "expected"),
    [
        ("on", False, Configuration(on_access_paths=["/home"]), "off"),
        ("on", True, Configuration(on_access_paths=["/home"]), "on"),
        ("off", True, Configuration(on_access_paths=["/home"]), "off"),
        ("unknown", True, Configuration(on_access_paths=["/home"]), "unknown"),
        ("on", True, Configuration(), "unknown"),
        ("on", True, None, "unknown"),
    ],
)
def test_scanning_on_access_is_on_only_where_everything_for_it_is_there(
    state: str, running: bool, configuration: Configuration | None, expected: str
) -> None:
    answer, reason = real_time(state, running, configuration)
    assert answer == expected
    assert (reason == "") == (expected == "on")


@given(st.binary(max_size=200))
def test_no_reply_breaks_the_version_reader(reply: bytes) -> None:
    version = parse_version(reply)
    assert version.database is None or version.engine is not None


@given(st.text(max_size=300))
def test_no_text_breaks_the_readers(text: str) -> None:
    parse_configuration(text)
    assert parse_ctime(text) is None or text.strip()
    assert parse_last_scan(text.encode()) is None or "End Date:" in text


@given(
    st.lists(
        st.one_of(st.binary(max_size=80), st.sampled_from([b"Sat Nov 21 20:34:06 2026 -> /x: Y FOUND"]))
    ),
    st.booleans(),
)
def test_no_log_breaks_the_findings(lines: list[bytes], stamped: bool | None) -> None:
    for finding in parse_found(lines, stamped=stamped):
        assert finding.signature
        assert finding.filename
