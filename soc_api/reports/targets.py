"""The plan's statement that a report is held against, by its own wording."""

from __future__ import annotations

from typing import Final

from soc_api.reports.content import Target

_SOURCE: Final = {
    "vi": "Kế hoạch 112/KH-UBND ngày 31/10/2019 của UBND tỉnh Thái Bình",
    "en": "Plan 112/KH-UBND of 31/10/2019, People's Committee of Thái Bình",
}


def coverage_target() -> Target:
    """TB112-01: every state agency has centrally managed antivirus software."""
    return Target(
        id="TB112-01",
        quote="100% cơ quan nhà nước các cấp và đơn vị trực thuộc được triển khai phần mềm diệt virus có bản "
        "quyền quản lý tập trung (endpoint security)",
        source=_SOURCE,
    )
