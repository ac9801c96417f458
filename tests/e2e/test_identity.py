"""Who may report: a token works once, and a revocation bites on the next request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.stack import Agent, page
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tests.support.stack import Stack

pytestmark = pytest.mark.e2e


def test_a_token_used_twice_is_refused_and_says_what_to_do(stack: Stack, tmp_path: Path) -> None:
    token = stack.token()
    Agent(tmp_path / "first", stack).enroll(token)
    second = Agent(tmp_path / "second", stack)
    answer = second.enroll(token, check=False)
    assert answer.startswith("1\n"), answer
    assert "token" in answer
    assert "Traceback" not in answer
    assert not second.state.joinpath("identity.json").exists()


def test_a_revoked_agent_is_refused_on_its_next_request(
    stack: Stack, analyst: httpx.Client, tmp_path: Path
) -> None:
    agent = Agent(tmp_path / "agent", stack)
    agent.enroll(stack.token())
    agent.start()
    try:
        machine = f"/api/v1/endpoints/{agent.endpoint_id}"
        wait_until(lambda: analyst.get(machine).json().get("last_seen_at"), seconds=30, what="a report")
        with stack.client(stack.user("an", "admin"), "an") as administrator:
            answer = administrator.post(f"{machine}/revoke", json={"reason": "lost"})
            assert answer.status_code == 200, answer.text
        state = wait_until(
            lambda: _status(agent).get("revoked"), seconds=20, what="the agent to know that it is revoked"
        )
        assert state
        before = page(analyst, machine)["last_seen_at"]
        assert agent.stop() == 0
        once = agent.enroll(stack.token(), check=False)
        assert once.startswith("0\n"), once  # a new token makes it a new endpoint
        assert page(analyst, machine)["last_seen_at"] == before
    finally:
        agent.kill()


def _status(agent: Agent) -> dict[str, object]:
    from tests.support.stack import run

    text = run("agent.cli", "status", "--config", str(agent.configuration), "--json", check=False)
    document: dict[str, object] = json.loads(text.partition("\n")[2])
    return document
