"""A small province with something of everything on it, for tests of the pages and for looking at them."""

from __future__ import annotations

import random
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from agent import reasons
from collector.detect.checkpoints import name_of
from collector.documents.service import digest_of
from collector.partitions import ALL
from collector.registry.files import builtin_rows
from collector.registry.service import import_agencies
from collector.state.tables import (
    Agency,
    Alert,
    AlertEvidence,
    Assignment,
    Certificate,
    Checkpoint,
    DeadLetter,
    Device,
    Document,
    DocumentChange,
    Endpoint,
    ProcessHealth,
    Stream,
    WatchState,
)
from collector.watch.concerns import CONCERNS
from collector.watch.processes import NEVER_DAYS
from collector.watch.record import OK, PULSE, TROUBLE
from tests.soc_api.pages.demo_linux import linux_documents

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from rules.catalogue import Catalogue

#: A name that tries everything: a tag, an attribute, a right-to-left override, a null, a very long word.
HOSTILE = "<script>alert(1)</script>\"onmouseover='x'\u202egnp.exe\x07" + "A" * 120


def fill(
    session: Session,
    catalogue: Catalogue,
    now: datetime,
    *,
    endpoints: int = 60,
    seed: int = 7,
    live: bool = False,
) -> None:
    """Agencies, endpoints in every state, seen devices, alerts in every status, dead letters, losses.

    ``live``: a detect worker runs on this store and keeps its own checkpoint.
    """
    dice = random.Random(seed)
    import_agencies(session, builtin_rows(), now)
    agencies = list(session.scalars(select(Agency).order_by(Agency.id)))
    made = [_endpoint(session, dice, agencies, now, number) for number in range(endpoints)]
    _devices(session, dice, agencies, now)
    _alerts(session, dice, catalogue, made, now)
    if not live:
        at = now - timedelta(seconds=2)
        for partition in ALL:
            place = {"log_offset": 48213, "updated_at": at, "received_at": at}
            session.add(Checkpoint(worker=name_of(partition), **place))
        _own_health(session, now)
    for number, (endpoint, _) in enumerate(made[:3]):
        letter = DeadLetter(
            endpoint_id=endpoint.id,
            log_offset=1000 + number,
            reason="$.events[3].time: Expected `float`, got `str`" if number else HOSTILE,
            body=b"x" * (4000 + 977 * number),
            received_at=now - timedelta(hours=number + 1),
        )
        session.add(letter)


def _own_health(session: Session, now: datetime) -> None:
    """Processes of two machines, one of them killed; a collector with three troubles."""
    gone = now - timedelta(minutes=14)
    processes = [
        ("ingest", "soc1", "ingest", now),
        ("detect-1", "soc1", "detect", now),
        ("detect-2", "soc2", "detect", gone),
        ("correlate", "soc1", "correlate", now),
        ("store", "soc1", "store", now),
        ("web", "soc1", "web", now),
    ]
    for number, (name, host, kind, beat_at) in enumerate(processes):
        samples = [
            ["process_resident_memory_bytes", {}, 61e6 + number * 23e6],
            ["process_cpu_seconds_total", {}, 340.0 * number],
        ]
        if kind == "detect":
            samples += [["vonggac_detect_events_total", {}, 9e5], ["vonggac_detect_lag_seconds", {}, 0.4]]
        family = {"name": "all", "type": "gauge", "help": "", "samples": samples}
        session.add(
            ProcessHealth(
                process=f"{host}/{name}",
                kind=kind,
                host=host,
                pid=100 + number,
                started_at=now - timedelta(hours=7),
                beat_at=beat_at,
                figures={"families": [family], "machine": {}},
            )
        )
    found = [
        ("process_silence", "soc2/detect-2", 840.0, 2),
        ("disk_runway", "soc1", 9.2, 2),
        ("source_silence", f"so-tai-chinh linux//{HOSTILE}", 93_000.0, 2),
        ("queue_lag", "detect", 1.2, 0),
        ("disk_free", "soc1", 0.31, 0),
        ("dead_letters", "detect", 3.0, 0),
        ("store_latency", "events", 0.08, 0),
        ("certificate", "soc1 server", 381.5, 0),
        ("clock_jump", "soc1", 0.0, 0),
        ("agent_certificates", "agents", 0.0, 0),
        ("disk_runway", "soc2", NEVER_DAYS, 0),
    ]
    for concern, subject, value, severity in found:
        mark = CONCERNS[concern].mark(severity)
        session.add(
            WatchState(
                concern=concern,
                subject=subject,
                state=TROUBLE if severity else OK,
                since=now - timedelta(minutes=14),
                looked_at=now,
                value=value,
                detail={"severity": severity, "mark": mark},
            )
        )
    session.add(
        WatchState(concern=PULSE, subject="", state=OK, since=now, looked_at=now, value=None, detail={})
    )


