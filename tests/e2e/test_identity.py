"""Who may report: a token works once, a revocation bites on the next request, and copies of a key are told apart."""

from __future__ import annotations

import json
import shutil
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


_TALKATIVE = "metrics_seconds = 3\n[collectors.intervals]\nload = 3\n"
_KEY_IN_TWO_PLACES = "5f0a3c1e-6b2d-4d0e-9c55-1f4f2f0f7a61"


def test_a_copied_agent_is_noticed_and_both_go_on_each_under_a_name_of_its_own(
    stack: Stack, analyst: httpx.Client, tmp_path: Path
) -> None:
    first = Agent(tmp_path / "first", stack, _TALKATIVE)
    first.enroll(stack.token("so-tai-chinh"))
    before = first.endpoint_id
    machine = f"/api/v1/endpoints/{before}"
    first.start()
    wait_until(lambda: page(analyst, machine)["streams"], seconds=30, what="the first report")
    first.stop()
    copy = Agent(tmp_path / "copy", stack, _TALKATIVE)
    shutil.copytree(first.state, copy.state)
    try:
        for agent in (first, copy):
            agent.start()

        def alerts() -> list[str]:
            found = page(analyst, "/api/v1/alerts", endpoint_id=before)["items"]
            return [each["rule_id"] for each in found]

        wait_until(lambda: _KEY_IN_TWO_PLACES in alerts(), seconds=60, what="the alert")
        assert page(analyst, f"{machine}/identity")["forked"][0]["returns"] >= 1
        assert {first.endpoint_id, copy.endpoint_id} == {before}  # nobody is put out

        answer = analyst.post(f"{machine}/rekey", json={"reason": "a copied disk"})
        assert answer.status_code == 200, answer.text
        wait_until(
            lambda: first.endpoint_id != copy.endpoint_id, seconds=60, what="a name of its own for one"
        )
        both = {first.endpoint_id, copy.endpoint_id}
        assert before in both
        [other] = both - {before}
        known = page(analyst, f"/api/v1/endpoints/{other}/identity")
        assert (known["origin"]["split_from"], known["origin"]["cause"]) == (before, "rekeyed")
        seen = {each: page(analyst, f"/api/v1/endpoints/{each}")["last_seen_at"] for each in both}
        for each in both:
            path = f"/api/v1/endpoints/{each}"
            wait_until(
                lambda path=path, each=each: page(analyst, path)["last_seen_at"] != seen[each],  # type: ignore[misc]
                seconds=60,
                what="both to report",
            )
            assert page(analyst, path)["documents"] or each == other
        wait_until(
            lambda: page(analyst, f"/api/v1/endpoints/{other}")["documents"], seconds=60, what="its documents"
        )
    finally:
        first.kill()
        copy.kill()


def _link(agent: Agent) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "agent.cli", "status", "--config", str(agent.configuration), "--json"],
        capture_output=True, check=False, timeout=30,
    )  # fmt: skip
    code: str = json.loads(done.stdout)["status"]["link"]["code"]
    return code
