"""Where the event store is: chDB in this process, a ClickHouse server, or a cluster of them. What differs between the
three stands here, and nowhere else.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

import clickhouse_connect

from collector.errors import CollectorError
from collector.store import schema

if TYPE_CHECKING:
    from collector.settings import DataDirectory, Events

#: How running inserts of ours are found on a server (``system.processes``).
INSERT_MARK: Final = "vonggac insert"
_CONNECT_SECONDS: Final = 10
_ANSWER_SECONDS: Final = 120


class Place(Protocol):
    """``embedded``: no other process writes. ``cluster``: its name, empty where there is none."""

    @property
    def embedded(self) -> bool: ...
    @property
    def cluster(self) -> str: ...
    @property
    def name(self) -> str: ...

    def connect(self) -> Any:
        """A new client of clickhouse-connect; whoever asks closes it. Raises its errors."""

    def append(self, client: Any, table: str, stream: bytes, guard: str) -> None:
        """Insert an Arrow stream in one statement, durably. ``guard``: SQL that raises where it must not be done; of no
        use where nobody else writes."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """chDB on the directory ``path``, made where it is missing. ``spill``: where rows lie while they are handed over
    (default: a folder of the system's)."""

    path: Path
    spill: Path | None = None
    embedded: bool = field(default=True, init=False)
    cluster: str = field(default="", init=False)

    @property
    def name(self) -> str:
        return str(self.path)

    def connect(self) -> Any:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return clickhouse_connect.get_client(dsn=f"chdb://{self.path.resolve()}")

    def append(self, client: Any, table: str, stream: bytes, guard: str) -> None:  # noqa: ARG002
        # The engine has no way to take rows from memory; the file is never synced, so it mostly stays in memory.
        handle, name = tempfile.mkstemp(suffix=".arrow", dir=self.spill)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(stream)
            client.command(
                f"INSERT INTO {table} ({', '.join(schema.COLUMNS[table])}) FROM INFILE {_quoted(name)}"
                f" SETTINGS {schema.INSERT_SETTINGS} FORMAT ArrowStream"
            )
        finally:
            Path(name).unlink()


@dataclass(frozen=True, slots=True)
class Server:
    """A ClickHouse server by its HTTP interface: ``http://user@host:8123/database``, or ``https`` (``ca_file``: whose
    certificates are believed, if not the system's). With ``cluster``, tables are replicated and distributed over it.
    """

    url: str
    cluster: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    embedded: bool = field(default=False, init=False)

    @property
    def name(self) -> str:
        return self.url

    def connect(self) -> Any:
        parts = urlsplit(self.url)
        return clickhouse_connect.get_client(
            interface=parts.scheme,
            host=parts.hostname or "",
            port=parts.port or (8443 if parts.scheme == "https" else 8123),
            username=parts.username or "default",
            password=self.password,
            database=parts.path.strip("/") or "default",
            ca_cert=self.ca_file or None,
            autogenerate_session_id=False,  # the same client serves several threads
            connect_timeout=_CONNECT_SECONDS,
            send_receive_timeout=_ANSWER_SECONDS,
        )

    def append(self, client: Any, table: str, stream: bytes, guard: str) -> None:
        client.command(schema.insert_select(table, guard), data=stream, settings=self.insert_settings())

    def insert_settings(self) -> dict[str, Any]:
        """Acknowledged means written, on a majority of the replicas where there are some. The server must never take a
        second insert of the same rows for a repetition: after a rewind it is not.
        """
        settings: dict[str, Any] = {
            "log_comment": INSERT_MARK,
            "insert_deduplicate": 0,
            "async_insert": 0,
        }
        if self.cluster:
            settings |= {
                "insert_quorum": "auto",
                "insert_quorum_parallel": 1,
                "distributed_foreground_insert": 1,
            }
        return settings


def place_of(events: Events, data: DataDirectory) -> Place:
    """The store that the settings name.

    Raises:
        CollectorError: they name something that cannot be one, or the password's file cannot be read.
    """
    if not events.url:
        return Embedded(data.events, data.run / "store-spill")
    parts = urlsplit(events.url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.password is not None:
        raise CollectorError(
            "[events] url must be http(s)://user@host:port/database; the password stands in [events] password_file"
        )
    password = ""
    if events.password_file:
        try:
            password = Path(events.password_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CollectorError(f"[events] password_file {events.password_file}: {error}") from error
    return Server(events.url, events.cluster, password, events.ca_file)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
