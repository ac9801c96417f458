"""kill -9 of the collector's processes while agents send: nothing acknowledged missing, nothing twice."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from collector.store.client import StoreClient
from tests.support.stack import Agent, Stack
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

_AGENTS = 3
_LINES = 300


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path)
    stack.start()
    stack.vonggac("agency", "builtin", "thanh-hoa")
    yield stack
    stack.kill()


def test_processes_killed_while_agents_send_lose_nothing_and_double_nothing(
    own_stack: Stack, tmp_path: Path
) -> None:
    stack = own_stack
    logs, agents = [], []
    for number in range(_AGENTS):
        folder = tmp_path / f"agent-{number}"
        log = tmp_path / f"auth-{number}.log"
        log.write_text("")
        agent = Agent(folder, stack, f'[collectors]\nauth_logs = ["{log}"]\n')
        agent.enroll(stack.token("so-tai-chinh"))
        agent.start()
        logs.append(log)
        agents.append(agent)
    victims = [
        ("collector.process", "ingest"),
        ("collector.process", "detect"),
        ("collector.process", "correlate"),
        ("collector.process", "store"),
        ("everything",),
    ]
    try:
        wait_until(lambda: len(_endpoints(stack)) == _AGENTS, seconds=60, what="all agents to have reported")
        for line in range(_LINES):
            for number, log in enumerate(logs):
                _fail_sign_in(log, number, line)
            if line % 20 == 19:
                time.sleep(0.4)  # spreads the writing over many batches; nothing is waited for here
            if line % 60 == 59:
                victim = victims[(line // 60) % len(victims)]
                if victim == ("everything",):
                    stack.kill()
                    stack.start()
                else:
                    stack.process(*victim).kill()
        expected = {f"u{number}x{line}x" for number in range(_AGENTS) for line in range(_LINES)}
        wait_until(lambda: len(_users(stack)) >= len(expected), seconds=120, what="every event", every=1)
        counted = _users(stack)
        assert set(counted) == expected
        assert [user for user, count in counted.items() if count != 1] == []
    finally:
        for agent in agents:
            agent.kill()


def _fail_sign_in(log: Path, number: int, line: int) -> None:
    stamp = time.strftime("%b %e %H:%M:%S")
    with log.open("a") as file:
        file.write(
            f"{stamp} host{number} sshd[77]: Failed password for invalid user u{number}x{line}x"
            f" from 192.0.2.{number + 1} port 4{line:04d} ssh2\n"
        )


def _users(stack: Stack) -> Counter[str]:
    """How often each made-up user name stands in the event store (empty while the store restarts)."""
    from collector.store.errors import StoreError

    client = StoreClient(stack.data / "run" / "store.sock")
    try:
        rows = client.query(
            "SELECT extract(body, 'u[0-9]+x[0-9]+x') AS name, count() AS times FROM events"
            " WHERE product = 'linux' AND position(body, 'ssh_login_failed') > 0 GROUP BY name"
        )
    except StoreError:
        return Counter()
    finally:
        client.close()
    return Counter({row["name"]: int(row["times"]) for row in rows})


def _endpoints(stack: Stack) -> list[str]:
    from collector.store.errors import StoreError

    client = StoreClient(stack.data / "run" / "store.sock")
    try:
        return [str(row["endpoint_id"]) for row in client.query("SELECT DISTINCT endpoint_id FROM events")]
    except StoreError:
        return []
    finally:
        client.close()
