"""CISA's catalogue of known exploited vulnerabilities (JSON): which CVEs have been used in attacks, and since when
that is known."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import msgspec
from msgspec import Struct

from collector.vulnerabilities.errors import RecordError
from collector.vulnerabilities.models import Advisory
from collector.vulnerabilities.osv import CVE

_LONGEST_SUMMARY = 300


class _Entry(Struct, rename={"cve_id": "cveID", "date_added": "dateAdded", "name": "vulnerabilityName"}):
    cve_id: str
    date_added: date
    name: str = ""


def parse_kev(item: Any) -> Advisory:
    """One entry of ``vulnerabilities``.

    Raises:
        RecordError: it is not as the schema says.
    """
    try:
        entry = msgspec.convert(item, _Entry)
    except (msgspec.ValidationError, UnicodeEncodeError, RecursionError) as error:
        raise RecordError(str(error)[:300]) from error
    if not CVE.fullmatch(entry.cve_id):
        raise RecordError("its cveID is no CVE's")
    added = datetime(entry.date_added.year, entry.date_added.month, entry.date_added.day, tzinfo=UTC)
    return Advisory(
        record_id=entry.cve_id,
        names=(entry.cve_id,),
        summary=" ".join(entry.name.split())[:_LONGEST_SUMMARY],
        severity="unknown",
        modified_at=added,
        exploited_at=added,
    )
