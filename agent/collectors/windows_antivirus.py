"""Which antivirus protects this Windows, and how well."""

from __future__ import annotations

from agent import reasons
from agent.collectors.registry import WINDOWS, CollectorError, Context, Output, StatusDocument, collector
from agent.windows.antivirus import documents, program_exists, read
from agent.windows.registry import registry
from agent.windows.wmi import WmiError, wmi


@collector(
    "antivirus",
    interval_seconds=300,
    platforms={WINDOWS},
    privileges="none",
    description="Antivirus products as Security Center lists them, Defender by its own status; on Windows Server by "
    "services: on or off, age of signatures, real-time protection, last scan",
)
def collect(ctx: Context) -> Output:
    here = registry()
    try:
        found = read(here, wmi())
    except WmiError as error:
        raise CollectorError(reasons.WMI_SILENT(detail=error)) from error
    bodies = documents(found, here, program_exists, ctx.now())
    return Output(
        documents=[
            StatusDocument(kind="antivirus", item=item, observed_at=ctx.now(), body=body)
            for item, body in bodies.items()
        ]
    )
