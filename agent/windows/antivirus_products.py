"""Antivirus products on Windows: how each is known, and where it says how old its signatures are. Data, nothing else.

Sources: Microsoft's checks of other products in *Defender for Cloud* (Symantec, Trend Micro), the products' own
registry keys as inventory programs read them (ESET, Kaspersky). Of Bkav, CMC and Viettel no status format is known:
only names.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct


class Stamp(Struct, frozen=True):
    """Where a product keeps the day of its signatures.

    ``path`` is a key of HKLM, in either view; a ``*`` stands for any one key. ``pattern`` finds year, month and day in
    the text; with ``seconds`` the value is a number of seconds since the epoch instead.
    """

    path: str
    value: str
    pattern: str = r"(\d{4})-?(\d\d)-?(\d\d)"
    seconds: bool = False


class Product(Struct, frozen=True):
    """``code`` is the document's item. ``names`` are parts of what Security Center calls it, in lower case;
    ``services`` and ``managers`` (the agent of the maker's console) are expressions for whole names of services, in
    lower case."""

    code: str
    names: tuple[str, ...]
    services: str
    managers: str = ""
    stamp: Stamp | None = None


DEFENDER: Final = "defender"

PRODUCTS: Final = (
    Product(DEFENDER, ("windows defender", "microsoft defender"), r"windefend", managers=r"sense"),
    Product("bkav", ("bkav",), r"bkav\w*|blupro\w*"),
    Product(
        "kaspersky",
        ("kaspersky",),
        r"avp[\w.]*|kavfs\w*",
        managers=r"klnagent",
        stamp=Stamp(r"SOFTWARE\KasperskyLab\protected\*\Data", "LastSuccessfulUpdate", seconds=True),
    ),
    Product("viettel", ("viettel", "ajiant"), r"viettel\w*|(vcs[-_.]?)?ajiant\w*"),
    Product(
        "cmc",
        ("cmc antivirus", "cmc internet security", "cmc endpoint", "cmc cloud"),
        r"cmc(av|is|es|edr)\w*",
    ),
    Product(
        "eset",
        ("eset",),
        r"ekrn",
        managers=r"eraagentsvc",
        stamp=Stamp(
            r"SOFTWARE\ESET\ESET Security\CurrentVersion\Info",
            "ScannerVersion",
            r"\((\d{4})(\d\d)(\d\d)\)",
        ),
    ),
    Product(
        "trendmicro",
        ("trend micro", "officescan", "apex one"),
        r"ntrtscan|ds_agent|amsp",
        stamp=Stamp(r"SOFTWARE\TrendMicro\PC-cillinNTCorp\CurrentVersion\Misc.", "PatternDate"),
    ),
    Product(
        "symantec",
        ("symantec", "norton"),
        r"sepmasterservice|norton security|nortonsecurity",
        stamp=Stamp(
            r"SOFTWARE\Symantec\Symantec Endpoint Protection\CurrentVersion\public-opstate",
            "LatestVirusDefsDate",
        ),
    ),
    Product("mcafee", ("mcafee", "trellix"), r"mcshield|mfemms"),
    Product("bitdefender", ("bitdefender",), r"epsecurityservice|vsserv"),
    Product("sophos", ("sophos",), r"sophos endpoint defense service|savservice"),
)

#: Every service above, to look once through the names of all services of a machine.
SERVICES: Final = re.compile(
    "|".join(f"(?:{each})" for product in PRODUCTS for each in (product.services, product.managers) if each)
)


def product_of(name: str) -> Product | None:
    """The product that Security Center calls ``name``."""
    lower = name.lower()
    return next((p for p in PRODUCTS if any(part in lower for part in p.names)), None)


def code_of(name: str) -> str:
    """The item of a product that the table does not know: its name in small letters and digits, cut to 40."""
    return "_".join(re.findall(r"[a-z0-9]+", name.lower()))[:40].strip("_") or "unnamed"
