"""Antivirus on Windows: Security Center's rows, Defender's own status, and services where there is no Security Center.

Security Center (clients only) says of each product whether it is on and whether its signatures are current, never of
when they are, and keeps rows of products that are gone. Defender says everything of itself. Windows Server has no
Security Center: there a product is known by its services, and only that it runs.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from agent import reasons
from agent.collectors.common.antivirus_document import antivirus_body
from agent.collectors.common.files import clean_text
from agent.windows import registry as reg
from agent.windows import wmi as cim
from agent.windows.antivirus_products import DEFENDER, PRODUCTS, SERVICES, Product, code_of, product_of
from agent.windows.security_center import ProductState, parse_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from agent.windows.registry import Registry, View
    from agent.windows.wmi import Row, Wmi

SERVICES_KEY: Final = r"SYSTEM\CurrentControlSet\Services"
SECURITY_CENTER: Final = r"root\SecurityCenter2"
DEFENDER_SPACE: Final = r"root\Microsoft\Windows\Defender"
ROW_FIELDS: Final = ("displayName", "productState", "pathToSignedProductExe", "pathToSignedReportingExe")
STATUS_FIELDS: Final = (
    *("AMServiceEnabled", "AntivirusEnabled", "RealTimeProtectionEnabled", "AMRunningMode"),
    *("AMEngineVersion", "AntivirusSignatureVersion", "AntivirusSignatureLastUpdated", "IsTamperProtected"),
    *("QuickScanEndTime", "FullScanEndTime", "QuickScanAge", "FullScanAge"),
)
#: What Defender says of a scan that never was: all bits of a 32-bit age, of a 16-bit one on older versions.
_NEVER: Final = frozenset({0xFFFFFFFF, 0xFFFF})
_ON_A_DRIVE: Final = re.compile(r"[A-Za-z]:[\\/]")
_SAFE_NAME: Final = re.compile(r"[A-Za-z0-9_. -]{1,80}")
#: How many products are told of; a machine with more lists them to hide something.
MAX_PRODUCTS: Final = 16

Body = dict[str, Any]


class Found(Struct, frozen=True):
    """What was read. ``rows`` is ``None`` where there is no Security Center; ``services`` are names in lower case, and
    whether each runs."""

    rows: list[Row] | None
    defender: Row | None
    services: dict[str, bool]


def read(registry: Registry, wmi: Wmi) -> Found:
    """Asks Security Center, Defender and the services that the table names.

    Raises:
        WmiError: Security Center is there and does not answer.
    """
    try:
        rows: list[Row] | None = wmi.instances(SECURITY_CENTER, "AntiVirusProduct", ROW_FIELDS)
    except cim.WmiMissingError:
        rows = None
    try:
        status = wmi.instances(DEFENDER_SPACE, "MSFT_MpComputerStatus", STATUS_FIELDS)
    except (
        cim.WmiError
    ):  # not installed, removed by policy, or broken: Security Center and the service remain
        status = []
    return Found(rows=rows, defender=status[0] if status else None, services=read_services(registry, wmi))


def read_services(registry: Registry, wmi: Wmi) -> dict[str, bool]:
    """Services of antivirus products by name in lower case; whether each runs."""
    names = [
        name
        for name in registry.subkeys("HKLM", SERVICES_KEY)
        if SERVICES.fullmatch(name.lower()) and _SAFE_NAME.fullmatch(name)
    ]
    if not names:
        return {}
    condition = " OR ".join(f"Name = '{name}'" for name in names[:MAX_PRODUCTS])
    rows = wmi.instances(r"root\cimv2", "Win32_Service", ("Name", "State"), condition)
    return {cim.text(row, "Name").lower(): cim.text(row, "State") == "Running" for row in rows}


def documents(found: Found, registry: Registry, exists: Callable[[str], bool], now: float) -> dict[str, Body]:
    """The ``antivirus`` documents by item; one says ``not_installed`` where nothing was found."""
    bodies = {}
    for code, (row, product, name) in _products_of(found.rows or (), exists).items():
        if code == DEFENDER and found.defender is not None:
            continue
        bodies[code] = _of_row(row, product, name, registry, exists, now)
    if found.defender is not None:
        bodies[DEFENDER] = of_defender(found.defender)
    for product in PRODUCTS:
        running = [on for name, on in found.services.items() if re.fullmatch(product.services, name)]
        known = bodies.get(product.code)
        if running and (known is None or known["state"] == "not_installed"):
            bodies[product.code] = _of_service(product, any(running), registry, now, found.rows is not None)
        if product.managers and product.code in bodies:
            bodies[product.code]["managed"] = any(
                on and re.fullmatch(product.managers, name) is not None for name, on in found.services.items()
            )
    if not bodies:
        return {"": _body("", state="not_installed")}
    return dict(sorted(bodies.items())[:MAX_PRODUCTS])


def of_defender(row: Row) -> Body:
    """``MSFT_MpComputerStatus``. Beside another product Defender is passive: it does not protect then."""
    mode = cim.text(row, "AMRunningMode")
    on = cim.truth(row, "AntivirusEnabled")
    state, reason = "on", ""
    if cim.truth(row, "AMServiceEnabled") is False:
        state, reason = "off", reasons.SERVICE_STOPPED()
    elif "passive" in mode.lower() or "edr" in mode.lower():
        state, reason = "off", reasons.DEFENDER_PASSIVE(mode=clean_text(mode, 60))
    elif on is not True:
        state, reason = (
            ("off", reasons.TURNED_OFF()) if on is False else ("unknown", reasons.PRODUCT_SILENT())
        )
    guards = cim.truth(row, "RealTimeProtectionEnabled")
    signatures = cim.cim_time(row.get("AntivirusSignatureLastUpdated"))
    ended = [cim.cim_time(row.get(name)) for name in ("QuickScanEndTime", "FullScanEndTime")]
    last_scan = max((each for each in ended if each is not None), default=None)
    ages = [cim.number(row, name) for name in ("QuickScanAge", "FullScanAge")]
    never = last_scan is None and all(age in _NEVER for age in ages)
    return _body(
        DEFENDER,
        state=state,
        reason=reason,
        engine_version=clean_text(cim.text(row, "AMEngineVersion"), 60) or None,
        database_version=clean_text(cim.text(row, "AntivirusSignatureVersion"), 60) or None,
        signature_time=signatures,
        signature_reason="" if signatures is not None else reasons.SIGNATURES_NEVER_FETCHED(),
        real_time="unknown" if guards is None else "on" if guards and state == "on" else "off",
        last_scan_time=last_scan,
        last_scan_state="never" if never else "unknown" if last_scan is None else "known",
        tamper_protected=cim.truth(row, "IsTamperProtected"),
    )


def signature_time(product: Product, registry: Registry, now: float) -> float | None:
    """When the product's signatures are of, where its registry key says so; no day that has not come yet."""
    stamp = product.stamp
    if stamp is None:
        return None
    views: tuple[View, ...] = (64, 32)
    for view in views:
        for path in _expand(registry, stamp.path, view):
            try:
                raw = reg.named(registry.values("HKLM", path, view), stamp.value)
            except reg.RegistryDeniedError:
                continue
            moment = parse_stamp(raw, stamp.pattern, stamp.seconds)
            if moment is not None and moment < now + 86_400:
                return moment
    return None


