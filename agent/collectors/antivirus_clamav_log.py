"""Malware that ClamAV found, from the logs of clamd and clamonacc."""

from __future__ import annotations

from agent import reasons
from agent.collectors.common.clamd import (
    Configuration,
    Finding,
    cached_configuration,
    malware_event,
    parse_found,
)
from agent.collectors.common.files import under
from agent.collectors.common.follow import follow
from agent.collectors.registry import Context, NothingToReport, Output, collector

ON_ACCESS_LOG = "/var/log/clamav/clamonacc.log"
#: The same signature in the same file is told once in this time: clamonacc and clamd both log one access.
REPEAT_SECONDS = 60.0
REMEMBERED = 128


def without_repeats(findings: list[Finding], seen: dict[str, float], now: float) -> list[Finding]:
    """Findings not told within ``REPEAT_SECONDS``; ``seen`` is brought up to date and kept small."""
    fresh = []
    for finding in findings:
        moment = finding.time if finding.time is not None else now
        key = f"{finding.signature}\n{finding.filename[:500]}"
        if abs(moment - seen.get(key, float("-inf"))) >= REPEAT_SECONDS:
            seen[key] = moment
            fresh.append(finding)
    while len(seen) > REMEMBERED:
        del seen[min(seen, key=lambda key: seen[key])]
    return fresh


def _logs(ctx: Context, configuration: Configuration | None) -> list[tuple[str, bool | None]]:
    """(path on the host, whether its lines begin with a time; ``None``: not known)."""
    named = configuration.log_file if configuration else ""
    logs: list[tuple[str, bool | None]] = []
    if configuration and named:
        logs.append((named, configuration.log_time))
    logs += [(name, None) for name in ctx.settings.clamd_logs if name != named]
    return [*logs, (ON_ACCESS_LOG, False)]


@collector(
    "antivirus_clamav_log",
    interval_seconds=2,
    platforms={"linux"},
    privileges="root: the log of clamd is readable by clamav and the group adm only",
    description="Malware found by ClamAV (clamd's and clamonacc's logs): the file and the signature",
)
def collect(ctx: Context) -> Output:
    now = ctx.now()
    findings: list[Finding] = []
    present, more, key = False, False, str(ctx.root)
    for name, stamped in _logs(ctx, cached_configuration(ctx.root, now)):
        path = under(ctx.root, name)
        cursor = dict(ctx.state.get(name) or {})
        if not cursor and not path.exists():
            continue
        present = True
        found = follow(path, cursor, now, from_start=key in _watched)
        findings += parse_found(found.lines, stamped=stamped)
        more |= found.more
        ctx.state[name] = cursor
    _watched.add(key)  # a log that appears from now on is read from its beginning
    if not present:
        raise NothingToReport(reasons.NO_CLAMD_LOG())
    if findings:
        seen = dict(ctx.state.get("seen") or {})
        findings = without_repeats(findings, seen, now)
        ctx.state["seen"] = seen
    return Output(events=[malware_event(finding, now) for finding in findings], more=more)


#: Roots whose logs were looked for by this process.
_watched: set[str] = set()
