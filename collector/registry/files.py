"""Reads agencies from CSV: the project's own list, or one that an administrator brings."""

from __future__ import annotations

import csv
import io
import re
from datetime import date
from importlib import resources
from typing import TYPE_CHECKING

from collector.registry.errors import RegistryRowError
from collector.registry.models import LEVELS, AgencyRow

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS = ("code", "name", "level", "officials", "organ_id", "valid_from", "valid_to")
_REQUIRED = ("code", "name", "level")
_CODE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_MAX_OFFICIALS = 1_000_000


def builtin_rows(name: str = "thanh_hoa") -> list[AgencyRow]:
    """The agencies that the project ships: Thanh Hóa's 49, with the officials of Kế hoạch 22/KH-UBND
    (2016).
    """
    text = (resources.files("collector.registry") / "data" / f"{name}.csv").read_text(encoding="utf-8")
    return parse_agencies(text)


def parse_agencies(text: str) -> list[AgencyRow]:
    """Rows of a CSV with a header of :data:`COLUMNS` (the last four may be missing), a byte order mark or
    none.

    Raises:
        RegistryRowError: the first thing wrong, by row (1 is the header) and column.
    """
    try:
        return _parse(text)
    except csv.Error as error:
        raise RegistryRowError(1, "", f"not a CSV file: {error}") from error


def _parse(text: str) -> list[AgencyRow]:
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    header = list(reader.fieldnames or [])
    for column in _REQUIRED:
        if column not in header:
            raise RegistryRowError(1, column, "this column is missing")
    for column in header:
        if column not in COLUMNS:
            raise RegistryRowError(1, column, f"unknown column; known: {', '.join(COLUMNS)}")
    rows: list[AgencyRow] = []
    seen: set[str] = set()
    for number, cells in enumerate(reader, start=2):
        row = _row(number, cells)
        if row.code in seen:
            raise RegistryRowError(number, "code", f"{row.code!r} stands twice")
        seen.add(row.code)
        rows.append(row)
    return rows


def _row(number: int, cells: Mapping[str, str | None]) -> AgencyRow:
    if None in cells:
        raise RegistryRowError(number, "", "more cells than columns")
    code, name, level = ((cells.get(column) or "").strip() for column in _REQUIRED)
    if not _CODE.fullmatch(code):
        raise RegistryRowError(number, "code", f"{code!r} is not of small letters, digits and dashes")
    if not name or len(name) > 255 or not name.isprintable():
        raise RegistryRowError(number, "name", "empty, too long or not printable")
    if level not in LEVELS:
        raise RegistryRowError(number, "level", f"{level!r} is none of {', '.join(LEVELS)}")
    return AgencyRow(
        code=code,
        name=name,
        level=level,
        officials=_officials(number, (cells.get("officials") or "").strip()),
        organ_id=(cells.get("organ_id") or "").strip() or None,
        valid_from=_date(number, "valid_from", cells.get("valid_from")),
        valid_to=_date(number, "valid_to", cells.get("valid_to")),
    )


def _officials(number: int, text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,7}", text) or int(text) > _MAX_OFFICIALS:
        raise RegistryRowError(number, "officials", f"{text!r} is not a number of people")
    return int(text)


def _date(number: int, column: str, text: str | None) -> date | None:
    if text is None or not text.strip():
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise RegistryRowError(number, column, f"{text!r} is not a date as 2026-07-01") from None