def parse_stamp(raw: reg.Value | None, pattern: str, seconds: bool) -> float | None:
    """The moment that a value says: seconds since the epoch, or a day (its midnight in UTC)."""
    if seconds:
        return float(raw) if isinstance(raw, int) and 946_684_800 < raw < 0xFFFFFFFF else None
    match = re.search(pattern, str(raw)[:200]) if isinstance(raw, str | int) else None
    if match is None:
        return None
    try:
        return datetime(int(match[1]), int(match[2]), int(match[3]), tzinfo=UTC).timestamp()
    except ValueError:
        return None


def program_exists(path: str) -> bool:
    """Whether a program that Security Center names is there (``%ProgramFiles%\\…`` too).

    Only drives of this machine are looked at: another one (``\\\\server\\…``) would be asked as the system itself.
    """
    expanded = os.path.expandvars(path.strip().strip('"'))
    if not _ON_A_DRIVE.match(expanded):
        return True
    return os.path.exists(expanded)  # noqa: PTH110 - a text of Windows


def _products_of(
    rows: Iterable[Row], exists: Callable[[str], bool]
) -> dict[str, tuple[Row, Product | None, str]]:
    """The best row of each product: one whose program is there before one whose is not, on before off."""
    best: dict[str, tuple[tuple[bool, bool], tuple[Row, Product | None, str]]] = {}
    for row in rows:
        name = clean_text(cim.text(row, "displayName"))
        product = product_of(name)
        code = product.code if product is not None else code_of(name)
        rank = (not _is_stale(row, exists), parse_state(cim.number(row, "productState") or 0).on)
        if code not in best or rank > best[code][0]:
            best[code] = (rank, (row, product, name))
    return {code: chosen for code, (_, chosen) in best.items()}


