"""A real agent of its own for a measurement."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from soc_api.local import Agent, run

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import psutil

    from soc_api.local import Server


def trial_agent(
    server: Server,
    folder: Path,
    settings: str = "",
    *,
    only: Collection[str] = (),
    port: int | None = None,
    ahead: str = "",
) -> Agent:
    """Enrolled, not started. ``settings``: further lines of its section ``[collectors]``; ``ahead``: sections before
    that one; ``only``: the collectors that
    shall run (default: all); ``port``: of a relay before the server."""
    state = folder / "agent"
    configuration = folder / "agent.toml"
    known = json.loads(run("agent.cli", "check-config", "--json"))["collectors"]
    disabled = [each["name"] for each in known if only and each["name"] not in only]
    configuration.write_text(
        f'[agent]\nstate_dir = "{state}"\n{ahead}[collectors]\ndisabled = {json.dumps(disabled)}\n{settings}',
        encoding="utf-8",
    )
    url = server.agents if port is None else f"https://127.0.0.1:{port}"
    agent = Agent(configuration, state, url, folder / "agent.log")
    agent.enroll(server.token("so-tai-chinh"))
    return agent


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of the process and of every child it has waited for."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)
