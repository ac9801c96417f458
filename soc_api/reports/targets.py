"""The plan's statement that a report is held against, by its own wording."""

from __future__ import annotations

from typing import Final

from rules.targets import load_targets
from soc_api.reports.content import Target
from soc_api.reports.errors import ReportError

COVERAGE_TARGET: Final = "TB112-01"


def coverage_target() -> Target:
    """TB112-01: every state agency has centrally managed antivirus software. Raise :class:`ReportError`."""
    found = next((target for target in load_targets() if target.id == COVERAGE_TARGET), None)
    if found is None:
        raise ReportError(f"the plan's target {COVERAGE_TARGET} is missing from rules/targets: reinstall")
    document = found.document
    date = document.date.strftime("%d/%m/%Y")
    return Target(
        id=found.id,
        quote=found.quote,
        source={
            "vi": f"{document.title} ngày {date} của tỉnh {document.province}",
            "en": f"{document.title} of {date}, province of {document.province}",
        },
    )
