"""The ingest process: TLS, the log's writer, and the application between them."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import uvicorn

from collector import serving
from collector.enrolment.files import open_authority
from collector.health import Heartbeat
from collector.ingest.app import IngestApp
from collector.ingest.exposition import NAME, Exposition
from collector.ingest.limits import AddressList
from collector.ingest.protocol import KEEP_ALIVE_SECONDS, AgentProtocol
from collector.log.opening import open_writer
from collector.metrics import IngestMetrics
from collector.state.database import open_state

if TYPE_CHECKING:
    from pathlib import Path

    from collector.settings import DataDirectory, Settings

_STOP_SECONDS = 3


def tls_context(folder: Path) -> ssl.SSLContext:
    """TLS 1.2 and 1.3 with the server's certificate; a client may show one, and then it must be of our CA.

    An agent that comes back within two hours of its last full handshake resumes by its ticket (RFC 8446, 4.6.1),
    which spares both sides the signatures; the ticket holds the certificate that was shown then. Tickets are sealed
    with keys of this process alone. Whether a certificate still counts is asked of the state store with every
    request, so neither a revocation nor an end of its life waits for a full handshake.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 1
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    context.load_verify_locations(folder / "ca.crt")
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


def _protocol(settings: Settings, metrics: IngestMetrics) -> type[AgentProtocol]:
    attributes = {
        "gauge": metrics.connections,
        "max_connections": settings.ingest.connections,
        "request_seconds": settings.ingest.request_seconds,
        "terminators": AddressList(settings.ingest.terminators),
        "strangers": set[AgentProtocol](),
    }
    return type("ConfiguredProtocol", (AgentProtocol,), attributes)


def serve(data: DataDirectory, settings: Settings) -> None:
    """Take batches in until SIGTERM or SIGINT.

    Raises:
        CollectorError: the port cannot be had, or the data directory is not prepared.
    """
    authority = open_authority(data.ca)
    listener = serving.listen_tcp(settings.ingest.host, settings.ingest.port)
    metrics = IngestMetrics()

    def committed(seconds: float, rows: int) -> None:
        metrics.commit_seconds.observe(seconds)
        metrics.commit_rows.observe(rows)

    state = open_state(settings, data)
    writer = open_writer(settings, data, committed)
    exposition = Exposition(metrics, writer, state)
    heartbeat = Heartbeat(state, data, kind="ingest", name=NAME, registry=metrics.registry)
    app = IngestApp(
        settings=settings.ingest,
        data=data,
        authority=authority,
        state=state,
        writer=writer,
        metrics=metrics,
        exposition=exposition,
    )

    async def beside() -> None:
        await asyncio.gather(heartbeat.keep_beating(), app.look_around())

    config = uvicorn.Config(
        app,
        http=_protocol(settings, metrics),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=serving.WAITING_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_STOP_SECONDS,
        ssl_context_factory=lambda _config, _default: tls_context(data.ca),
    )
    try:
        serving.run(config, [listener], beside=beside)
        heartbeat.leave()
    finally:
        app.close()
        writer.close()
        state.close()
