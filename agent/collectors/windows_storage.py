"""Local volumes of this Windows: their size, and how full they are."""

from __future__ import annotations

from agent import reasons
from agent.collectors.registry import (
    WINDOWS,
    CollectorError,
    Context,
    NothingToReport,
    Output,
    StatusDocument,
    collector,
)
from agent.collectors.storage import settle
from agent.windows.volumes import CIMV2, DISK_FIELDS, LOCAL, parse_volumes
from agent.windows.wmi import WmiError, wmi


@collector(
    "storage",
    interval_seconds=300,
    platforms={WINDOWS},
    privileges="none",
    description="Local volumes: size, how full, read-only or not; one document a drive letter",
)
def collect(ctx: Context) -> Output:
    try:
        rows = wmi().instances(CIMV2, "Win32_LogicalDisk", DISK_FIELDS, LOCAL)
    except WmiError as error:
        raise CollectorError(reasons.WMI_SILENT(detail=error)) from error
    bodies = parse_volumes(rows)
    if not bodies:
        raise NothingToReport(reasons.NO_VOLUME())
    told = ctx.state.get("used_percent") or {}
    for mount, body in bodies.items():
        body["used_percent"] = settle(body["used_percent"], told.get(mount))
    percents = {mount: body["used_percent"] for mount, body in bodies.items()}
    if percents != told:
        ctx.state["used_percent"] = percents
    return Output(
        documents=[
            StatusDocument(kind="storage", item=mount, observed_at=ctx.now(), body=body)
            for mount, body in bodies.items()
        ]
    )