def _endpoint(
    session: Session, dice: random.Random, agencies: list[Agency], now: datetime, number: int
) -> tuple[Endpoint, Agency]:
    agency = agencies[(number * 5 + dice.randrange(3)) % len(agencies)]
    role = "server" if number % 11 == 0 else "workstation"
    hidden = number == 13
    prefix = "".join(word[0] for word in agency.code.split("-")).upper()
    quiet = (
        timedelta(days=dice.randrange(4, 20)) if number % 9 == 4 else timedelta(seconds=dice.randrange(5, 90))
    )
    endpoint = Endpoint(
        id=str(uuid.UUID(int=dice.getrandbits(128), version=4)),
        hostname=HOSTILE if hidden else f"{prefix}-{'SRV' if role == 'server' else 'PC'}-{number:03d}",
        role=role,
        os_name=dice.choice(["Ubuntu 24.04.1 LTS", "Debian GNU/Linux 12 (bookworm)", "Rocky Linux 9.4"]),
        agent_version="0.1.0",
        simulated=number % 4 == 3,
        facts={},
        enrolled_at=now - timedelta(days=40, minutes=number),
        last_seen_at=now - quiet,
        clock_skew_seconds=dice.uniform(-0.4, 0.9),
        silence_mark_seconds=0 if quiet < timedelta(hours=1) else 259200,
    )
    session.add(endpoint)
    session.flush()
    session.add(Assignment(endpoint_id=endpoint.id, agency_id=agency.id, valid_from=endpoint.enrolled_at))
    session.add(
        Certificate(
            sha256=f"{dice.getrandbits(256):064x}",
            endpoint_id=endpoint.id,
            serial=f"{dice.getrandbits(64):x}",
            not_before=endpoint.enrolled_at,
            not_after=endpoint.enrolled_at + timedelta(days=90),
        )
    )
    session.add(
        Stream(
            endpoint_id=endpoint.id,
            stream=f"{dice.getrandbits(128):032x}",
            last_seq=dice.randrange(200, 60000),
            missing=3 if number == 5 else 0,
            dropped=120 if number in (5, 8) else 0,
            updated_at=now - quiet,
        )
    )
    for kind, item, body in [*_documents(dice, endpoint, number, now), *linux_documents(number)]:
        session.add(
            Document(
                endpoint_id=endpoint.id,
                kind=kind,
                item=item,
                body=body,
                digest=digest_of(body),
                observed_at=now - quiet,
                received_at=now - quiet,
                changed_at=now - timedelta(days=2),
            )
        )
        changed = now - timedelta(days=2)
        session.add(
            DocumentChange(endpoint_id=endpoint.id, kind=kind, item=item, body=body, changed_at=changed)
        )
    return endpoint, agency


