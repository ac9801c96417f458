"""Windows' own events: sign-ins, processes, services, tasks, PowerShell, Defender, Sysmon where it is installed."""

from __future__ import annotations

from typing import Final

from agent import reasons
from agent.collectors.registry import WINDOWS, CollectorError, Context, Output, collector
from agent.windows.event_log import Follower, event_log


class _Held:
    """The subscriptions, kept open between runs."""

    follower: Follower | None = None


_held: Final = _Held()


@collector(
    "eventlog",
    interval_seconds=2,
    timeout_seconds=60,
    platforms={WINDOWS},
    privileges="root: the Security log is shown to administrators only",
    description="Windows' event log under Windows' own names: Security, System, Sysmon, PowerShell, Defender, tasks, "
    "firewall, remote desktop; each event once, over restarts too",
)
def collect(ctx: Context) -> Output:
    follower = _held.follower or Follower(event_log())
    _held.follower = None
    try:
        events = follower.read(ctx.state, ctx.now())
    except Exception:
        follower.close()
        raise
    _held.follower = follower
    if follower.reads_nothing:
        raise CollectorError(reasons.NO_EVENT_CHANNEL(detail="; ".join(follower.troubles.values())))
    return Output(events=events)
