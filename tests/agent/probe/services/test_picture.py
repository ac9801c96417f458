"""A picture of a changed page by a real Chromium, from a server that the page's own rules bind it to."""

from __future__ import annotations

import threading
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from agent.probe.services import picture
from agent.probe.services.settings import Service, Services

if TYPE_CHECKING:
    from pathlib import Path


def test_a_changed_page_is_kept_as_a_picture_without_scripts_and_without_others_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not picture.browser():
        pytest.skip("no Chromium here")
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.headers['Host']}{self.path}")
            body = (
                "<h1>Hacked</h1><script>fetch('/by-script')</script><img src='/picture.png'>"
                f"<img src='http://localhost:{port}/elsewhere.png'>"
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        # The browser knows the name by what the check found alone.
        monkeypatch.setattr(picture, "addresses_of", lambda *_: ["127.0.0.1"])
        url = f"http://portal.test:{port}/"
        service = Service(name="portal", kind="http", url=url, screenshot=True)
        kept = picture.take_picture(service, Services(), tmp_path, "1")
        server.shutdown()
    if not kept and not asked:
        pytest.skip("Chromium's sandbox does not work here")
    image = (tmp_path / "pictures" / kept["file"]).read_bytes()
    assert image.startswith(b"\x89PNG")
    assert (kept["sha256"], kept["bytes"]) == (sha256(image).hexdigest(), len(image))
    paths = {each.partition("/")[2] for each in asked}
    assert "picture.png" in paths
    assert not paths & {"by-script", "elsewhere.png"}


def test_the_browser_goes_where_the_check_may_go_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    led = {"portal.test": "203.0.113.7", "six.test": "2001:db8::7", "inner.test": "169.254.169.254"}

    def found(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", (led[host], port))]

    monkeypatch.setattr("agent.probe.services.connecting.socket.getaddrinfo", found)

    def rules(host: str, *also: str) -> str:
        service = Service(name="x", kind="http", url=f"https://{host}/", also_hosts=list(also))
        return picture.resolver_rules(service, Services())

    assert rules("portal.test", "inner.test", "Six.test") == (
        "MAP portal.test 203.0.113.7, MAP six.test [2001:db8::7], MAP * ~NOTFOUND"
    )
    assert rules("inner.test", "portal.test") == ""


def test_only_the_last_pictures_of_a_service_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for at in range(15):
        (folder / f"portal-{at:02}.png").write_bytes(b"x")
    (folder / "portal-two-01.png").write_bytes(b"x")
    picture.forget_old(folder, "portal")
    assert [path.name for path in sorted(folder.iterdir())] == [
        *(f"portal-{at:02}.png" for at in range(5, 15)),
        "portal-two-01.png",
    ]
