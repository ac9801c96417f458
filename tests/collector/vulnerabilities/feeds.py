"""Feeds as they are published, made small."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

OPENSSL = "3.0.11-1~deb12u2"


def osv(
    record_id: str,
    *affected: tuple[str, str, list[dict[str, str]]],
    modified: str = "2026-11-10T00:00:00Z",
    **more: Any,
) -> dict[str, Any]:
    """A record; ``affected`` are ``(ecosystem, package, events)``."""
    return {
        "schema_version": "1.7.0",
        "id": record_id,
        "modified": modified,
        "published": "2026-10-01T00:00:00Z",
        "details": f"What {record_id} is about.",
        "affected": [
            {
                "package": {"ecosystem": ecosystem, "name": name, "purl": "pkg:deb/debian/x?arch=source"},
                "ranges": [{"type": "ECOSYSTEM", "events": events}],
            }
            for ecosystem, name, events in affected
        ],
        **more,
    }


def below(fixed: str = "", introduced: str = "0") -> list[dict[str, str]]:
    """Events: affected from ``introduced`` on, until ``fixed`` (empty: not fixed yet)."""
    return [{"introduced": introduced}, *([{"fixed": fixed}] if fixed else [])]


def debian(**changes: Any) -> list[dict[str, Any]]:
    """openssl: one fixed in the installed version, one above it, one without a fix; bash: fixed long ago."""
    return [
        osv("DEBIAN-CVE-2023-5363", ("Debian:12", "openssl", below("3.0.11-1~deb12u2")), **changes),
        osv(
            "DEBIAN-CVE-2026-1001",
            ("Debian:12", "openssl", below("3.0.15-1~deb12u1")),
            ("Debian:11", "openssl", below("1.1.1w-0+deb11u2")),
            severity=[{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
            **changes,
        ),
        osv("DEBIAN-CVE-2026-1002", ("Debian:12", "openssl", below()), **changes),
        osv(
            "DSA-5999-1",
            ("Debian:12", "openssl", below("3.0.15-1~deb12u1")),
            upstream=["CVE-2026-1001"],
            **changes,
        ),
        osv("DEBIAN-CVE-2014-6271", ("Debian:12", "bash", below("4.3-9.1")), **changes),
        osv("DEBIAN-CVE-2026-1003", ("Debian:14", "openssl", below("9")), withdrawn="2026-11-01T00:00:00Z"),
        osv("PYSEC-2026-1", ("PyPI", "django", below("5"))),
    ]


def write_zip(path: Path, records: list[Any]) -> Path:
    """``records`` are documents, or bytes as they are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, record in enumerate(records):
            name = record["id"] if isinstance(record, dict) and "id" in record else f"record-{number}"
            raw = record if isinstance(record, bytes) else json.dumps(record).encode()
            archive.writestr(f"{name}.json", raw)
    return path


def kev(*cves: str) -> dict[str, Any]:
    listed = [
        {"cveID": cve, "dateAdded": "2026-11-05", "vulnerabilityName": f"Name of {cve}", "vendorProject": "x"}
        for cve in cves
    ]
    return {"catalogVersion": "2026.11.20", "count": len(listed), "vulnerabilities": listed}


def nvd_item(cve: str, score: float, *matches: dict[str, Any], **more: Any) -> dict[str, Any]:
    nodes = [{"operator": "OR", "negate": False, "cpeMatch": [{"vulnerable": True, **m} for m in matches]}]
    return {
        "cve": {
            "id": cve,
            "published": "2026-10-01T12:15:00.000",
            "lastModified": "2026-11-12T12:15:00.000",
            "vulnStatus": "Analyzed",
            "descriptions": [{"lang": "en", "value": f"NVD on {cve}."}],
            "metrics": {"cvssMetricV31": [{"type": "Primary", "cvssData": {"baseScore": score}}]},
            "configurations": [{"nodes": nodes}] if matches else [],
            **more,
        }
    }


def nvd(*items: dict[str, Any]) -> dict[str, Any]:
    return {
        "resultsPerPage": len(items),
        "format": "NVD_CVE",
        "version": "2.0",
        "vulnerabilities": list(items),
    }


def write_json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def host(family: str = "debian", version: str = "12", name: str = "Debian GNU/Linux") -> dict[str, Any]:
    return {"name": "pc", "os": {"name": name, "version": version, "family": family, "kernel": "6.1"}}


def software(*packages: tuple[str, ...], manager: str = "dpkg") -> dict[str, Any]:
    """``packages`` are ``(name, version[, source[, source's version]])``."""
    keys = ("name", "version", "source", "source_version")
    listed = [
        {"architecture": "amd64", "manager": manager, **dict(zip(keys, each, strict=False))}
        for each in packages
    ]
    return {"packages": listed, "count": len(listed)}


SERVER = software(
    ("bash", "5.2.15-2+b7", "bash", "5.2.15-2"), ("libssl3", OPENSSL, "openssl"), ("openssl", OPENSSL)
)
