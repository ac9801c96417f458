"""How busy the machine is: processor, memory, time since boot."""

from __future__ import annotations

import re

from agent import reasons
from agent.collectors.common.files import read_text
from agent.collectors.registry import Context, Metric, NothingToReport, Output, collector


def parse_cpu_times(text: str) -> tuple[int, int] | None:
    """``(busy, all)`` clock ticks since boot, over all processors, from /proc/stat (proc(5))."""
    match = re.match(r"cpu +([0-9 ]{7,400})", text)
    if match is None:
        return None
    ticks = [int(part) for part in match[1].split()][:8]  # guest time is in user time already
    if len(ticks) < 5:
        return None
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)


def parse_memory_used(text: str) -> float | None:
    """The share of memory that is not available to a new program, 0 to 1, from /proc/meminfo."""
    found = dict(re.findall(r"^(MemTotal|MemAvailable):\s+([0-9]{1,18}) kB$", text, re.MULTILINE))
    total, available = int(found.get("MemTotal", 0)), found.get("MemAvailable")
    if total <= 0 or available is None:
        return None
    return min(1.0, max(0.0, 1 - int(available) / total))


def parse_uptime(text: str) -> float | None:
    match = re.match(r"([0-9]{1,12}(?:\.[0-9]{1,3})?) ", text)
    return float(match[1]) if match else None


@collector(
    "load",
    interval_seconds=300,
    platforms={"linux"},
    privileges="none",
    description="Share of processor and memory in use, seconds since boot (metrics)",
)
def collect(ctx: Context) -> Output:
    now = ctx.now()
    metrics = []
    times = parse_cpu_times(read_text(ctx.proc / "stat", 1 << 16) or "")
    if times is not None:
        before = ctx.state.get("cpu_times")
        if isinstance(before, list) and len(before) == 2 and times[1] > before[1] and times[0] >= before[0]:
            used = (times[0] - before[0]) / (times[1] - before[1])
            metrics.append(Metric(name="host.cpu_used_ratio", time=now, value=round(used, 4), unit="ratio"))
        ctx.state["cpu_times"] = list(times)
    memory = parse_memory_used(read_text(ctx.proc / "meminfo") or "")
    if memory is not None:
        metrics.append(Metric(name="host.memory_used_ratio", time=now, value=round(memory, 4), unit="ratio"))
    uptime = parse_uptime(read_text(ctx.proc / "uptime", 128) or "")
    if uptime is not None:
        metrics.append(Metric(name="host.uptime_seconds", time=now, value=float(int(uptime)), unit="seconds"))
    if not metrics:
        raise NothingToReport(reasons.NOTHING_READABLE(path=ctx.proc))
    return Output(metrics=metrics)
