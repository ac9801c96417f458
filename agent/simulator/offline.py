"""``python -m agent.simulator.offline``: fills an enrolled agent's spool as so many hours without a collector would.

By the agent's own outbox and spool, with a clock that is put on; nobody else may have the state directory open.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from agent.collectors.registry import Output
from agent.messages import Event, LogSource
from agent.runtime.identity import load_identity
from agent.runtime.outbox import OFFLINE_GATHER_SECONDS, Outbox
from agent.runtime.spool import Spool
from agent.settings import AgentSection, StateDirectory


def fill(state: StateDirectory, events: int) -> int:
    """One event a second until now, numbered from 0 (``number``), gathered as an agent gathers them that is offline.
    Returns the bytes on disk."""
    now = time.time() - events
    spool = Spool(
        state.spool,
        state.cursors,
        AgentSection().spool_bytes,
        endpoint_id=load_identity(state).endpoint_id,
    )
    outbox = Outbox(spool, time=lambda: now, monotonic=lambda: now)
    outbox.offline = True
    source = LogSource(product="linux", service="auth")
    for number in range(events):
        fields = {
            "event.action": "offline",
            "number": number,
            "User": f"u{number % 40}",
            "SourceIp": "192.0.2.7",
        }
        outbox.take(
            "offline", Output(events=[Event(time=now, logsource=source, fields=fields)]), {"at": number}
        )
        now += 1.0
        if number % OFFLINE_GATHER_SECONDS == OFFLINE_GATHER_SECONDS - 1:
            outbox.flush()
    outbox.flush()
    outbox.checkpoint()
    return spool.backlog().bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path, help="the state directory")
    parser.add_argument("events", type=int, help="how many")
    arguments = parser.parse_args()
    sys.stdout.write(f"{fill(StateDirectory(arguments.state), arguments.events)}\n")


if __name__ == "__main__":
    main()
