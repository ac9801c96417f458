"""House rules that every collector keeps."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from agent.collectors.common.probes import Ping
from agent.collectors.registry import Collector, NothingToReport, load_collectors
from agent.messages import SCHEMA_VERSION, Batch, decode_batch, encode_batch
from tests.agent.collectors.support import context

COLLECTORS = load_collectors("linux")
#: All but those that ask the kernel itself, which has no other root.
OF_THE_TREES = [c for c in COLLECTORS if c.name not in ("firewall_local", "processes")]
#: The documents' kinds are words of the contract with the collector's side.
KINDS = {"host", "software", "storage", "antivirus", "firewall", "updates", "lan", "neighbours"}
KINDS |= {"assessment", "file_integrity", "accounts", "listening", "services"}


@pytest.mark.parametrize("collector", COLLECTORS, ids=lambda c: c.name)
def test_every_collector_says_what_it_is(collector: Collector) -> None:
    assert collector.module == f"agent.collectors.{collector.name}"
    assert 20 < len(collector.description) < 220
    assert collector.privileges == "none" or collector.privileges.startswith("root: ")
    assert 0 < collector.interval_seconds <= 3600
    assert collector.timeout_seconds <= 100


@pytest.mark.parametrize("collector", OF_THE_TREES, ids=lambda c: c.name)
def test_on_an_empty_host_nothing_breaks_and_nothing_is_invented(
    collector: Collector, tmp_path: Path
) -> None:
    (tmp_path / "proc").mkdir()
    try:
        output = collector.collect(context(tmp_path))
    except NothingToReport:
        return
    assert output.events == []
    for document in output.documents:
        assert document.kind in KINDS
        for key, value in (document.body or {}).items():
            if value == "unknown" and key.endswith("state"):
                assert any("reason" in name for name in document.body or {})


@pytest.fixture
def _without_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """This host's own gateway and name servers are not for tests to ask."""
    unanswered = Ping(sent=3, received=0, rtt_seconds=None)
    monkeypatch.setattr("agent.collectors.lan.ping", lambda *_: unanswered)
    monkeypatch.setattr("agent.collectors.lan.ask_dns", lambda *_: None)


@pytest.mark.usefixtures("_without_probes")
def test_what_this_host_reports_travels_through_the_wire_contract() -> None:
    documents, metrics = [], []
    for collector in COLLECTORS:
        if collector.name in ("processes", "updates"):  # one starts a thread, the other takes seconds
            continue
        try:
            output = collector.collect(context(Path("/"), proc=Path("/proc"), sys=Path("/sys")))
        except NothingToReport:
            continue
        documents += output.documents
        metrics += output.metrics
    batch = Batch(schema=SCHEMA_VERSION, created_at=1.0, documents=documents, metrics=metrics)
    assert {d.kind for d in decode_batch(encode_batch(batch)).documents} >= {
        "host",
        "antivirus",
        "lan",
        "firewall",
    }
    assert all(m.name.endswith(m.unit) for m in metrics)


def test_collectors_need_nothing_heavy() -> None:
    code = (
        "import sys; from agent.collectors.registry import load_collectors; load_collectors();"
        "print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    heavy = {"asyncio", "ctypes", "psutil", "subprocess", "cryptography", "logging", "http", "ssl"}
    assert heavy & set(done.stdout.split()) == set()


@pytest.mark.usefixtures("_without_probes")
def test_documents_hold_only_what_json_has() -> None:
    documents = []
    for collector in COLLECTORS:
        if collector.name in ("host", "lan", "storage", "software"):
            with suppress(NothingToReport):  # a container has no volume of its own
                documents += collector.collect(
                    context(Path("/"), proc=Path("/proc"), sys=Path("/sys"))
                ).documents
    assert {"host", "lan", "software"} <= {document.kind for document in documents}
    for document in documents:
        assert msgspec.json.decode(msgspec.json.encode(document.body)) == document.body
