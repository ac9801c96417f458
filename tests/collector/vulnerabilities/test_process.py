"""The process that keeps machines up to date, as it is started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from sqlalchemy import select

from collector.settings import DataDirectory
from collector.state.database import StateStore
from collector.state.migrate import upgrade
from collector.state.tables import Document, EndpointVulnerabilities, ProcessHealth, VulnerabilityTally
from collector.vulnerabilities.importing import import_feed
from tests.collector.pipeline import NOW, add_endpoint
from tests.collector.vulnerabilities.feeds import SERVER, debian, host, write_zip
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


def test_a_machine_is_matched_while_the_process_runs_and_it_ends_in_order(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "data")
    data.create()
    upgrade(data.state)
    state = StateStore(data.state)
    add_endpoint(state, "ep-1")
    moments = dict.fromkeys(("observed_at", "received_at", "changed_at"), NOW)
    with state.write() as session:
        for kind, body in (("host", host()), ("software", SERVER)):
            session.add(Document(endpoint_id="ep-1", kind=kind, item="", body=body, digest="", **moments))
    import_feed(state, write_zip(tmp_path / "all.zip", debian()), "an")

    def counted() -> bool:
        with state.read() as session:
            return session.scalars(select(VulnerabilityTally.agency_id)).first() == 0

    command = [sys.executable, "-m", "collector.process", "vulnerabilities", "--data", str(data.root)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_until(counted, seconds=60, what="the sums")
        with state.read() as session:
            assert session.get_one(EndpointVulnerabilities, "ep-1").numbers["affected"] == 2
            assert session.scalars(select(ProcessHealth.kind)).all() == ["vulnerabilities"]
        assert os.getpriority(os.PRIO_PROCESS, process.pid) > os.getpriority(os.PRIO_PROCESS, 0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
    with state.read() as session:
        assert session.scalars(select(ProcessHealth.kind)).all() == []
    state.close()
