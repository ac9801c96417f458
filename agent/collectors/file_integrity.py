"""Changes of the few files by which somebody gets in, becomes root, or comes back: a stated list, by inotify."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from agent.collectors.common.file_watch import Change, FileWatch
from agent.collectors.common.files import clean_text
from agent.collectors.common.package_run import database_times, manager_at, running_manager
from agent.collectors.common.process_watch import Bucket
from agent.collectors.common.users import group_name, user_name
from agent.collectors.registry import Context, Event, Metric, Output, StatusDocument, collector
from agent.messages import LogSource

if TYPE_CHECKING:
    from agent.collectors.common.file_facts import Facts

_CATEGORIES: Final = {
    "created": "file_event",
    "modified": "file_event",
    "moved": "file_event",
    "attributes": "file_change",
    "deleted": "file_delete",
}
#: Changes told per second in the long run, and at once.
RATE_PER_SECOND: Final = 1.0
BURST: Final = 200
#: The same of each home and of the spool that every user fills, so that nobody can hide what is done to the system,
#: or by another user, behind a storm of his own.
USER_RATE_PER_SECOND: Final = 0.2
USER_BURST: Final = 50
_PATH_CHARACTERS: Final = 2048


def describe(facts: Facts) -> dict[str, Any]:
    """ECS ``file.*`` without the path; ``hash`` only where one was taken."""
    shown: dict[str, Any] = {
        "type": {"link": "symlink"}.get(facts.kind, facts.kind),
        "mode": f"{facts.mode:04o}",
        "owner": user_name(facts.uid),
        "uid": facts.uid,
        "group": group_name(facts.gid),
        "gid": facts.gid,
        "size": facts.size,
    }
    if facts.kind == "link":
        shown["target_path"] = clean_text(facts.digest, 1024)
    elif facts.digest:
        shown["hash"] = {"sha256": facts.digest}
    return shown


def change_event(change: Change, now: float, manager: str) -> Event:
    """One change as an event with ECS' names and Sigma's ``TargetFilename``.

    ``changed`` lists what is different of what ``previous.file`` tells. ``DetectedBy`` is ``watch`` where it was
    seen as it happened, ``comparison`` where it was found later: then the time is the file's own.
    """
    path = clean_text(change.path, _PATH_CHARACTERS)
    known = change.now or change.before
    file: dict[str, Any] = {"path": path, **(describe(known) if known else {})}
    fields: dict[str, Any] = {
        "event.action": change.action if known else "created_and_deleted",
        "TargetFilename": path,
        "file": file,
        "DetectedBy": "watch" if change.seen else "comparison",
    }
    if change.before is not None and change.now is not None:
        old = describe(change.before)
        different = [key for key in {**old, **file} if key != "path" and old.get(key) != file.get(key)]
        fields["changed"] = [f"file.{key}" for key in sorted(different)]
        fields["previous"] = {"file": {key: old[key] for key in different if key in old}}
    if change.source:
        fields["SourceFilename"] = clean_text(change.source, _PATH_CHARACTERS)
    if manager:
        fields["PackageManager"] = manager
    return Event(
        time=event_time(change, now),
        logsource=LogSource(product="linux", category=_CATEGORIES[change.action]),
        fields=fields,
    )


def event_time(change: Change, now: float) -> float:
    """When it happened: now, or where a comparison found it, when the file says (a file's ctime nobody can set)."""
    if change.seen or change.now is None:
        return now
    return min(now, change.now.changed_ns / 1e9)


class _Watcher:
    """The watch of this process, and what it may still tell."""

    def __init__(self) -> None:
        self.watch: FileWatch | None = None
        self.root = ""
        self.buckets: dict[str, Bucket] = {}

    def begin(self, ctx: Context) -> FileWatch:
        if self.watch is None or self.root != str(ctx.root):
            self.close()
            self.watch, self.root = FileWatch(ctx.root, ctx.proc), str(ctx.root)
            self.buckets = {"": Bucket(time.monotonic(), RATE_PER_SECOND, BURST)}
        return self.watch

    def told(self, changes: list[Change]) -> list[Change]:
        moment = time.monotonic()
        for crowd in {change.crowd for change in changes} - self.buckets.keys():
            self.buckets[crowd] = Bucket(moment, USER_RATE_PER_SECOND, USER_BURST)
        return [change for change in changes if self.buckets[change.crowd].take(moment)]

    def close(self) -> None:
        if self.watch is not None:
            self.watch.close()
        self.watch = None


_watcher = _Watcher()


@collector(
    "file_integrity",
    interval_seconds=2,
    platforms={"linux"},
    privileges="root: authorized_keys, cron tables and sudoers of others are readable by root only",
    description="Changes of sshd, sudo, cron, PAM, systemd and start-up files, user tables and authorized_keys: "
    "rights, owner, size, SHA-256, never content; at most 1 a second in the long run (of a home 1 in 5 s), "
    "the rest counted",
)
def collect(ctx: Context) -> Output:
    watch = _watcher.begin(ctx)
    changes = watch.look(ctx.state, ctx.now())
    told = _watcher.told(changes)
    metrics = []
    if len(told) < len(changes):
        ctx.state["dropped"] = int(ctx.state.get("dropped", 0)) + len(changes) - len(told)
        metrics.append(
            Metric("file_integrity.dropped_count", ctx.now(), float(ctx.state["dropped"]), unit="count")
        )
    events = []
    if told:
        running, databases = running_manager(ctx.proc), database_times(ctx.root)
        for change in told:
            when = event_time(change, ctx.now())
            manager = (running if change.seen else "") or manager_at(when, databases)
            events.append(change_event(change, ctx.now(), manager))
    body = {
        "state": "partial" if watch.reason or watch.left_out else "on",
        "reason": watch.reason,
        "folders": watch.folders,
        "files": watch.files,
        "left_out": watch.left_out,
    }
    document = StatusDocument(kind="file_integrity", observed_at=ctx.now(), body=body)
    return Output(documents=[document], events=events, metrics=metrics)
