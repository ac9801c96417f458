"""What Suricata writes is told once, whatever becomes of its file, and means to rules what it says."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from agent.probe.contract import Hello, Kept, PartContext, Said, read_frame, write_frame
from agent.probe.eve.lines import CUT_BYTES, LINE_BYTES, parse_eve_line
from agent.probe.eve.run import Files, Listening
from agent.probe.eve.settings import EveSettings, InputSettings
from rules.engine import Engine, Event
from soc_api.cli import main
from tests.agent.probe.eve.lines import ALERT, ANOMALY, DNS, DNS3, FLOW, HTTP, STATS, TLS, line
from tests.agent.probe.wire.frames import Judge
from tests.rules.helpers import rule, rule_id
from tests.support.waiting import wait_until

ALL = ("alert", "anomaly", "dns", "http", "tls", "flow")
NOW = 1_800_000_000.0


class Site:
    """A part's context whose agent keeps what it is told."""

    def __init__(self, folder: Path, **intake: Any) -> None:
        self.folder = folder
        self.log = folder / "eve.json"
        self.settings = EveSettings(InputSettings(paths=[str(self.log)], **intake))
        self.told: list[Said] = []
        self.memories: dict[str, dict[str, Any]] = {}

    def context(self) -> PartContext[EveSettings]:
        """Of a process begun now, with the memory of the last."""
        hello = Hello("eve", {}, str(self.folder), self.memories)
        return PartContext(self.settings, hello, say=self._say, now=lambda: NOW)

    def _say(self, said: Said) -> str:
        self.told.append(said)
        if said.memory is not None:
            self.memories["eve"] = msgspec.json.decode(msgspec.json.encode(said.memory))
        return ""

    def signatures(self) -> list[int]:
        return [e.fields["alert.signature_id"] for said in self.told for e in said.found().events]

    def write(self, *numbers: int) -> None:
        with self.log.open("ab") as file:
            for number in numbers:
                flow = {"pkts_toserver": 4, "start": f"2026-11-22T08:15:{number:02}.251547+0700"}
                file.write(line(ALERT, alert={**ALERT["alert"], "signature_id": number}, flow=flow))


def look(files: Files) -> None:
    while files.look():
        pass


def test_rotation_restart_and_a_copied_log_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path)
    files = Files(site.context())
    look(files)
    assert [said.nothing != "" for said in site.told] == [True]
    site.write(1, 2)
    look(files)
    site.write(3)
    site.log.rename(tmp_path / "eve.json.1")
    site.write(4)
    look(files)
    site.write(5)
    look(Files(site.context()))  # the process was ended in between
    copied = site.log.read_bytes()
    (tmp_path / "eve.json.2").write_bytes(copied)
    os.truncate(site.log, 0)
    site.write(6)
    files = Files(site.context())
    look(files)
    with site.log.open("ab") as file:
        whole = line(ALERT, alert={**ALERT["alert"], "signature_id": 7})
        file.write(whole[:100])
        file.flush()
        look(files)
        file.write(whole[100:])
    look(files)
    assert site.signatures() == [1, 2, 3, 4, 5, 6, 7]


def test_an_old_log_is_followed_from_its_end_and_nonsense_in_it_is_counted(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.write(1)
    files = Files(site.context())
    look(files)
    with site.log.open("ab") as file:
        file.write(b"\xff\xfe no JSON\n[1]\n{}\n" + line(STATS) + line(DNS))
    site.write(2)
    look(files)
    assert site.signatures() == [2]
    counted = [metric for said in site.told for metric in said.found().metrics]
    assert [(each.name, each.value) for each in counted] == [("eve.unread_count", 3)]


def test_suricata_connects_to_the_socket(tmp_path: Path) -> None:
    site = Site(tmp_path, socket=str(tmp_path / "eve.sock"))
    listening = Listening(site.context())
    with socket.socket(socket.AF_UNIX) as suricata:
        suricata.connect(str(tmp_path / "eve.sock"))
        first, second = line(ALERT), line(ALERT, alert={**ALERT["alert"], "signature_id": 2})
        suricata.sendall(first + second[:50])

        def after(wanted: list[int]) -> bool:
            listening.look(0.05)
            return site.signatures() == wanted

        wait_until(lambda: after([2034647]), seconds=10, what="the whole line")
        suricata.sendall(second[50:-1])
    wait_until(lambda: after([2034647, 2]), seconds=10, what="the line that ends with the connection")
    listening.close()
    assert not (tmp_path / "eve.sock").exists()


def test_a_socket_takes_no_other_files_place(tmp_path: Path) -> None:
    site = Site(tmp_path, socket=str(tmp_path / "file"))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="in use"):
        Listening(site.context())
    assert (tmp_path / "file").read_text() == "mine"


