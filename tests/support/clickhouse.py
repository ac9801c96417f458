"""A ClickHouse server for tests: its HTTP interface, as far as our driver uses it, over the embedded engine in a
process of its own. The engine is the server's; what is not here is what only a real server has: users, TLS, replicas,
``ON CLUSTER``.

``input()`` is the one thing that is put otherwise: the engine reads the request's body as a file.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

_OURS = re.compile(
    r"^(query|database|default_format|session_id|query_id|compress|decompress|wait_end_of_query|buffer_size|param_.*)$"
)
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)


@contextmanager
def clickhouse_server(folder: Path) -> Iterator[str]:
    """Its URL, while it runs; what it stores is below ``folder`` and there again the next time."""
    folder.mkdir(parents=True, exist_ok=True)
    told = folder / "port"
    told.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.support.clickhouse", str(folder)]
    with (folder / "server.log").open("ab") as output:
        process = subprocess.Popen(command, stderr=output, cwd=Path(__file__).parents[2])
    try:
        wait_until(told.exists, seconds=60, what="the ClickHouse server to listen", every=0.05)
        yield f"http://127.0.0.1:{told.read_text()}/default"
    finally:
        process.terminate()
        process.wait(30)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path
    local = threading.local()

    def do_GET(self) -> None:
        self._answer(200, b"Ok.\n", "")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        sql, data = (given["query"], body) if "query" in given else (body.decode(), b"")
        parameters = {name[6:]: value for name, value in given.items() if name.startswith("param_")}
        settings = {name: value for name, value in given.items() if not _OURS.match(name)}
        if "client_protocol_version" in settings:
            self._answer(400, b"Code: 115. DB::Exception: no such setting here", "")
            return
        try:
            found = _FORMAT.search(sql)
            written = found[1] if found else given.get("default_format", "TabSeparated")
            self._answer(200, self._run(sql, data, parameters, settings, written), written)
        except Exception as error:
            self._answer(500, str(error).encode(), "")

    def _run(
        self, sql: str, data: bytes, parameters: dict[str, str], settings: dict[str, str], written: str
    ) -> bytes:
        connection = self._connection()
        for name, value in settings.items():
            connection.query(f"SET {name} = '{value}'")
        try:
            if not data:
                return bytes(connection.query(sql, written, params=parameters).bytes() or b"")
            with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".body") as file:
                file.write(data)
                file.flush()
                plain = _FORMAT.sub("", sql).replace("input('", f"file('{file.name}', '{written}', '")
                connection.query(plain, "TabSeparated", params=parameters)
            return b""
        finally:
            for name in settings:
                connection.query(f"SET {name} = DEFAULT")

    def _connection(self) -> Any:
        if not hasattr(self.local, "connection"):
            import chdb

            self.local.connection = chdb.connect(str(self.folder / "data"))  # type: ignore[no-untyped-call] # theirs has no annotations
        return self.local.connection

    def _chunks(self) -> bytes:
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def _answer(self, status: int, content: bytes, written: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if written and content:
            self.send_header("X-ClickHouse-Format", written)
        if status != 200:
            code = re.search(rb"Code: (\d+)", content)
            self.send_header("X-ClickHouse-Exception-Code", code[1].decode() if code else "0")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


def _main(folder: Path) -> None:
    _Handler.folder = folder
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    passing = folder / "port.new"
    passing.write_text(str(server.server_address[1]))
    passing.rename(folder / "port")
    server.serve_forever()


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
