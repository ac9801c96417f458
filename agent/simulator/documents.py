"""What a simulated machine reports of itself: the same kinds and fields as the real collectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agent import reasons
from agent.messages import HostFacts, Metric, StatusDocument
from agent.simulator.assessment import assessment
from agent.simulator.machines import draw

if TYPE_CHECKING:
    from agent.simulator.machines import Machine

_DAY: Final = 86400.0
_GIB: Final = 1 << 30

#: Product: engine's version, and how its databases are numbered.
_PRODUCTS: Final = {
    "defender": ("4.18.24090.11", "1.419.{day}.0"),
    "kaspersky": ("12.6.0.438", "{day}"),
    "bkav": ("2024.7.1", "{day}"),
    "clamav": ("1.4.1", "{day}"),
}
_COMMON_WINDOWS: Final = (
    ("Microsoft Office Professional Plus 2019", "16.0.10416.20007"),
    ("Google Chrome", "130.0.6723.70"),
    ("Cốc Cốc", "128.0.6613.138"),
    ("UniKey", "4.3 RC5"),
    ("WinRAR", "6.24"),
    ("7-Zip", "23.01"),
    ("Foxit PDF Reader", "2024.3.0"),
    ("Zalo", "24.10.4"),
    ("VNPT-CA Token Manager", "1.0.5"),
    ("UltraViewer", "6.6.104"),
    ("TeamViewer", "15.58.5"),
    ("MISA Mimosa.NET", "2022.R4"),
    ("Adobe Acrobat Reader DC", "24.003.20180"),
    ("VLC media player", "3.0.21"),
    ("Microsoft Edge", "130.0.2849.52"),
    ("HP LaserJet M402", "46.2.2636"),
    ("Canon LBP2900", "3.30"),
    ("Java 8 Update 421", "8.0.4210.9"),
)
_COMMON_LINUX: Final = (
    ("openssh-server", "1:8.9p1-3ubuntu0.10"),
    ("openssl", "3.0.2-0ubuntu1.18"),
    ("nginx", "1.18.0-6ubuntu14.5"),
    ("postgresql-14", "14.13-0ubuntu0.22.04.1"),
    ("clamav-daemon", "1.4.1+dfsg-0"),
    ("sudo", "1.9.9-1ubuntu2.4"),
    ("rsyslog", "8.2112.0-2ubuntu2.2"),
    ("libreoffice-core", "1:7.3.7-0ubuntu0.22.04.7"),
    ("firefox", "131.0.3"),
    ("ibus-unikey", "0.6.1-1.1"),
)


def facts(machine: Machine) -> HostFacts:
    return HostFacts(
        hostname=machine.name,
        machine_id=machine.uuid.replace("-", ""),
        product_uuid=machine.uuid,
        serial_number=machine.serial,
        mac_addresses=[machine.mac],
    )


def documents(
    machine: Machine, seed: int, began: float, now: float, antivirus: str, firewall_on: bool
) -> list[StatusDocument]:
    """Everything that is true of ``machine`` at ``now``; the same at two times unless something changed.

    ``began`` is when the simulated province began (outdated signatures are dated from it). ``antivirus`` and
    ``firewall_on`` are the machine's own, or what just happened to them.
    """
    found = [
        _document("host", _host(machine, seed, began), now),
        _document("software", _software(machine, seed), now),
        _document("antivirus", _antivirus(machine, seed, began, now, antivirus), now, machine.product),
        _document("firewall", _firewall(machine, firewall_on), now),
        _document("updates", _updates(machine, seed, began, now), now),
        _document("lan", _lan(machine), now),
        _document("neighbours", _neighbours(machine), now),
    ]
    checks = assessment(machine, seed, firewall_on)
    found.append(_document("assessment", checks, now, checks["set"]))
    mount = "C:" if machine.system.family == "windows" else "/"
    return [*found, _document("storage", _storage(machine, seed, mount), now, mount)]


def metrics(machine: Machine, seed: int, began: float, now: float) -> list[Metric]:
    """A round of measurements; believable, and different every five minutes."""
    rng = draw(seed, "metrics", machine.index, int(now // 300))
    values: tuple[tuple[str, float, str], ...] = (
        ("host.cpu_used_ratio", rng.betavariate(1.5, 9), "ratio"),
        ("host.memory_used_ratio", min(0.97, rng.gauss(0.55, 0.12)), "ratio"),
        ("host.uptime_seconds", max(1.0, now - _booted(machine, seed, began)), "seconds"),
        ("lan.gateway_rtt_seconds", rng.lognormvariate(-7.4, 0.5), "seconds"),
        ("lan.gateway_loss_ratio", 0.2 if rng.random() < 0.01 else 0.0, "ratio"),
        ("lan.dns_answer_seconds", rng.lognormvariate(-4.6, 0.7), "seconds"),
        ("lan.collector_connect_seconds", rng.lognormvariate(-4.8, 0.4), "seconds"),
    )
    return [Metric(name=name, time=now, value=round(value, 6), unit=unit) for name, value, unit in values]


def _document(kind: str, body: dict[str, Any], now: float, item: str = "") -> StatusDocument:
    return StatusDocument(kind=kind, observed_at=now, body=body, item=item)


def _booted(machine: Machine, seed: int, began: float) -> float:
    return round(began - draw(seed, "boot", machine.index).uniform(1, 30 if machine.server else 5) * _DAY)


def _host(machine: Machine, seed: int, began: float) -> dict[str, Any]:
    model, system = machine.model, machine.system
    return {
        "name": machine.name,
        "fqdn": f"{machine.name.lower()}.{machine.token.agency_code}.invalid",
        "manufacturer": model.manufacturer,
        "model": model.model,
        "serial_number": machine.serial,
        "product_uuid": machine.uuid,
        "machine_id": machine.uuid.replace("-", ""),
        "chassis_type": model.chassis,
        "role": "server" if machine.server else "workstation",
        "os": {
            "name": system.name,
            "version": system.version,
            "kernel": system.kernel,
            "family": system.family,
        },
        "boot_time": _booted(machine, seed, began),
        "cpu": {"model": model.cpu, "count": model.cores},
        "memory_total_bytes": model.memory_gb * _GIB,
        "addresses": [machine.ip],
        "mac_addresses": [machine.mac],
        "virtualization": "none",
        "dmi_state": "ok",
    }


def _software(machine: Machine, seed: int) -> dict[str, Any]:
    windows = machine.system.family == "windows"
    catalogue = _COMMON_WINDOWS if windows else _COMMON_LINUX
    rng = draw(seed, "software", machine.index)
    chosen = sorted(rng.sample(catalogue, rng.randint(len(catalogue) // 2, len(catalogue))))
    manager = "msi" if windows else "dpkg"
    packages = [
        {"name": name, "version": version, "architecture": "amd64", "manager": manager}
        for name, version in chosen
    ]
    return {"packages": packages, "count": len(packages)}


def signature_time(machine: Machine, seed: int, began: float, now: float, antivirus: str) -> float:
    """Signatures come once a day, each machine at its own hour; outdated ones stopped coming long ago."""
    rng = draw(seed, "signatures", machine.index)
    hour = rng.uniform(0, _DAY)
    age = rng.uniform(16, 120) * _DAY
    if antivirus == "outdated":
        return float(round(began - age))
    return float(round(hour + ((now - hour) // _DAY) * _DAY - 3600))


def _antivirus(machine: Machine, seed: int, began: float, now: float, antivirus: str) -> dict[str, Any]:
    engine, numbering = _PRODUCTS[machine.product]
    body: dict[str, Any] = {"product": machine.product, "managed": machine.product == "kaspersky"}
    if antivirus == "none":
        return {
            "product": machine.product,
            "state": "not_installed",
            "reason": reasons.NO_ANTIVIRUS(),
            "signature_time": None,
            "real_time": "unknown",
            "last_scan_state": "unknown",
            "last_scan_time": None,
            "managed": None,
        }
    if antivirus == "unknown":
        return body | {
            "state": "unknown",
            "reason": reasons.PRODUCT_SILENT(),
            "signature_time": None,
            "real_time": "unknown",
            "last_scan_state": "unknown",
            "last_scan_time": None,
        }
    signed = signature_time(machine, seed, began, now, antivirus)
    scanned = draw(seed, "scan", machine.index).uniform(0.5, 12) * _DAY
    on = antivirus != "off"
    return body | {
        "state": "on" if on else "off",
        "reason": "" if on else reasons.SERVICE_STOPPED(),
        "engine_version": engine,
        "database_version": numbering.format(day=int(signed // _DAY)),
        "signature_time": signed,
        "real_time": "on" if on else "off",
        "last_scan_time": float(round(began - scanned)),
        "last_scan_state": "known",
    }


def _firewall(machine: Machine, firewall_on: bool) -> dict[str, Any]:
    backend = "windows_firewall" if machine.system.family == "windows" else "nftables"
    return {
        "state": "on" if firewall_on else "off",
        "reason": "" if firewall_on else reasons.TURNED_OFF(),
        "backend": backend,
        "input_policy": "drop" if firewall_on else "accept",
        "rule_count": 148 if firewall_on else 0,
    }


def _updates(machine: Machine, seed: int, began: float, now: float) -> dict[str, Any]:
    rng = draw(seed, "updates", machine.index)
    pending = rng.randint(1, 24) if machine.updates_pending else 0
    security = rng.randint(1, pending) if pending else 0
    since = round(began - rng.uniform(0.5, 38) * _DAY)
    return {
        "manager": "windows_update" if machine.system.family == "windows" else "apt",
        "pending": pending,
        "security_pending": security,
        "pending_since": float(since) if security else None,
        "last_check_time": float(now // _DAY * _DAY),
        "state": "ok",
        "reason": "",
    }


def _lan(machine: Machine) -> dict[str, Any]:
    name = "Ethernet" if machine.system.family == "windows" else "eth0"
    return {
        "interfaces": [
            {"name": name, "mac": machine.mac, "up": True, "speed_mbps": 1000, "addresses": [machine.ip]}
        ],
        "gateway": {
            "ip": machine.gateway.ip,
            "mac": machine.gateway.mac,
            "interface": name,
            "reachable": True,
            "reason": "",
        },
        "dns": {"servers": [machine.gateway.ip], "reachable": True, "reason": ""},
        "collector": {"reachable": True, "reason": ""},
    }


def _neighbours(machine: Machine) -> dict[str, Any]:
    name = "Ethernet" if machine.system.family == "windows" else "eth0"
    return {"entries": [{"ip": n.ip, "mac": n.mac, "interface": name} for n in machine.neighbours]}


def _storage(machine: Machine, seed: int, mount: str) -> dict[str, Any]:
    windows = machine.system.family == "windows"
    used = min(99, max(8, round(draw(seed, "storage", machine.index).gauss(58, 16))))
    return {
        "mount": mount,
        "device": r"\\.\PhysicalDrive0" if windows else "/dev/sda2",
        "filesystem": "NTFS" if windows else "ext4",
        "total_bytes": machine.model.disk_gb * _GIB,
        "used_percent": used,
        "read_only": False,
    }
