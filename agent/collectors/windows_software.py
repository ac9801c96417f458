"""The programs that are installed on this Windows."""

from __future__ import annotations

from agent.collectors.registry import WINDOWS, Context, Output, StatusDocument, collector
from agent.windows.registry import registry
from agent.windows.software import installed

MAX_PACKAGES = 20_000


@collector(
    "software",
    interval_seconds=3600,
    timeout_seconds=60,
    platforms={WINDOWS},
    privileges="none",
    description="Installed programs with version and architecture: 64-bit, 32-bit, and of users who are signed in",
)
def collect(ctx: Context) -> Output:
    packages = installed(registry())
    body = {"packages": packages[:MAX_PACKAGES], "count": len(packages)}
    return Output(documents=[StatusDocument(kind="software", observed_at=ctx.now(), body=body)])
