"""Whatever a server answers, something is told: no service stays "up" because its answer broke the look at it."""

from __future__ import annotations

import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from agent.probe.contract import Hello, PartContext, Said
from agent.probe.services.content import Content
from agent.probe.services.settings import Service, Services, ServicesSettings
from agent.probe.services.tls import _unverified
from agent.probe.services.watch import Watch
from tests.agent.probe.services.province import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOOD = b"<html><title>Portal</title><p>Cong thong tin</p></html>"
DEFACED = b"<h1>Hacked by evil</h1>"


class Portal:
    """A web server, and the watch of it. ``body``, ``kind``: what it answers with."""

    def __init__(self, folder: Path) -> None:
        self.body, self.kind = GOOD, "text/html"
        self.told: list[Said] = []
        portal = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", portal.kind)
                self.send_header("Content-Length", str(len(portal.body)))
                self.end_headers()
                self.wfile.write(portal.body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        url = f"http://127.0.0.1:{self.server.server_port}/"
        service = Service(name="portal", kind="http", url=url, expect="Cong thong tin", watch_content=True)
        context = PartContext(
            ServicesSettings(Services(service=[service])),
            Hello("services", {}, str(folder)),
            say=self.say,
            now=time.time,
        )
        self.watch = Watch(context)

    def say(self, said: Said) -> str:
        self.told.append(said)
        return ""

    def ask(self, body: bytes, kind: str = "text/html") -> dict[str, Any]:
        """The body of the document that is told."""
        self.body, self.kind = body, kind
        self.told.clear()
        self.watch.ask(self.watch._asked[0])
        [said] = self.told
        assert said.output is not None
        [document] = msgspec.json.decode(said.output)["documents"]
        found: dict[str, Any] = document["body"]
        return found


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Portal]:
    made = Portal(tmp_path)
    serving = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        serving.join()


def test_an_empty_page_is_not_the_right_one(portal: Portal) -> None:
    good = portal.ask(GOOD)
    empty = portal.ask(b"")
    assert (good["state"], empty["state"]) == ("up", "down")
    assert empty["reason"] == "the page does not contain what it has to"
    assert empty["content"]["title"] == ""
    assert empty["content"]["digest"] != good["content"]["digest"]


@pytest.mark.parametrize(
    "charset", ["idna", "undefined", "punycode", "rot13", "base64", "x" * 300, "utf-8\0"]
)
def test_a_page_in_a_charset_that_is_none_is_read_all_the_same(portal: Portal, charset: str) -> None:
    assert portal.ask(GOOD)["state"] == "up"
    found = portal.ask(DEFACED, f"text/html; charset={charset}")
    assert found["state"] == "down"


def test_an_answer_that_breaks_the_look_at_it_is_a_service_that_is_down(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> bool:
        raise RecursionError

    assert portal.ask(GOOD)["state"] == "up"
    monkeypatch.setattr("agent.probe.services.watch.contains", breaks)
    for _ in range(2):
        portal.told.clear()
        portal.watch.ask(portal.watch._asked[0])
    [document] = msgspec.json.decode(portal.told[0].output or b"")["documents"]
    assert (document["body"]["state"], document["body"]["reason"]) == (
        "down",
        "the answer is not HTTP: RecursionError",
    )


def test_a_disk_that_refuses_makes_the_source_fail(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Content) -> None:
        raise OSError(28, "No space left on device")

    portal.ask(GOOD)
    monkeypatch.setattr(Content, "_save", full)
    portal.told.clear()
    portal.watch.ask(portal.watch._asked[0])
    [said] = portal.told
    assert "No space left on device" in said.failure
    assert portal.watch._asked[0].due is not None


def test_of_a_certificate_of_a_version_that_there_is_not_nothing_is_read(tmp_path: Path) -> None:
    certificate, _ = Authority(tmp_path).issue("odd", "portal.test")
    der = bytearray(ssl.PEM_cert_to_DER_cert(certificate.read_text()))
    at = der.find(b"\xa0\x03\x02\x01\x02")
    assert at > 0
    assert _unverified(bytes(der))["issuer"] == "Test authority"
    der[at + 4] = 4
    assert _unverified(bytes(der)) == {}
