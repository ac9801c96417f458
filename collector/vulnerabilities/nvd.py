"""The NVD's records (JSON 2.0, https://nvd.nist.gov/developers/vulnerabilities): severity of every CVE, and which
versions of programs are affected.

Only what can be read without doubt is matched: configurations of one node of alternatives (a second node is let be
where it only says that Windows is underneath), ranges of numbers, for Windows or for any system.
"""

from __future__ import annotations

import re
from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from collector.vulnerabilities.cvss import by_score
from collector.vulnerabilities.ecosystems import WINDOWS
from collector.vulnerabilities.errors import RecordError
from collector.vulnerabilities.models import Advisory, AffectedPackage, Interval
from collector.vulnerabilities.osv import CVE, utc

_UNESCAPED_COLON: Final = re.compile(r"(?<!\\):")
_MOST_MATCHES: Final = 20_000
_LONGEST_SUMMARY: Final = 300
_METRICS: Final = ("cvssMetricV31", "cvssMetricV30", "cvssMetricV40", "cvssMetricV2")


class _Match(Struct, rename="camel"):
    vulnerable: bool
    criteria: str
    version_start_including: str | None = None
    version_start_excluding: str | None = None
    version_end_including: str | None = None
    version_end_excluding: str | None = None


class _Node(Struct, rename="camel"):
    operator: str = "OR"
    negate: bool = False
    cpe_match: list[_Match] = []


class _Configuration(Struct):
    nodes: list[_Node] = []
    operator: str = "OR"
    negate: bool = False


class _Text(Struct):
    lang: str
    value: str


class _Data(Struct, rename="camel"):
    base_score: float


class _Metric(Struct, rename="camel"):
    cvss_data: _Data
    type: str = "Primary"


class _Cve(Struct, rename="camel"):
    id: str
    published: datetime
    last_modified: datetime
    vuln_status: str = ""
    descriptions: list[_Text] = []
    metrics: dict[str, Any] = field(default_factory=dict)
    configurations: list[_Configuration] = []


class _Item(Struct):
    cve: _Cve


def parse_nvd(item: Any) -> Advisory | None:
    """One entry of ``vulnerabilities``; None for a CVE that was rejected.

    Raises:
        RecordError: it is not as the schema says, or larger than any real one.
    """
    try:
        cve = msgspec.convert(item, _Item).cve
        metrics = {name: msgspec.convert(cve.metrics.get(name, []), list[_Metric]) for name in _METRICS}
    except (msgspec.ValidationError, UnicodeEncodeError, RecursionError) as error:
        raise RecordError(str(error)[:300]) from error
    if not CVE.fullmatch(cve.id):
        raise RecordError("its id is no CVE's")
    if cve.vuln_status == "Rejected":
        return None
    score = next((_first(metrics[name]) for name in _METRICS if metrics[name]), None)
    if score is not None and not 0 <= score <= 10:
        raise RecordError("a score that is not between 0 and 10")
    summary = next((text.value for text in cve.descriptions if text.lang == "en"), "")
    return Advisory(
        record_id=cve.id,
        names=(cve.id,),
        summary=" ".join(summary.split())[:_LONGEST_SUMMARY],
        severity="unknown" if score is None else by_score(score),
        score=score,
        published_at=utc(cve.published),
        modified_at=utc(cve.last_modified),
        packages=_packages(cve.configurations),
    )


def _first(metrics: list[_Metric]) -> float:
    chosen = next((each for each in metrics if each.type == "Primary"), metrics[0])
    return chosen.cvss_data.base_score


def _packages(configurations: list[_Configuration]) -> tuple[AffectedPackage, ...]:
    found: dict[str, dict[Interval, None]] = {}
    matches = [match for each in configurations for match in _alternatives(each)]
    if len(matches) > _MOST_MATCHES:
        raise RecordError(f"more than {_MOST_MATCHES} products")
    for match in matches:
        product, interval = _product(match)
        if interval is not None:
            found.setdefault(product, {})[interval] = None
    return tuple(AffectedPackage(WINDOWS, name, tuple(intervals)) for name, intervals in found.items())


def _alternatives(configuration: _Configuration) -> list[_Match]:
    """The vulnerable products of a configuration that can be read without doubt, else none."""
    nodes = [node for node in configuration.nodes if not _is_windows(node)]
    if len(nodes) != 1 or configuration.negate or nodes[0].negate or nodes[0].operator != "OR":
        return []
    return [match for match in nodes[0].cpe_match if match.vulnerable]


def _is_windows(node: _Node) -> bool:
    """Whether a node only says that Windows is one of the systems underneath."""
    return (
        node.operator == "OR"
        and not node.negate
        and bool(node.cpe_match)
        and not any(match.vulnerable for match in node.cpe_match)
        and any(match.criteria.startswith("cpe:2.3:o:microsoft:windows") for match in node.cpe_match)
    )


def _product(match: _Match) -> tuple[str, Interval | None]:
    """``vendor:product`` and its versions; None where another system or edition is meant, or a start that is itself
    not affected (which an interval cannot say)."""
    parts = _UNESCAPED_COLON.split(match.criteria)
    if len(parts) != 13 or parts[:3] != ["cpe", "2.3", "a"]:
        return "", None
    vendor, product, version, update = parts[3:7]
    edition, system = parts[7], parts[10]
    plain = edition in "*-" and system in ("*", "-", "windows") and update in "*-"
    bounds = (match.version_end_excluding, match.version_end_including)
    if not plain or match.version_start_excluding or len(vendor) + len(product) > 200:
        return "", None
    name = f"{vendor}:{product}"
    if version not in ("*", "-"):
        return name, Interval(version.replace("\\", "")[:255], last=version.replace("\\", "")[:255])
    if version == "-" or not any(bounds):
        return "", None
    start = (match.version_start_including or "0")[:255]
    return name, Interval(start, fixed=(bounds[0] or "")[:255], last=(bounds[1] or "")[:255])
