"""The body of an ``antivirus`` document: its fields are the same whichever product and system it is of."""

from __future__ import annotations

from typing import Any


def antivirus_body(product: str, facts: dict[str, Any]) -> dict[str, Any]:
    """All fields: as ``facts`` have them, and what they leave out as not known, real-time protection as off."""
    return {
        "product": product,
        "state": "unknown",
        "reason": "",
        "engine_version": None,
        "database_version": None,
        "signature_time": None,
        "real_time": "off",
        "real_time_reason": "",
        "last_scan_time": None,
        "last_scan_state": "unknown",
        "managed": None,
        **facts,
    }
