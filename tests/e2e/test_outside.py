"""The whole server with everything that looks at it from outside: a real VictoriaMetrics, Grafana's questions, a
receiver of signs of life.

Grafana itself is not run here. What its dashboards ask, a real VictoriaMetrics is asked.
"""

from __future__ import annotations

import json
import re
import time
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import dashboards
from collector.export.spool import SpoolWriter
from collector.settings import DataDirectory
from collector.state.base import utcnow
from collector.state.database import StateStore
from collector.state.tables import ProcessHealth
from collector.state.upsert import upsert
from collector.store.rows import MetricRow
from tests.support.receiver import Receiver
from tests.support.stack import Agent, Stack
from tests.support.victoria import Victoria
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

FOLDER = Path(dashboards.__file__).parent / "grafana"
BOARDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
#: What Grafana puts in for its variables; a short interval, because the test's history is short.
VARIABLES = {"$__rate_interval": "30s", "$agency": ".*", "$host": ".*"}
SCRAPE = """
scrape_configs:
  - job_name: vonggac
    scheme: https
    scrape_interval: 5s
    scrape_timeout: 5s
    tls_config: {{ca_file: {ca}, server_name: localhost}}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def queries(board: dict[str, Any]) -> list[str]:
    """What a dashboard asks, variables put in."""
    found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    for name, value in VARIABLES.items():
        found = [each.replace(name, value) for each in found]
    return found


class Outside:
    """A server that exports and gives signs of life, its agent, and who receives both."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self.receiver = receiver
        scrape = folder / "scrape.yml"
        self.victoria = Victoria(folder / "victoria", f"-promscrape.config={scrape}")
        settings = (
            f'[metrics]\nexport_url = "{self.victoria.url}"\nexport_seconds = 0.2\n'
            f'[watch]\nseconds = 1\nping_url = "{receiver.url}"\nping_seconds = 1\n'
        )
        self.stack = Stack(folder, settings)
        self.stack.start()
        port = int(self.stack.web.rpartition(":")[2])
        scrape.write_text(SCRAPE.format(ca=self.stack.authority, port=port))
        self.victoria.start()
        self.stack.vonggac("agency", "builtin", "thanh-hoa")
        every = "metrics_seconds = 1\n[collectors]\nintervals = {load = 1}\n"
        self.agent = Agent(folder / "agent", self.stack, every)
        self.agent.enroll(self.stack.token("so-tai-chinh"))
        self.agent.start()
        self.data = DataDirectory(self.stack.data)
        self._put_what_a_network_gives()

    def _put_what_a_network_gives(self) -> None:
        """Points of the collectors that need a gateway, beside those that the agent sends."""
        writer = SpoolWriter(self.data.export, "test", 1 << 20)
        names = (
            "gateway_loss_ratio",
            "gateway_rtt_seconds",
            "dns_answer_seconds",
            "collector_connect_seconds",
        )
        rows = [
            MetricRow(
                self.agent.endpoint_id, f"lan.{name}", time.time(), 0.01, "", log_offset=1, partition=99
            )
            for name in names
        ]
        writer.put(rows, {99: 1})
        writer.close()

    def wait_for(self, query: str) -> list[dict[str, Any]]:
        """The answer to a query, once there is one."""

        def look() -> list[dict[str, Any]]:
            self.victoria.flush()
            return self.victoria.query(query)

        return wait_until(look, seconds=90, what=query)

    def came_within(self, seconds: float) -> bool:
        """Whether a sign of life comes within that time."""
        count = len(self.receiver.received)
        deadline = time.monotonic() + seconds
        while len(self.receiver.received) == count and time.monotonic() < deadline:
            time.sleep(0.1)
        return len(self.receiver.received) > count

    def stop(self) -> None:
        self.agent.stop()
        self.stack.stop()
        self.victoria.stop()


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with Receiver() as receiver:
        made = Outside(tmp_path_factory.mktemp("outside"), receiver)
        yield made
        made.stop()


def test_every_query_of_every_dashboard_has_data(outside: Outside) -> None:
    asked = sorted(set(chain.from_iterable(queries(board) for board in BOARDS.values())))
    assert len(asked) > 40

    def without_data() -> list[str]:
        outside.victoria.flush()
        return [each for each in asked if not outside.victoria.query(each, time.time())]

    deadline = time.monotonic() + 120
    with closing(outside.stack.client(outside.stack.user("an"), "an")) as analyst:
        while (missing := without_data()) and time.monotonic() < deadline:
            # What nobody asks of the event store takes no time: somebody looks at the machine's events.
            analyst.get(f"/api/v1/endpoints/{outside.agent.endpoint_id}/events").raise_for_status()
            time.sleep(1)
    assert missing == []


def test_variables_of_the_dashboards_offer_what_there_is(outside: Outside) -> None:
    for board in BOARDS.values():
        for variable in board["templating"]["list"]:
            if variable["type"] != "query":
                continue
            match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert match is not None
            series = match[1].replace("$agency", ".*")
            found = outside.wait_for(f"last_over_time({series}[1h])")
            assert all(match[2] in each["metric"] for each in found)


def test_what_an_agent_sends_is_outside_with_its_names_and_once(outside: Outside) -> None:
    name = "vonggac_host_uptime_seconds"
    wait_until(
        lambda: sum(len(each) for each in outside.victoria.series(name).values()) > 5,
        seconds=60,
        what="points outside",
    )
    ((labels, samples),) = outside.victoria.series(name).items()

    assert labels[:3] == (name, "agency=so-tai-chinh", f"endpoint={outside.agent.endpoint_id}")
    assert len(samples) == len({at for at, _ in samples})


def test_signs_of_life_come_until_the_far_end_of_the_pipeline_stands_still(outside: Outside) -> None:
    wait_until(lambda: outside.receiver.received, seconds=60, what="a sign of life")
    said = json.loads(outside.receiver.received[-1].body)
    assert set(said) == {"installation", "sent_at", "looked_at", "troubles"}

    correlate = outside.stack.process("collector.process", "correlate")
    correlate.suspend()
    try:
        wait_until(lambda: not outside.came_within(3), seconds=60, what="the signs of life to end")
    finally:
        correlate.resume()
    wait_until(lambda: outside.came_within(3), seconds=60, what="the signs of life again")


def test_a_trouble_of_the_collectors_own_is_an_alert_that_clears(outside: Outside) -> None:
    """A machine whose disk is short; its sign of life stands for one of a second machine."""
    state = StateStore(outside.data.state)
    client = outside.stack.client(outside.stack.user("mai"), "mai")

    def say(free: float) -> None:
        figures = {"machine": {"disk_free_bytes": free, "disk_size_bytes": 1000.0}}
        row = {"kind": "ingest", "host": "soc9", "pid": 1, "started_at": utcnow(), "beat_at": utcnow()}
        with state.write() as session:
            upsert(
                session, ProcessHealth, [{"process": "soc9/ingest", "figures": figures, **row}], ("process",)
            )

    def alert() -> dict[str, Any] | None:
        found = client.get("/api/v1/alerts", params={"text": "soc9"}).json()["items"]
        return found[0] if found else None

    say(free=60.0)
    opened = wait_until(alert, seconds=60, what="the alert", every=0.5)
    say(free=700.0)
    wait_until(lambda: (alert() or {}).get("cleared_at"), seconds=60, what="the alert to clear", every=0.5)
    state.close()
    client.close()

    assert opened is not None
    assert (opened["level"], opened["subject"]) == ("high", "soc9")
