"""Pending updates of this Windows, from what the Windows Update Agent knows: nothing is fetched, nothing installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from agent import reasons
from agent.collectors.registry import WINDOWS, Context, Output, StatusDocument, collector
from agent.collectors.updates import Update, pending_since
from agent.windows.registry import registry
from agent.windows.updates import last_search, reboot_required, search

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

#: The search is asked anew when Windows looked itself, or installed, and after this time.
AGAIN_SECONDS = 24 * 3600.0


def judge(
    state: MutableMapping[str, Any],
    now: float,
    looked: float | None,
    restart: bool,
    ask: Callable[[], list[Update]],
) -> dict[str, Any]:
    """The ``updates`` document. ``looked`` is when Windows last searched; ``ask`` tells what waits, and may
    take minutes."""
    mark = f"{looked} {restart}"
    if state.get("mark") != mark or not 0 <= now - float(state.get("asked", 0.0)) < AGAIN_SECONDS:
        state.update(mark=mark, asked=now)
        try:
            updates = ask()
        except OSError as error:
            state.update(counts=None, reason=reasons.UPDATES_NOT_SEARCHED(detail=error))
        else:
            state["since"] = pending_since(updates, state.get("since") or {}, now)
            state.update(counts=[len(updates), sum(each.security for each in updates)], reason="")
    counts, since = state.get("counts"), state.get("since") or {}
    return {
        "manager": "windows_update",
        "state": "unknown" if counts is None else "ok",
        "reason": state.get("reason") or "",
        "pending": None if counts is None else counts[0],
        "security_pending": None if counts is None else counts[1],
        "pending_since": None if counts is None else min(since.values(), default=None),
        "reboot_required": restart,
        "last_check_time": looked,
    }


@collector(
    "updates",
    interval_seconds=3600,
    timeout_seconds=300,
    platforms={WINDOWS},
    privileges="none",
    description="Pending updates and security updates, since when, when Windows last looked for them, and whether a "
    "restart waits; searched without the network when Windows has looked, at least daily",
)
def collect(ctx: Context) -> Output:
    looked = None
    restart = reboot_required(registry())
    if sys.platform == "win32":
        from agent.windows.automation import made

        try:
            with made("Microsoft.Update.AutoUpdate") as auto_update:
                looked = last_search(auto_update)
        except OSError:
            looked = None
    body = judge(ctx.state, ctx.now(), looked, restart, _ask)
    return Output(documents=[StatusDocument(kind="updates", observed_at=ctx.now(), body=body)])


def _ask() -> list[Update]:
    if sys.platform == "win32":
        from agent.windows.automation import made

        with made("Microsoft.Update.Session") as session:
            return search(session)
    raise OSError("there is no Windows Update here: this is not Windows")
