"""Who may report: a token works once, and a revocation bites on the next request."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from soc_api.local import LocalError
from tests.support.stack import Agent, page
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tests.support.stack import Stack

pytestmark = pytest.mark.e2e


def test_a_token_used_twice_is_refused_and_says_what_to_do(stack: Stack, tmp_path: Path) -> None:
    token = stack.token("so-tai-chinh")
    Agent(tmp_path / "first", stack).enroll(token)
    second = Agent(tmp_path / "second", stack)
    with pytest.raises(LocalError, match=r"exit code 1: .*token") as refused:
        second.enroll(token)
    assert "Traceback" not in str(refused.value)
    assert not second.state.joinpath("identity.json").exists()


def test_a_revoked_agent_is_refused_on_its_next_request(
    stack: Stack, analyst: httpx.Client, tmp_path: Path
) -> None:
    agent = Agent(tmp_path / "agent", stack)
    agent.enroll(stack.token("so-tai-chinh"))
    agent.start()
    try:
        machine = f"/api/v1/endpoints/{agent.endpoint_id}"
        wait_until(lambda: analyst.get(machine).json().get("last_seen_at"), seconds=30, what="a report")
        with closing(stack.client(stack.user("an", "admin"), "an")) as administrator:
            answer = administrator.post(f"{machine}/revoke", json={"reason": "lost"})
            assert answer.status_code == 200, answer.text
        wait_until(lambda: _link(agent) == "revoked", seconds=20, what="the agent to know that it is revoked")
        before = page(analyst, machine)["last_seen_at"]
        assert agent.stop() == 0
        assert page(analyst, machine)["last_seen_at"] == before
    finally:
        agent.kill()


def _link(agent: Agent) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "agent.cli", "status", "--config", str(agent.configuration), "--json"],
        capture_output=True, check=False, timeout=30,
    )  # fmt: skip
    code: str = json.loads(done.stdout)["status"]["link"]["code"]
    return code
