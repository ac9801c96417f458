"""One round of every collector, without the running agent: to look at what would be sent, or to send it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from agent.collectors.registry import Output
from agent.runtime.contexts import make_context
from agent.runtime.lanes import execute
from agent.runtime.runner import Runner

if TYPE_CHECKING:
    from agent.collectors.registry import Collector
    from agent.runtime.log import Log
    from agent.settings import Settings, StateDirectory


class Found(Struct, frozen=True):
    """One collector's round."""

    collector: str
    duration_seconds: float
    output: Output
    failure: str = ""
    nothing: str = ""


class Sent(Struct, frozen=True):
    """How the round ended: what still waits on disk, and how it stands with the collector."""

    link: str
    detail: str
    waiting: int
    failures: dict[str, str]


def look(settings: Settings, collectors: list[Collector]) -> list[Found]:
    """Run ``collectors`` one after the other with empty memories; keeps and sends nothing."""
    found: list[Found] = []
    for collector in collectors:
        memory: dict[str, Any] = {}
        outcome = execute(collector, make_context(settings, memory), memory, time.monotonic)
        found.append(
            Found(
                collector=collector.name,
                duration_seconds=round(outcome.duration_seconds, 4),
                output=outcome.output or Output(),
                failure=outcome.failure,
                nothing=outcome.nothing,
            )
        )
    return found


def collect_and_send(
    settings: Settings,
    state: StateDirectory,
    collectors: list[Collector],
    log: Log,
    *,
    stated: frozenset[str] = frozenset(),
) -> Sent:
    """Run ``collectors`` once as the agent would, and send until the spool is empty or nobody takes it.

    Needs the lock. What could not be sent waits in the spool for the agent.
    """
    runner = Runner(settings, state, collectors, log, stated=stated)
    for collector in runner.collectors:
        runner.deliver(runner.execute(collector))
    runner.flush()
    while runner.sender.step() == 0.0 and runner.spool.backlog().files:
        pass
    runner.outbox.checkpoint()
    link = runner.status.link
    return Sent(
        link=link.code,
        detail=link.detail,
        waiting=runner.spool.backlog().files,
        failures={name: one.reason for name, one in runner.status.collectors.items() if not one.ok},
    )
