from __future__ import annotations

import ssl
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from agent.messages import HostFacts
from agent.runtime.diagnosis import diagnose
from agent.runtime.enrolment import enrol, renew
from agent.runtime.errors import EnrolmentError, NotEnrolledError, TransportError
from agent.runtime.identity import load_identity, own_context, store_renewed, waiting_key
from agent.runtime.transport import Address, Connection, trusting_context
from tests.agent.runtime.stub import DAY, Authority, StubCollector

if TYPE_CHECKING:
    from pathlib import Path

    from agent.settings import StateDirectory

FACTS = HostFacts(hostname="may-01")


def connect(stub: StubCollector, state: StateDirectory) -> Connection:
    return Connection(Address.of(stub.url), own_context(state))


def test_requests_share_one_connection(stub: StubCollector, enrolled: StateDirectory) -> None:
    connection = connect(stub, enrolled)
    for _ in range(3):
        assert (
            connection.request("POST", "/v1/heartbeat", {"Vonggac-Batch": f"{'a' * 32};0;1.5"}).status == 202
        )
    connection.close()
    assert len({seen.connection for seen in stub.seen}) == 1
    assert all(seen.certified for seen in stub.seen)


def test_a_connection_the_collector_closed_is_opened_again(
    stub: StubCollector, enrolled: StateDirectory
) -> None:
    connection = connect(stub, enrolled)
    stub.close_after_answer = True
    headers = {"Vonggac-Batch": f"{'a' * 32};0;1.5"}
    assert connection.request("POST", "/v1/heartbeat", headers).status == 202
    assert connection.request("POST", "/v1/heartbeat", headers).status == 202
    connection.close()
    assert len({seen.connection for seen in stub.seen}) == 2


def test_a_connection_opened_again_resumes_its_session_and_is_known_by_its_certificate(
    stub: StubCollector, enrolled: StateDirectory
) -> None:
    connection = connect(stub, enrolled)
    stub.close_after_answer = True
    for _ in range(3):
        assert (
            connection.request("POST", "/v1/heartbeat", {"Vonggac-Batch": f"{'a' * 32};0;1.5"}).status == 202
        )
    connection.close()
    assert [(seen.resumed, seen.certified) for seen in stub.seen] == [
        (False, True),
        (True, True),
        (True, True),
    ]


def test_answer_carries_the_collectors_clock_and_its_wish_to_wait(
    stub: StubCollector, enrolled: StateDirectory
) -> None:
    stub.answers.append((503, {"Retry-After": "7", "Vonggac-Time": "1234.5"}, b""))
    connection = connect(stub, enrolled)
    reply = connection.request("POST", "/v1/heartbeat", {})
    connection.close()
    assert (reply.status, reply.retry_after_seconds, reply.collector_time) == (503, 7.0, 1234.5)
    assert reply.problem.title == "HTTP 503"


@pytest.mark.parametrize("value", ["-1", "nan", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", "inf"])
def test_absurd_retry_after_never_stops_the_agent(
    stub: StubCollector, enrolled: StateDirectory, value: str
) -> None:
    stub.answers.append((503, {"Retry-After": value}, b""))
    connection = connect(stub, enrolled)
    reply = connection.request("POST", "/v1/heartbeat", {})
    connection.close()
    assert 0.0 <= reply.retry_after_seconds <= 3600.0


def test_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    stub = StubCollector(tmp_path, hosts=("collector.example",))
    try:
        connection = Connection(Address.of(stub.url), trusting_context(stub.authority.pem))
        with pytest.raises(TransportError) as caught:
            connection.request("GET", "/v1/ca", {})
        assert caught.value.code == "untrusted"
    finally:
        stub.close()


def test_certificate_of_another_authority_is_refused(stub: StubCollector) -> None:
    connection = Connection(Address.of(stub.url), trusting_context(Authority().pem))
    with pytest.raises(TransportError) as caught:
        connection.request("GET", "/v1/ca", {})
    assert caught.value.code == "untrusted"
    assert stub.seen == []


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "rejected"),
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", "rejected"),
        ("TLSV1_ALERT_UNKNOWN_CA", "rejected"),
        ("TLSV1_UNRECOGNIZED_NAME", "unreachable"),
        ("TLSV1_ALERT_INTERNAL_ERROR", "unreachable"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "unreachable"),
    ],
)
def test_only_alerts_about_certificates_say_that_this_endpoint_is_not_wanted(
    enrolled: StateDirectory, stub: StubCollector, reason: str, code: str
) -> None:
    error = ssl.SSLError(1, f"[SSL: {reason}] said by whoever is there")
    error.reason = reason
    connection = connect(stub, enrolled)
    connection._open = Mock(side_effect=error)  # type: ignore[method-assign] # what OpenSSL raises
    with pytest.raises(TransportError) as caught:
        connection.request("POST", "/v1/heartbeat", {})
    assert caught.value.code == code


def test_nobody_there_is_unreachable(stub: StubCollector, enrolled: StateDirectory) -> None:
    connection = connect(stub, enrolled)
    stub.close()
    try:
        with pytest.raises(TransportError) as caught:
            connection.request("POST", "/v1/heartbeat", {})
        assert caught.value.code == "unreachable"
    finally:
        stub.__init__(enrolled.root)  # type: ignore[misc] # the fixture closes it once more


