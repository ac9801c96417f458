"""The part's own process, real rsyslog and sockets that mean no good."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from agent.probe.syslog.settings import Messages, Senders, SyslogSettings, Tls, Udp
from agent.settings_file import SettingsError, load_settings
from tests.support.syslog import Rsyslog, SyslogSite, at_loopback
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

needs_rsyslog = pytest.mark.skipif(shutil.which("rsyslogd") is None, reason="rsyslog is not installed")


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 10)


def ends(sender: socket.socket) -> bool:
    """Whether the other side closed."""
    sender.settimeout(10)
    try:
        return sender.recv(1) == b""
    except ConnectionError:
        return True


def is_refused(sender: ssl.SSLSocket) -> bool:
    """Whether the other side ends it; with TLS 1.3 it says so after the sender's first words."""
    try:
        sender.sendall(b"7 <13>one")
        return sender.recv(1) == b""
    except (ssl.SSLError, ConnectionError):
        return True


def certificate(folder: Path, name: str, *, signer: str = "", usage: str = "") -> None:
    def run(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key"]
    subject = ["-subj", f"/CN={name}"]
    if not signer:
        run(*new, "-x509", *subject, "-days", "2", "-out", f"{name}.pem")
        return
    run(*new, *subject, "-out", f"{name}.csr")
    (folder / "ext").write_text(f"extendedKeyUsage={usage}\nsubjectAltName=DNS:{name}\n")
    signed = ["-CA", f"{signer}.pem", "-CAkey", f"{signer}.key", "-CAcreateserial", "-days", "2"]
    run("x509", "-req", "-in", f"{name}.csr", *signed, "-extfile", "ext", "-out", f"{name}.pem")


@needs_rsyslog
def test_rsyslog_over_udp_tcp_and_tls_and_every_message_comes(tmp_path: Path) -> None:
    certificate(tmp_path, "authority")
    certificate(tmp_path, "probe.example", signer="authority", usage="serverAuth")
    certificate(tmp_path, "fw.example", signer="authority", usage="clientAuth")
    tls = Tls(
        True,
        certificate_file=str(tmp_path / "probe.example.pem"),
        key_file=str(tmp_path / "probe.example.key"),
        client_ca_file=str(tmp_path / "authority.pem"),
    )
    settings = at_loopback(tls=tls, messages=Messages(report_seconds=1.0))
    to = 'action(type="omfwd" target="127.0.0.1"'
    sender = Rsyslog(
        tmp_path / "rsyslog",
        f'{to} port="{settings.udp.port}" protocol="udp" template="RSYSLOG_TraditionalForwardFormat")\n'
        f'{to} port="{settings.tcp.port}" protocol="tcp" TCP_Framing="octet-counted"'
        ' template="RSYSLOG_SyslogProtocol23Format")\n'
        f'{to} port="{settings.tls.port}" protocol="tcp" StreamDriver="gtls" StreamDriverMode="1"'
        ' StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="probe.example"'
        ' template="RSYSLOG_SyslogProtocol23Format")',
        f'global(DefaultNetstreamDriverCAFile="{tmp_path}/authority.pem"'
        f' DefaultNetstreamDriverCertFile="{tmp_path}/fw.example.pem"'
        f' DefaultNetstreamDriverKeyFile="{tmp_path}/fw.example.key")',
    )
    with SyslogSite(tmp_path, settings) as site, sender.running():
        for number in range(200):
            sender.log(f"đăng nhập {number}")
        wait_until(lambda: len(site.messages()) >= 600, seconds=40, what="600 messages")
        told = [each.fields for each in site.events() if each.logsource.category == "syslog"]
        by_way: dict[str, list[dict[str, Any]]] = {}
        for each in told:
            by_way.setdefault(each["log.syslog.transport"], []).append(each)
        assert by_way.keys() == {"udp", "tcp", "tls"}
        for way, fields in by_way.items():
            texts = [each["message"].strip() for each in fields]
            assert sorted(texts) == sorted(f"đăng nhập {number}" for number in range(200)), way
            assert {each["observer.ip"] for each in fields} == {"127.0.0.1"}
            assert {each["log.syslog.appname"] for each in fields} == {"portal"}
            assert {each["log.syslog.procid"] for each in fields} == {"42"}
            assert all(each["log.syslog.facility.name"] == "local0" for each in fields)
        assert {each["tls.client.x509.subject.common_name"] for each in by_way["tls"]} == {"fw.example"}

        def total() -> int:
            return sum(each.fields["syslog_source"].get("messages", 0) for each in site.reports())

        wait_until(lambda: total() == 600, seconds=20, what="reports of 600 messages")

        stranger = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
        stranger.check_hostname = False
        with connected(settings.tls.port) as plain, stranger.wrap_socket(plain) as without:
            assert is_refused(without)
        assert len(site.messages()) == 600


@needs_rsyslog
def test_over_a_restart_of_the_part_nothing_is_lost_and_nothing_comes_twice(tmp_path: Path) -> None:
    settings = at_loopback()
    sender = Rsyslog(
        tmp_path / "rsyslog",
        f'action(type="omfwd" target="127.0.0.1" port="{settings.tcp.port}" protocol="tcp"'
        ' TCP_Framing="octet-counted" queue.type="LinkedList" action.resumeRetryCount="-1" action.resumeInterval="1")',
    )
    wanted = [f"number {number}" for number in range(900)]
    with sender.running():
        with SyslogSite(tmp_path, settings) as first:
            for each in wanted[:300]:
                sender.log(each)
            first.await_messages(1)
            for each in wanted[300:600]:
                sender.log(each)
        early = first.messages()
        for each in wanted[600:]:
            sender.log(each)
        with SyslogSite(tmp_path, settings) as second:
            wait_until(
                lambda: len(early) + len(second.messages()) >= len(wanted), seconds=40, what="all messages"
            )
            told = [each.strip() for each in early + second.messages()]
    assert sorted(told) == sorted(wanted)


def test_what_an_agent_that_ended_did_not_take_is_told_by_the_next(tmp_path: Path) -> None:
    settings = at_loopback()
    with SyslogSite(tmp_path, settings) as first:
        first.outbox.flush = _refuses  # type: ignore[method-assign, assignment]
        with connected(settings.tcp.port) as sender:
            sender.sendall(b"".join(b"<13>held %d\n" % number for number in range(100)))
            wait_until(lambda: first.outbox.memory("syslog").get("batch"), seconds=20, what="a batch offered")
            sender.sendall(b"".join(b"<13>held %d\n" % number for number in range(100, 200)))
            sender.shutdown(socket.SHUT_WR)
            assert ends(sender)
    left = site_file(tmp_path)
    assert left.stat().st_mode & 0o777 == 0o600
    with SyslogSite(tmp_path, settings) as second:
        told = second.await_messages(200)
    assert sorted(told) == sorted(f"held {number}" for number in range(200))
    assert not left.exists()


def site_file(folder: Path) -> Path:
    return folder / "probe" / "syslog" / "waiting"


def _refuses() -> None:
    from agent.runtime.errors import SpoolError

    raise SpoolError("full")


def test_a_damaged_leftover_does_not_stop_the_part(tmp_path: Path) -> None:
    path = site_file(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xc1 damaged")
    settings = at_loopback()
    with SyslogSite(tmp_path, settings) as site, connected(settings.tcp.port) as sender:
        sender.sendall(b"<13>on we go\n")
        assert site.await_messages(1) == ["on we go"]
        ports = {"udp_port": settings.udp.port, "tcp_port": settings.tcp.port}
        assert [(each.kind, each.body) for each in site.documents] == [("syslog_input", ports)]


def test_datagrams_that_the_kernel_dropped_are_counted(tmp_path: Path) -> None:
    settings = at_loopback(messages=Messages(report_seconds=1.0))
    settings = replaced(settings, udp=Udp(address="127.0.0.1", port=settings.udp.port, buffer_bytes=65_536))
    sent = 3_000
    with SyslogSite(tmp_path, settings) as site, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        [run] = site.host._runs
        process = run._process
        assert process is not None
        os.kill(process.pid, signal.SIGSTOP)
        try:
            for number in range(sent):
                out.sendto(b"<13>datagram %d %s" % (number, b"x" * 400), ("127.0.0.1", settings.udp.port))
        finally:
            os.kill(process.pid, signal.SIGCONT)
        # The kernel tells how many it dropped with the next one that it has room for.
        out.sendto(b"<13>the last", ("127.0.0.1", settings.udp.port))
        wait_until(
            lambda: (
                "the last" in site.messages()
                or out.sendto(b"<13>the last", ("127.0.0.1", settings.udp.port)) < 0
            ),
            seconds=20,
            what="the last",
            every=0.2,
        )

        def lost() -> int:
            return sum(each.fields["syslog_source"].get("lost_count", 0) for each in site.reports())

        wait_until(lost, seconds=20, what="a report of the loss")
        came = sum(each.startswith("datagram") for each in site.messages())
        assert 0 < came < sent
        # Those of «the last» that were sent meanwhile may be among the dropped.
        assert lost() >= sent - came


def replaced(settings: SyslogSettings, **sections: Any) -> SyslogSettings:
    import msgspec

    return msgspec.structs.replace(settings, **sections)


def test_who_may_not_send_is_not_heard_and_too_many_are_turned_away(tmp_path: Path) -> None:
    settings = at_loopback(
        senders=Senders(networks=("127.0.0.2/32",), connections_each=2, datagrams_per_second=5),
        messages=Messages(report_seconds=1.0),
    )
    with SyslogSite(tmp_path, settings) as site:
        with connected(settings.tcp.port) as stranger:
            assert ends(stranger)

        def from_second(kind: int, port: int) -> socket.socket:
            made = socket.socket(socket.AF_INET, kind)
            made.bind(("127.0.0.2", 0))
            made.connect(("127.0.0.1", port))
            return made

        held = [from_second(socket.SOCK_STREAM, settings.tcp.port) for _ in range(2)]
        for number, each in enumerate(held):
            each.sendall(b"<13>stays %d\n" % number)
        site.await_messages(2)
        with from_second(socket.SOCK_STREAM, settings.tcp.port) as third:
            assert ends(third)
        with from_second(socket.SOCK_DGRAM, settings.udp.port) as out:
            for number in range(200):
                out.send(b"<13>much %d" % number)

        def sums() -> dict[str, int]:
            found: dict[str, int] = {}
            for report in site.reports():
                for name, value in report.fields["syslog_source"].items():
                    if isinstance(value, int):
                        found[name] = found.get(name, 0) + value
            return found

        wait_until(lambda: sums().get("refused", 0) >= 150, seconds=20, what="refused datagrams")
        found = sums()
        assert (found["strangers_count"], found["turned_away_count"]) == (1, 1)
        assert found["messages"] + found["refused"] == 202
        assert {each.fields.get("observer.ip") for each in site.reports()} <= {"127.0.0.2", None}
        for each in held:
            each.close()


def test_idle_and_senseless_connections_end_and_others_go_on(tmp_path: Path) -> None:
    settings = at_loopback(senders=Senders(idle_seconds=2.0), messages=Messages(report_seconds=1.0))
    with SyslogSite(tmp_path, settings) as site, connected(settings.tcp.port) as busy:
        busy.sendall(b"<13>one\n")
        with connected(settings.tcp.port) as senseless:
            senseless.sendall(b"77777777777 <13>x")
            assert ends(senseless)
        with connected(settings.tcp.port) as idle:
            idle.sendall(b"<13>half a line")
            idle.settimeout(0.5)
            closed = False
            for number in range(60):
                busy.sendall(b"<13>alive %d\n" % number)
                try:
                    closed = idle.recv(1) == b""
                    break
                except TimeoutError:
                    continue
            assert closed
        busy.sendall(b"<13>last\n")
        wait_until(lambda: "last" in site.messages(), seconds=20, what="the last message")
        assert {"one", "half a line"} <= set(site.messages())
        wait_until(
            lambda: sum(each.fields["syslog_source"].get("broken", 0) for each in site.reports()) == 1,
            seconds=20,
            what="the broken connection in a report",
        )


def test_a_port_that_is_taken_is_said_and_tried_again(tmp_path: Path) -> None:
    settings = at_loopback()
    with socket.create_server(("127.0.0.1", settings.tcp.port)), SyslogSite(tmp_path, settings) as site:
        assert f"port {settings.tcp.port}" in site.failures[0]
        assert "Address already in use" in site.failures[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[tls]\nenabled = true", "certificate_file"),
        ('[senders]\nnetworks = ["10.0.0.0/99"]', "10.0.0.0/99"),
        ('[messages]\nzone = "Asia/Hanoi2"', "Asia/Hanoi2"),
        ('[messages]\nzone = "../../etc/passwd"', "zone"),
        ("[udp]\nport = 0", "port"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_their_reason(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "syslog.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=reason):
        load_settings(SyslogSettings, path, {}, "VONGGAC_PROBE_SYSLOG")
