"""What agents of earlier builds send is taken and read: bytes that their own code made, of a simulated machine.

``earlier_agents/*.json`` hold the requests of the agent at a commit: its outbox, spool and sender were run over the
documents of its own simulator, and what went to the connection was written down.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent.messages import TIME_HEADER, Wanted
from collector.detect.decode import decode
from tests.support.collector import Endpoint, ask, make_site

if TYPE_CHECKING:
    from collections.abc import Iterator

CAPTURED = sorted((Path(__file__).parent / "earlier_agents").glob("*.json"))


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("earlier")
    site = make_site(folder / "data")
    process = site.start_ingest()
    yield site.enrol(folder / "endpoint")
    process.terminate()
    process.wait(timeout=30)
    site.state.close()


@pytest.mark.parametrize("captured", CAPTURED, ids=lambda path: path.stem)
def test_every_request_of_an_earlier_agent_is_taken_and_all_of_it_is_read(
    captured: Path, endpoint: Endpoint
) -> None:
    said: dict[str, Any] = json.loads(captured.read_text())
    for request in said["requests"]:
        body = base64.b64decode(request["body"])
        connection = endpoint.connect()
        try:
            answer = ask(connection, request["method"], request["path"], body, request["headers"])
        finally:
            connection.close()
        assert answer.status == (202 if body else 204), answer.body
        assert answer.headers[TIME_HEADER.lower()]
        if body:
            decoded = decode(body)
            assert decoded.refusals == []
            assert len(decoded.events) == 1
            assert {each[-1].kind for each in decoded.documents} >= {
                "host",
                "software",
                "antivirus",
                "firewall",
            }
            assert decoded.metrics
            assert decoded.health
    assert [request["path"] for request in said["requests"]] == ["/v1/batches", "/v1/heartbeat"]


def test_an_agent_that_knows_less_of_what_is_wanted_takes_it_for_nothing() -> None:
    """What later collectors may add must not make this agent do anything."""
    assert Wanted.decode("settings=3;release=0.3.0;other=1") == Wanted()
    assert Wanted.decode("release=0.3.0") == Wanted(release="0.3.0")
