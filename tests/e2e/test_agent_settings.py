"""Settings published in the console reach a real agent, and go away by themselves where it cannot report with them."""

from __future__ import annotations

import signal
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from agent.runtime.managed.record import Record, read_record
from agent.runtime.status import read_status
from tests.support.stack import Agent, Stack, page
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

pytestmark = pytest.mark.e2e

#: Its half is the time that the test has to take the collector away.
TRIAL = 16
API = "/api/v1/agent-settings"
RULE = "5b0d1a8e-3f52-4c57-9d0e-2f6a0c1b7e45"


@pytest.fixture
def admin(stack: Stack) -> Iterator[httpx.Client]:
    with closing(stack.client(stack.user("sep", "admin"), "sep")) as client:
        yield client


def test_settings_are_published_tried_kept_and_taken_back_where_nobody_answers(
    stack: Stack, admin: httpx.Client, tmp_path: Path
) -> None:
    patience = "[collector]\nconnect_timeout_seconds = 3\nanswer_timeout_seconds = 3\n"
    agent = Agent(tmp_path / "agent", stack, patience)
    agent.enroll(stack.token("so-tai-chinh"))

    def standing() -> dict[str, Any]:
        found: dict[str, Any] = page(admin, f"/api/v1/endpoints/{agent.endpoint_id}/settings")["standing"]
        return found

    def publish(based_on: int, **settings: Any) -> int:
        body = {"kind": "endpoint", "key": agent.endpoint_id, "based_on": based_on, "settings": settings}
        answer = admin.post(API, json=body)
        assert answer.status_code == 201, answer.text
        number: int = answer.json()["number"]
        return number

    def running() -> set[str]:
        status = read_status(agent.state / "status.json")
        return set() if status is None else set(status.collectors)

    def record() -> Record:
        return read_record(agent.state / "settings.json")

    first = publish(0, metrics_seconds=60, disabled=["lan"], trial_seconds=5)
    agent.start()
    try:
        wait_until(lambda: standing()["state"] == "in_force", seconds=60, what="the settings to be kept")
        assert standing()["number"] == first
        assert standing()["stated"] == ["heartbeat_seconds"]
        wait_until(lambda: "lan" not in running(), seconds=30, what="the collector to be switched off")
        assert "host" in running()

        ingest = stack.process("collector.process", "ingest")
        second = publish(first, metrics_seconds=120, trial_seconds=TRIAL)
        wait_until(lambda: record().taken == second, seconds=60, what="the next settings on trial")
        ingest.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: record().failed is not None, seconds=90, what="those from before to be back")
        finally:
            ingest.send_signal(signal.SIGCONT)
        wait_until(lambda: standing()["state"] == "rolled_back", seconds=60, what="the collector to be told")
        told = standing()
        assert (told["number"], told["wanted"], told["failed"]) == (first, second, second)
        assert f"no answer of the collector came within {TRIAL} seconds" in told["reason"]
        wait_until(
            lambda: any(
                each["rule_id"] == RULE and agent.endpoint_id in str(each)
                for each in page(admin, "/api/v1/alerts", limit="200")["items"]
            ),
            seconds=60,
            what="the alert",
        )
    finally:
        agent.kill()
