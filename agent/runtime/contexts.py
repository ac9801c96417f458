"""What each run of a collector is given."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from agent.collectors.registry import Context

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from agent.runtime.proxy import Proxy
    from agent.runtime.transport import Address
    from agent.settings import Settings


@cache
def _tree(path: str) -> Path:
    """Made once: a context is made for every run."""
    return Path(path)


def make_context(
    settings: Settings,
    memory: MutableMapping[str, object],
    address: Address | Proxy | None = None,
    answered_at: float = 0.0,
) -> Context:
    """What a collector is given. ``address``: whom the agent itself connects to; without, it has not enrolled.
    ``answered_at``: as :attr:`Context.answered_at`."""
    return Context(
        root=_tree(settings.host.root),
        proc=_tree(settings.host.proc),
        sys=_tree(settings.host.sys),
        now=time.time,
        settings=settings.collectors,
        state=memory,
        collector_host=address.host if address else "",
        collector_port=address.port if address else 8444,
        answered_at=answered_at,
    )