def _documents(
    dice: random.Random, endpoint: Endpoint, number: int, now: datetime
) -> list[tuple[str, str, dict[str, Any]]]:
    ip, mac = f"10.{number % 40}.1.{number % 250 + 2}", f"52:54:00:{number:02x}:0a:{number % 7:02x}"
    age = dice.choice([0, 0, 1, 1, 2, 5])
    state = {5: "off", 6: "not_installed", 7: "unknown"}.get(number % 10, "on")
    if number % 10 == 8:
        age = 34
    antivirus: dict[str, Any] = {
        "product": "clamav",
        "state": state,
        "engine_version": "1.4.3",
        "database_version": "27814",
        "signature_time": None
        if state in ("not_installed", "unknown")
        else now.timestamp() - age * 86400 - 4000,
        "real_time": "on" if state == "on" and number % 3 else "unknown",
        "real_time_reason": "" if number % 3 else reasons.CLAMONACC_UNCONFIGURED(),
        "last_scan_time": now.timestamp() - 86400.0 * dice.randrange(1, 9) if number % 2 else None,
        "last_scan_state": "known" if number % 2 else "unknown",
        "managed": None,
    }
    if state == "unknown":
        antivirus["reason"] = reasons.CLAMD_NOT_ASKED(
            why=reasons.AT(where="/run/clamav/clamd.ctl", system_error="Permission denied")
        )
    documents: list[tuple[str, str, dict[str, Any]]] = [
        (
            "host",
            "",
            {
                "name": endpoint.hostname,
                "manufacturer": "Dell Inc.",
                "model": "OptiPlex 7010",
                "serial_number": f"8XK{number:04d}",
                "role": endpoint.role,
                "os": {
                    "name": endpoint.os_name,
                    "version": "",
                    "kernel": "6.8.0-48-generic",
                    "family": "linux",
                },
                "boot_time": now.timestamp() - 400000,
                "cpu": {"model": "Intel(R) Core(TM) i5-13500", "count": 20},
                "memory_total_bytes": 16 << 30,
                "addresses": [ip, "fe80::5054:ff:fe00:a01"],
                "mac_addresses": [mac],
                "dmi_state": "ok",
            },
        ),
        ("antivirus", "clamav", antivirus),
        (
            "firewall",
            "",
            {
                "state": "off" if number % 6 == 1 else "on",
                "backend": "nftables",
                "input_policy": "drop",
                "rule_count": 42,
            },
        ),
        (
            "updates",
            "",
            {
                "manager": "apt",
                "pending": 31,
                "security_pending": 4 if number % 5 == 2 else 0,
                "pending_since": now.timestamp() - 86400.0 * 12 if number % 5 == 2 else None,
                "last_check_time": now.timestamp() - 7200,
                "state": "ok",
            },
        ),
        (
            "lan",
            "",
            {
                "interfaces": [
                    {"name": "enp1s0", "mac": mac, "up": True, "speed_mbps": 1000, "addresses": [ip]},
                    {
                        "name": "wlp2s0",
                        "mac": "52:54:00:ff:ff:ff",
                        "up": False,
                        "speed_mbps": None,
                        "addresses": [],
                    },
                ],
                "gateway": {
                    "ip": f"10.{number % 40}.1.1",
                    "mac": "00:1b:54:aa:bb:cc",
                    "interface": "enp1s0",
                    "reachable": True,
                },
                "dns": {"servers": ["10.0.0.53", "10.0.1.53"], "reachable": True},
                "collector": {"reachable": True},
            },
        ),
        (
            "storage",
            "/",
            {
                "mount": "/",
                "device": "/dev/nvme0n1p2",
                "filesystem": "ext4",
                "total_bytes": 512 << 30,
                "used_percent": 20 + number,
                "read_only": False,
            },
        ),
        (
            "storage",
            "/boot",
            {
                "mount": "/boot",
                "device": "/dev/nvme0n1p1",
                "filesystem": "ext4",
                "total_bytes": 1 << 30,
                "used_percent": 94,
                "read_only": False,
            },
        ),
        (
            "software",
            "",
            {
                "packages": [
                    {
                        "name": f"lib{'abcdefgh'[i % 8]}{i}",
                        "version": f"1.{i}.0-2ubuntu1",
                        "architecture": "amd64",
                        "manager": "dpkg",
                    }
                    for i in range(420 if number == 0 else 12)
                ],
                "count": 12,
            },
        ),
    ]
    documents.append(("assessment", "linux", _assessment(number, hidden=endpoint.hostname == HOSTILE)))
    if number == 7:
        documents.append(
            (
                "collector_health",
                "journal",
                {
                    "name": "journal",
                    "ok": False,
                    "duration_seconds": 0.01,
                    "reason": reasons.NO_JOURNAL(),
                },
            )
        )
    return documents


def _assessment(number: int, *, hidden: bool) -> dict[str, Any]:
    """Some of the shipped checks, and one of a newer agent; a machine that lies about everything."""
    bad = {
        "result": "failed",
        "importance": "high",
        "found": "permitrootlogin yes",
        "wanted": "permitrootlogin = no",
    }
    good = {"result": "passed", "importance": "high", "found": "permitrootlogin no"}
    untold = {"result": "unknown", "importance": "medium", "reason": reasons.NO_SYSTEMD(), "last": "passed"}
    checks: dict[str, Any] = {
        "sshd_root_login": bad if number % 3 == 0 else good,
        "auditd_running": untold,
        "umask_default": {
            "result": "failed",
            "importance": "low",
            "found": "UMASK 022",
            "wanted": "UMASK = 027",
        },
        "samba_smb1": {
            "result": "not_applicable",
            "importance": "high",
            "reason": reasons.NOTHING_TO_CHECK(),
        },
        "of_a_newer_agent": {"result": "passed", "importance": "low", "found": "1"},
    }
    if hidden:
        checks |= {
            "sshd_root_login": bad | {"found": HOSTILE, "wanted": HOSTILE},
            HOSTILE: {"result": HOSTILE},
            "x": 7,
        }
    return {"set": "linux", "version": 1, "checks": checks}


