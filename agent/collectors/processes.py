"""Process starts, as the kernel tells of them."""

from __future__ import annotations

import os
from typing import Any

from agent.collectors.common.proc_connector import ConnectorUnavailableError
from agent.collectors.common.process_watch import ProcessWatch, Start
from agent.collectors.registry import Context, Event, Metric, NothingToReport, Output, collector
from agent.messages import LogSource

PROCESS_CREATION = LogSource(product="linux", category="process_creation")
#: How long a refusal of the kernel is believed before it is asked again.
RETRY_SECONDS = 300.0


def start_event(start: Start, user: str) -> Event:
    """Sigma's names for ``linux/process_creation``; what is not known is left away."""
    fields: dict[str, Any] = {
        "Image": start.image,
        "CommandLine": start.command_line,
        "CurrentDirectory": start.directory,
        "ParentImage": start.parent_image,
        "ParentCommandLine": start.parent_command_line,
        "User": user,
        "ProcessId": start.pid,
        "ParentProcessId": start.parent_pid,
    }
    return Event(
        time=start.time,
        logsource=PROCESS_CREATION,
        fields={key: value for key, value in fields.items() if value not in ("", 0)},
    )


class _Watcher:
    """The watch of this process, and users' names by number."""

    watch: ProcessWatch | None = None
    refused = ""
    refused_at = 0.0
    names: dict[int, str]

    def __init__(self) -> None:
        self.names = {}

    def begin(self, ctx: Context) -> ProcessWatch:
        if self.watch is not None and self.watch.alive:
            return self.watch
        if self.refused and 0 <= ctx.now() - self.refused_at < RETRY_SECONDS:
            raise NothingToReport(self.refused)
        try:
            self.watch = ProcessWatch(ctx.proc, ctx.now)
        except ConnectorUnavailableError as error:
            self.refused, self.refused_at = str(error), ctx.now()
            raise NothingToReport(self.refused) from error
        self.refused = ""
        return self.watch

    def user(self, uid: int | None) -> str:
        if uid is None:
            return ""
        if uid not in self.names:
            if len(self.names) > 1000:
                self.names.clear()
            self.names[uid] = _user_name(uid)
        return self.names[uid]

    def close(self) -> None:
        if self.watch is not None:
            self.watch.close()
        self.watch = None


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


_watcher = _Watcher()


@collector(
    "processes",
    interval_seconds=2,
    platforms={"linux"},
    privileges="root: the kernel's process connector needs CAP_NET_ADMIN (before Linux 6.6), and what others run "
    "is shown to root only",
    description="Process starts with command line (secrets masked), parent and user; at most 5 a second in the "
    "long run, repeats within a minute once, what is left out is counted",
)
def collect(ctx: Context) -> Output:
    starts, dropped = _watcher.begin(ctx).take()
    events = [start_event(start, _watcher.user(start.uid)) for start in starts if start.pid != os.getpid()]
    metrics = []
    if dropped:
        total = int(ctx.state.get("dropped", 0)) + dropped
        ctx.state["dropped"] = total
        metrics.append(Metric("processes.dropped_count", ctx.now(), float(total), unit="count"))
    return Output(events=events, metrics=metrics)