@pytest.mark.parametrize("url", ["http://a:1", "https://", "https://a/b", "a:8444", "https://a?b"])
def test_an_address_is_a_host_over_https(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Address.of(url)


def test_an_ipv6_address_keeps_its_brackets() -> None:
    assert Address.of("https://[fd00::1]").authority == "[fd00::1]:8444"


def test_enrolment_leaves_a_private_key_that_only_the_owner_reads(enrolled: StateDirectory) -> None:
    assert enrolled.key.stat().st_mode & 0o777 == 0o600
    assert enrolled.root.stat().st_mode & 0o777 == 0o700
    assert own_context(enrolled).get_ca_certs()


def test_a_token_used_twice_is_refused_and_the_machine_stays_as_it_was(
    stub: StubCollector, state: StateDirectory
) -> None:
    token = stub.token()
    enrol(state, Address.of(stub.url), token, FACTS)
    before = state.key.read_bytes()
    with pytest.raises(EnrolmentError, match="ask for a new token"):
        enrol(state, Address.of(stub.url), token, FACTS)
    assert state.key.read_bytes() == before


def test_a_token_is_not_shown_to_a_collector_whose_authority_it_does_not_name(
    stub: StubCollector, state: StateDirectory
) -> None:
    token = stub.token()[:-64] + Authority().sha256
    with pytest.raises(EnrolmentError, match="not the collector that made this token"):
        enrol(state, Address.of(stub.url), token, FACTS)
    assert [seen.path for seen in stub.seen] == ["/v1/ca"]
    assert not state.identity.exists()


def test_a_token_is_not_shown_to_a_collector_whose_certificate_names_another_host(
    tmp_path: Path, state: StateDirectory
) -> None:
    stub = StubCollector(tmp_path, hosts=("collector.example",))
    try:
        with pytest.raises(EnrolmentError, match="does not name this host"):
            enrol(state, Address.of(stub.url), stub.token(), FACTS)
        assert [seen.path for seen in stub.seen] == ["/v1/ca"]
    finally:
        stub.close()


def test_renewal_changes_key_and_certificate_and_shows_the_old_one(
    stub: StubCollector, enrolled: StateDirectory
) -> None:
    key, before = enrolled.key.read_bytes(), load_identity(enrolled)
    stub.certificate_life = 200 * DAY
    after = renew(enrolled)
    assert enrolled.key.read_bytes() != key
    assert after.not_after > before.not_after
    assert stub.seen[-1].path == "/v1/renew"
    assert stub.seen[-1].certified
    assert load_identity(enrolled) == after
    assert own_context(enrolled).get_ca_certs()


def test_renewal_is_due_at_two_thirds_of_the_life(enrolled: StateDirectory) -> None:
    identity = load_identity(enrolled)
    share = (identity.renew_at - identity.not_before) / (identity.not_after - identity.not_before)
    assert share == pytest.approx(2 / 3)


@pytest.mark.parametrize("certificate_in_place", [False, True])
def test_a_renewal_cut_off_in_the_middle_leaves_a_pair_that_fits(
    stub: StubCollector, enrolled: StateDirectory, tmp_path: Path, certificate_in_place: bool
) -> None:
    old_key, old_certificate = enrolled.key.read_bytes(), enrolled.certificate.read_bytes()
    renew(enrolled)
    new_key, new_certificate = enrolled.key.read_bytes(), enrolled.certificate.read_bytes()
    enrolled.key.write_bytes(old_key)
    waiting_key(enrolled).write_bytes(new_key)
    enrolled.certificate.write_bytes(new_certificate if certificate_in_place else old_certificate)
    load_identity(enrolled)
    assert enrolled.key.read_bytes() == (new_key if certificate_in_place else old_key)
    assert own_context(enrolled).get_ca_certs()
    assert not waiting_key(enrolled).exists()


def test_who_only_looks_leaves_a_renewal_that_is_under_way_alone(
    stub: StubCollector, enrolled: StateDirectory
) -> None:
    old_key, old_certificate = enrolled.key.read_bytes(), enrolled.certificate.read_bytes()
    renew(enrolled)
    new_key, new_certificate = enrolled.key.read_bytes(), enrolled.certificate.read_bytes()
    enrolled.key.write_bytes(old_key)
    enrolled.certificate.write_bytes(old_certificate)
    waiting_key(enrolled).write_bytes(new_key)
    diagnose(enrolled, "en")
    assert waiting_key(enrolled).read_bytes() == new_key
    enrolled.certificate.write_bytes(new_certificate)
    load_identity(enrolled)
    assert enrolled.key.read_bytes() == new_key


def test_a_key_that_does_not_fit_says_to_enrol_again(enrolled: StateDirectory) -> None:
    identity = load_identity(enrolled)
    other = Authority()
    from agent.runtime.enrolment import make_key_and_request

    made = make_key_and_request("x")
    store_renewed(enrolled, made.key_pem, other.pem.encode(), identity)
    with pytest.raises(NotEnrolledError, match="enrol again"):
        own_context(enrolled)


def test_only_tls_1_3_is_spoken(stub: StubCollector) -> None:
    assert trusting_context(stub.authority.pem).minimum_version == ssl.TLSVersion.TLSv1_3