def test_the_parts_own_process_tells_what_is_written(tmp_path: Path) -> None:
    log = tmp_path / "eve.json"
    log.write_bytes(line(ALERT))
    folder = Path(__file__).parents[4]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "agent.probe.process", "eve"],
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        settings = msgspec.to_builtins(EveSettings(InputSettings(paths=[str(log)])))
        write_frame(process.stdin, Hello("eve", settings, str(tmp_path)))
        first = read_frame(process.stdout, Said)  # that it stands at the end
        assert first is not None
        assert first.found().events == []
        with log.open("ab") as file:
            file.write(line(ALERT))
        write_frame(process.stdin, Kept(first.number))
        second = read_frame(process.stdout, Said)
        assert second is not None
        assert [each.fields["alert.action"] for each in second.found().events] == ["allowed"]
        process.stdin.close()
        assert process.wait(10) == 0


def test_each_type_has_the_names_that_rules_know() -> None:
    def fields(said: dict[str, Any]) -> dict[str, Any]:
        event = parse_eve_line(line(said), ALL, NOW)
        assert event is not None
        assert event.logsource.product == "suricata"
        assert event.logsource.service == said["event_type"] == event.fields["event_type"]
        assert event.fields["source.ip"] == event.fields["src_ip"] == "203.0.113.9"
        assert event.time == pytest.approx(1_795_310_127.25, abs=0.01)
        return event.fields

    alert = fields(ALERT)
    assert (alert["alert.signature_id"], alert["alert.severity"]) == (2034647, 1)
    assert alert["alert.metadata.mitre_technique_id"] == ["T1190"]
    assert (alert["destination.port"], alert["dst_port"], alert["network.transport"]) == (80, 80, "tcp")
    assert "payload" not in alert
    assert fields(ANOMALY)["anomaly.layer"] == "proto_detect"
    assert fields(DNS) | {"query": "c2.example", "answer": ["198.51.100.7"], "record_type": "A"} == fields(
        DNS
    )
    assert fields(DNS3)["record_type"] == "TXT"
    assert fields(HTTP) | {"c-uri": "/cgi-bin/%2e%2e/bin/sh", "sc-status": 404} == fields(HTTP)
    assert fields(TLS)["tls.client.server_name"] == "portal.example"
    assert fields(FLOW)["destination.bytes"] == 1200
    assert parse_eve_line(line(STATS), ALL, NOW) is None
    assert parse_eve_line(line(HTTP), ("alert",), NOW) is None


def test_what_a_stranger_put_into_a_line_stays_short_and_plain() -> None:
    hostile = {
        **ALERT["alert"],
        "signature": "a\x1b[2J\r\n" + "x" * 9999,
        "severity": 1 << 80,
        "category": {"a": [1]},
    }
    event = parse_eve_line(line(ALERT, alert=hostile, timestamp="9999-12-31T23:59:59+00:00"), ALL, NOW)
    assert event is not None
    assert len(event.fields["alert.signature"]) == 255
    assert event.fields["alert.signature"].isprintable()
    assert not {"alert.severity", "alert.category"} & event.fields.keys()
    assert event.time == NOW


