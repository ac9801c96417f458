"""Whether BitLocker protects this Windows' volumes."""

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
from agent.windows.volumes import BITLOCKER, ENCRYPTION_FIELDS, parse_encryption
from agent.windows.wmi import WmiError, WmiMissingError, wmi


@collector(
    "bitlocker",
    interval_seconds=3600,
    platforms={WINDOWS},
    privileges="root: BitLocker tells administrators only",
    description="BitLocker on each volume: protected or not, encrypted how far and how, system or data volume",
)
def collect(ctx: Context) -> Output:
    try:
        rows = wmi().instances(BITLOCKER, "Win32_EncryptableVolume", ENCRYPTION_FIELDS)
    except WmiMissingError as error:
        raise NothingToReport(reasons.NO_BITLOCKER()) from error
    except WmiError as error:
        raise CollectorError(reasons.WMI_SILENT(detail=error)) from error
    return Output(
        documents=[
            StatusDocument(kind="disk_encryption", item=item[:255], observed_at=ctx.now(), body=body)
            for item, body in parse_encryption(rows).items()
        ]
    )
