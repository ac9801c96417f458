"""The process that owns the event store, answering the others on a Unix socket
(``collector.store.client``).
"""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from datetime import datetime  # noqa: TC003 - msgspec reads the annotation
from typing import TYPE_CHECKING, Any

import msgspec
import prometheus_client
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from agent.messages import Problem
from collector import serving
from collector.store import fence
from collector.store.errors import FencedError, QueryError, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from pathlib import Path

    from starlette.requests import Request

    from collector.metrics import StoreMetrics
    from collector.store.engine import Engine

_MAX_BODY_BYTES = 256 << 20
#: A query may wait for two others, each bounded by the engine; a client that went away is not waited for.
_STOP_SECONDS = 5


class _Query(msgspec.Struct, forbid_unknown_fields=True):
    sql: str
    parameters: dict[str, object] = {}
    since: datetime | None = None
    name: str = ""


class _Cancel(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class _Rewind(msgspec.Struct, forbid_unknown_fields=True):
    positions: dict[int, int]
    epochs: dict[int, int] = {}


class _Restored(msgspec.Struct, forbid_unknown_fields=True):
    damage: str
    log_offset: int
    rows: int


class _LookedThrough(msgspec.Struct, forbid_unknown_fields=True):
    damage: str
    partitions: list[int]


class _Freeze(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class Owner:
    """The routes over one engine."""

    def __init__(self, engine: Engine, metrics: StoreMetrics) -> None:
        self._engine = engine
        self._metrics = metrics

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/insert/{table}", self._guarded(self._insert), methods=["POST"]),
                Route("/rewind", self._guarded(self._rewind), methods=["POST"]),
                Route("/forget-simulated", self._guarded(self._forget_simulated), methods=["POST"]),
                Route("/freeze", self._guarded(self._freeze), methods=["POST"]),
                Route("/query", self._guarded(self._query), methods=["POST"]),
                Route("/cancel", self._guarded(self._cancel), methods=["POST"]),
                Route("/forecast", self._guarded(self._forecast)),
                Route("/damages", self._guarded(self._damages)),
                Route("/damages/restored", self._guarded(self._restored), methods=["POST"]),
                Route("/damages/looked-through", self._guarded(self._looked_through), methods=["POST"]),
                Route("/healthz", self._healthz),
                Route("/metrics", self._expose),
            ]
        )

    def _guarded(
        self, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                return await handler(request)
            except (QueryError, msgspec.DecodeError) as error:
                return _problem(422, "the query cannot be run", str(error))
            except FencedError as error:
                return _problem(409, "another worker has taken over", str(error))
            except StoreUnavailableError as error:
                return _problem(503, "the event store is busy", str(error))
            except StoreError as error:
                self._metrics.failures.inc()
                return _problem(500, "the event store failed", str(error))

        return guarded

    async def _insert(self, request: Request) -> Response:
        table = request.path_params["table"]
        epochs = fence.read_epochs(request.query_params.get("epochs", ""))
        body = await _body(request)
        with self._metrics.insert_seconds.labels(table).time():
            await run_in_threadpool(self._engine.insert, table, body, epochs)
        self._metrics.inserted_bytes.labels(table).inc(len(body))
        return Response(status_code=204)

    async def _rewind(self, request: Request) -> Response:
        wanted = msgspec.json.decode(await _body(request), type=_Rewind)
        deleted = await run_in_threadpool(self._engine.rewind, wanted.positions, wanted.epochs)
        return _json({"deleted": deleted})

    async def _forget_simulated(self, _request: Request) -> Response:
        return _json({"deleted": await run_in_threadpool(self._engine.forget_simulated)})

    async def _freeze(self, request: Request) -> Response:
        wanted = msgspec.json.decode(await _body(request), type=_Freeze)
        await run_in_threadpool(self._engine.freeze, wanted.name)
        return Response(status_code=204)

    async def _query(self, request: Request) -> Response:
        query = msgspec.json.decode(await _body(request), type=_Query)
        name = query.name or uuid.uuid4().hex
        gone = asyncio.ensure_future(_gone(request))
        with self._metrics.query_seconds.time():
            work = asyncio.ensure_future(
                run_in_threadpool(self._engine.query, query.sql, query.parameters, query.since, name)
            )
            try:
                await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not work.done():  # nobody waits for the answer
                    await run_in_threadpool(self._engine.cancel, name)
                rows = await work
            finally:
                gone.cancel()
        return Response(rows, media_type="application/json")

    async def _cancel(self, request: Request) -> Response:
        wanted = msgspec.json.decode(await _body(request), type=_Cancel)
        return _json({"ran": await run_in_threadpool(self._engine.cancel, wanted.name)})

    async def _forecast(self, _request: Request) -> Response:
        return _json(await run_in_threadpool(self._engine.forecast))

    async def _damages(self, _request: Request) -> Response:
        damages = await run_in_threadpool(self._engine.damages.look)
        self._metrics.damaged_parts.set(await run_in_threadpool(self._engine.damaged_with, damages))
        return _json(damages)

    async def _restored(self, request: Request) -> Response:
        said = msgspec.json.decode(await _body(request), type=_Restored)
        await run_in_threadpool(self._engine.damages.note_restored, said.damage, said.log_offset, said.rows)
        return Response(status_code=204)

    async def _looked_through(self, request: Request) -> Response:
        said = msgspec.json.decode(await _body(request), type=_LookedThrough)
        await run_in_threadpool(self._engine.damages.note_looked_through, said.damage, said.partitions)
        return Response(status_code=204)

    async def _healthz(self, _request: Request) -> Response:
        healthy = await run_in_threadpool(self._engine.healthy)
        return _json({"healthy": healthy}, status=200 if healthy else 503)

    async def _expose(self, _request: Request) -> Response:
        text = prometheus_client.generate_latest(self._metrics.registry)
        return Response(text, media_type="text/plain; version=0.0.4")


async def _gone(request: Request) -> None:
    """Return when the one who asked has gone away; the body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request) -> bytes:
    chunks = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > _MAX_BODY_BYTES:
            raise QueryError(f"more than {_MAX_BODY_BYTES} bytes in one request: send smaller batches")
        chunks.append(chunk)
    return b"".join(chunks)


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status_code=status, media_type="application/json")


def _problem(status: int, title: str, detail: str) -> Response:
    problem = Problem(type="about:blank", title=title, status=status, detail=detail)
    return Response(msgspec.json.encode(problem), status_code=status, media_type="application/problem+json")


def listen(path: Path) -> socket.socket:
    """A listening Unix socket, mode 0600 from its first moment; one that a dead process left is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise StoreError(f"{path}: cannot listen: {error.strerror or error}") from error
    finally:
        os.umask(before)
    listener.listen(128)
    return listener


def serve(
    engine: Engine,
    socket_path: Path,
    metrics: StoreMetrics,
    beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Answer for ``engine`` on ``socket_path`` until SIGTERM or SIGINT; ``beside`` runs on the same loop. Who calls
    closes the engine.

    Raises:
        StoreError: the socket cannot be listened on.
    """
    listener = listen(socket_path)
    try:
        config = uvicorn.Config(
            Owner(engine, metrics).app(),
            http="httptools",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        serving.run(config, [listener], beside=beside)
    finally:
        socket_path.unlink(missing_ok=True)