def _is_stale(row: Row, exists: Callable[[str], bool]) -> bool:
    """Whether the row outlived its product: it names programs on a drive, and none of them is there."""
    paths = [cim.text(row, name) for name in ("pathToSignedProductExe", "pathToSignedReportingExe")]
    local = [path for path in paths if path and "://" not in path]
    return bool(local) and not any(exists(path) for path in local)


def _of_row(
    row: Row,
    product: Product | None,
    name: str,
    registry: Registry,
    exists: Callable[[str], bool],
    now: float,
) -> Body:
    label = product.code if product is not None else name
    if _is_stale(row, exists):
        return _body(label, state="not_installed", reason=reasons.STALE_ROW())
    number = cim.number(row, "productState")
    state = ProductState("unknown", None, own=False) if number is None else parse_state(number)
    word, reason = _power(state)
    moment = None if product is None else signature_time(product, registry, now)
    return _body(
        label,
        state=word,
        reason=reason,
        real_time=word,
        real_time_reason=reason,
        signature_time=moment,
        signature_reason="" if moment is not None else _told_of_signatures(state.current),
        signatures={True: "current", False: "outdated", None: "unknown"}[state.current],
        last_scan_reason=reasons.SECURITY_CENTER_TELLS_NO_SCAN(),
    )


def _power(state: ProductState) -> tuple[str, str]:
    if state.power == "on":
        return "on", ""
    if state.power == "unknown":
        return "unknown", reasons.PRODUCT_STATE_UNKNOWN()
    words: Mapping[str, str] = {
        "off": reasons.TURNED_OFF(),
        "snoozed": reasons.PRODUCT_SNOOZED(),
        "expired": reasons.PRODUCT_EXPIRED(),
    }
    return "off", words[state.power]


def _told_of_signatures(current: bool | None) -> str:
    if current is None:
        return reasons.SIGNATURE_DATE_UNTOLD_BY_PRODUCT()
    return reasons.SIGNATURES_SAID_CURRENT() if current else reasons.SIGNATURES_SAID_OLD()


def _of_service(product: Product, running: bool, registry: Registry, now: float, centre: bool) -> Body:
    moment = signature_time(product, registry, now)
    return _body(
        product.code,
        state="on" if running else "off",
        reason=(reasons.NOT_IN_SECURITY_CENTER() if centre else "") if running else reasons.SERVICE_STOPPED(),
        real_time="unknown" if running else "off",
        real_time_reason=reasons.ONLY_THE_SERVICE_IS_KNOWN() if running else reasons.SERVICE_STOPPED(),
        signature_time=moment,
        signature_reason="" if moment is not None else reasons.SIGNATURE_DATE_UNTOLD_BY_PRODUCT(),
        last_scan_reason=reasons.ONLY_THE_SERVICE_IS_KNOWN(),
    )


def _body(product: str, **facts: object) -> Body:
    """The document as every antivirus collector sends it."""
    said = {
        key: value for key, value in facts.items() if value != "" or key in ("reason", "real_time_reason")
    }
    return antivirus_body(product, said)


def _expand(registry: Registry, path: str, view: View) -> Sequence[str]:
    head, star, tail = path.partition("\\*\\")
    if not star:
        return (path,)
    try:
        return [rf"{head}\{key}\{tail}" for key in registry.subkeys("HKLM", head, view)[:32]]
    except reg.RegistryDeniedError:
        return ()