def _devices(session: Session, dice: random.Random, agencies: list[Agency], now: datetime) -> None:
    for number, agency in enumerate(agencies[:24]):
        for position in range(dice.randrange(0, 4)):
            session.add(
                Device(
                    agency_id=agency.id,
                    mac=f"3c:2a:f4:{number:02x}:{position:02x}:10",
                    ip=f"10.{number}.1.{200 + position}",
                    kind="gateway" if position == 0 else "",
                    simulated=number % 5 == 3,
                    first_seen_at=now - timedelta(days=9),
                    last_seen_at=now - timedelta(minutes=7 * position + 1),
                )
            )


def _alerts(
    session: Session,
    dice: random.Random,
    catalogue: Catalogue,
    made: list[tuple[Endpoint, Agency]],
    now: datetime,
) -> None:
    rules = [rule for rule in catalogue.values() if not rule.internal]
    for number in range(70):
        endpoint, agency = made[number % len(made)]
        rule = rules[(number * 7) % len(rules)] if rules else None
        at = now - timedelta(minutes=11 * (70 - number), seconds=dice.randrange(60))
        status = "closed" if number < 30 else "acknowledged" if number % 8 == 0 else "open"
        count = dice.choice([1, 1, 1, 4, 17, 1240])
        alert = Alert(
            rule_id=rule.id if rule else str(uuid.UUID(int=1)),
            level=rule.level if rule else "high",
            subject=endpoint.hostname + (" · 203.0.113.7" if number % 3 == 0 else ""),
            subject_key=f"demo-{number}",
            endpoint_id=endpoint.id,
            agency_id=agency.id,
            simulated=endpoint.simulated,
            status=status,
            count=count,
            first_event_at=at,
            last_event_at=at + timedelta(minutes=3 if count > 1 else 0),
            created_at=at,
            updated_at=at,
            cleared_at=at + timedelta(minutes=5) if number % 6 == 0 else None,
        )
        if status != "open":
            alert.acknowledged_at, alert.acknowledged_by = at + timedelta(minutes=4), "analyst"
        if status == "closed":
            alert.closed_at, alert.closed_by = at + timedelta(minutes=50), "analyst"
            alert.close_reason, alert.close_note = "true_positive_fixed", "Đã bật lại clamd và cập nhật mẫu."
        session.add(alert)
        session.flush()
        for step in range(min(count, 4)):
            session.add(
                AlertEvidence(
                    alert_id=alert.id,
                    event_id=f"{number}-{step}",
                    event_time=at + timedelta(seconds=20 * step),
                    event=_event(endpoint, agency, at.timestamp() + 20 * step, number, step),
                )
            )


def _event(endpoint: Endpoint, agency: Agency, at: float, number: int, step: int) -> dict[str, Any]:
    context = {
        "host": {"id": endpoint.id, "name": endpoint.hostname, "role": endpoint.role},
        "agency": {"id": agency.id, "code": agency.code, "name": agency.name},
        "event": {"id": f"{number}-{step}"},
        "simulated": endpoint.simulated,
    }
    if number % 2:
        fields: dict[str, Any] = {
            **context,
            "antivirus": {
                "product": "clamav",
                "state": "off",
                "engine_version": "1.4.3",
                "signature_time": at - 90000,
                "signature_age_days": 1,
            },
            "changed": ["antivirus.state"],
            "previous": {"antivirus": {"state": "on"}},
        }
        source = {"product": "vonggac", "category": "antivirus", "service": ""}
    else:
        fields = {
            **context,
            "event.action": "ssh_login_failed",
            "User": "root" if step else HOSTILE,
            "SourceIP": "203.0.113.7",
            "SourcePort": 40112 + step,
            "Process": "sshd",
            "Pid": 21544,
            "Message": "sshd[21544]: Failed password for root from 203.0.113.7 port 40112 ssh2",
        }
        source = {"product": "linux", "category": "", "service": "auth"}
    return {"id": f"{number}-{step}", "time": at, **source, "fields": fields}