def test_a_long_request_hides_no_alert(tmp_path: Path) -> None:
    """Suricata writes the request behind the alert, as long as the attacker made it."""
    long = line(ALERT, http={"url": "/" + "a" * 9_000, "http_user_agent": "b" * 9_000, "cut": {"here": [1]}})
    assert len(long) > CUT_BYTES
    site = Site(tmp_path)
    files = Files(site.context())
    look(files)
    site.log.write_bytes(long + line(ALERT, alert={**ALERT["alert"], "signature_id": 2}))
    look(files)
    assert site.signatures() == [2034647, 2]
    longest = line(ALERT, http={"url": "a" * (LINE_BYTES + 9)})[: LINE_BYTES + 1]  # as the socket gives it
    event = parse_eve_line(longest, ALL, NOW)
    assert event is not None
    assert event.fields["alert.signature_id"] == 2034647
    for nonsense in (b"{" * CUT_BYTES, b'{"event_type":"alert","x":"' + b"a" * CUT_BYTES, b"[" * CUT_BYTES):
        with pytest.raises(ValueError, match="cut"):
            parse_eve_line(nonsense, ALL, NOW)


def test_what_cannot_be_written_again_is_no_event(tmp_path: Path) -> None:
    """Half of a surrogate pair in a long line: no text, and no end of the part."""
    long = line(ALERT, http={"url": "/" + "a" * CUT_BYTES})
    broken = long.replace(b'"signature": "', b'"signature": "\\ud800', 1)
    assert broken != long
    with pytest.raises(ValueError, match="no text"):
        parse_eve_line(broken, ("alert",), 0.0)


def test_a_log_that_may_be_read_again_is_told_though_it_says_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.log.mkdir()
    files = Files(site.context())
    look(files)
    assert site.told[-1].failure
    site.log.rmdir()
    site.log.write_bytes(b"")
    look(files)
    look(files)
    assert not site.told[-1].failure


def test_an_alert_of_each_class_fires_the_rule_for_it() -> None:
    judge = Judge()
    said = []
    for category, severity in (
        ("Attempted Administrator Privilege Gain", 1),
        ("A Network Trojan was detected", 1),
        ("Something of its own", 1),
        ("Potentially Bad Traffic", 2),
        ("Generic Protocol Command Decode", 3),
    ):
        alert = {**ALERT["alert"], "category": category, "severity": severity}
        said.append(parse_eve_line(line(ALERT, alert=alert), ALL, NOW))
    fired = judge.see([each for each in said if each is not None])
    assert {name: len(events) for name, events in fired.items()} == {
        "initial_access_ids_exploit": 1,
        "command_and_control_ids_malware": 1,
        "initial_access_ids_severe": 1,
        "initial_access_ids_suspicious": 1,
    }


def test_rules_for_dns_and_proxies_read_suricatas_lines_live_and_in_files(tmp_path: Path) -> None:
    folder, log = tmp_path / "rules", tmp_path / "eve.jsonl"
    folder.mkdir()
    rules = {
        "dns.yml": rule(
            "s: {query|endswith: .example, record_type: A}\ncondition: s",
            number=1,
            logsource="{category: dns}",
        ),
        "proxy.yml": rule(
            "s: {c-useragent|contains: Nikto}\ncondition: s", number=2, logsource="{category: proxy}"
        ),
        "alert.yml": rule(
            "s: {alert.severity: 1}\ncondition: s", number=3, logsource="{product: suricata, service: alert}"
        ),
    }
    for name, text in rules.items():
        (folder / name).write_text(text, encoding="utf-8")
    log.write_bytes(line(ALERT) + line(DNS) + line(HTTP) + line(STATS))
    output = tmp_path / "matches.jsonl"
    words = ("sigma", "scan", "--pipeline", "suricata", "--no-cache", "--rules", folder, "--events", log)
    done = CliRunner().invoke(main, [*map(str, words), "--output", str(output)])
    assert done.exit_code == 0, done.output
    in_files = [json.loads(each)["rule"] for each in output.read_text().splitlines()]

    engine, live = Engine([folder]), []
    for number, each in enumerate((ALERT, DNS, HTTP)):
        told = parse_eve_line(line(each), ALL, NOW)
        assert told is not None
        source = told.logsource
        event = Event(str(number), NOW, source.product, source.category, source.service, told.fields)
        live += [finding.rule_id for finding in engine.process(event)]
    assert in_files == live == [rule_id(3), rule_id(1), rule_id(2)]
