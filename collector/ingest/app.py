"""The agents' port as an ASGI application: who is it, is the envelope sound, is it durable; then 202.

Plain ASGI, because the way of a batch must be short. Authentication comes before any reading of a body.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from http import HTTPStatus
from time import monotonic, time
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from agent.messages import (
    BATCH_PATH,
    BUNDLE_PATH,
    CA_PATH,
    ENROL_PATH,
    HEARTBEAT_PATH,
    MAX_BODY_BYTES,
    RELEASES_PATH,
    RENEW_PATH,
    SETTINGS_PATH,
    EnrolRequest,
    Importance,
    RenewRequest,
)
from collector.enrolment import service
from collector.enrolment.errors import (
    CertificateRequestError,
    NotAuthenticatedError,
    RevokedError,
    TokenRefusedError,
)
from collector.enrolment.lookup import Authenticator
from collector.errors import ConflictError
from collector.identity import splitting
from collector.ingest import bundle, problems
from collector.ingest.asgi import (
    ByteHolder,
    Gone,
    Receive,
    Scope,
    Send,
    accepted,
    answer,
    answer_json,
    noted,
    read_body,
    start,
)
from collector.ingest.envelope import check_frame, declared_length, read_header, read_importance
from collector.ingest.gate import Gate
from collector.ingest.limits import AddressList, ByteBudget, FailureLimit, is_loopback
from collector.ingest.peer import certificate_sha256, client_address
from collector.ingest.problems import RefusalError
from collector.ingest.releases import Releases
from collector.ingest.signing import Signing
from collector.log.errors import LogBusy, LogError, LogFull
from collector.log.interface import LogRow
from collector.state.base import utcnow
from collector.steering.board import Board
from collector.steering.settings.document import signed_settings
from collector.steering.sources import all_sources

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.steered import SignedSettings
    from collector.enrolment.authority import Authority
    from collector.ingest.exposition import Exposition
    from collector.log.interface import LogWriter
    from collector.metrics import IngestMetrics
    from collector.settings import DataDirectory, Ingest
    from collector.state.database import StateStore

T = TypeVar("T")

_SMALL_BODY_BYTES: Final = 32 << 10
_SEND_SECONDS: Final = 60.0
_log = logging.getLogger(__name__)


class IngestApp:
    """ASGI application. All of it runs on one event loop; enrolment's cryptography goes to threads."""

    def __init__(
        self,
        *,
        settings: Ingest,
        data: DataDirectory,
        authority: Authority,
        state: StateStore,
        writer: LogWriter,
        metrics: IngestMetrics,
        exposition: Exposition,
    ) -> None:
        self._settings = settings
        self._authority = authority
        self._state = state
        self._authenticator = Authenticator(state)
        self._writer = writer
        self._metrics = metrics
        self._exposition = exposition
        self._bundle = bundle.Bundle(data.bundle)
        self._releases = Releases(data.releases)
        self._terminators = AddressList(settings.terminators)
        self._readers = AddressList(settings.metrics_from)
        self._budget = ByteBudget(settings.queue_bytes)
        self._gate = Gate(settings, data, state, metrics, self._budget)
        self._failures = FailureLimit(monotonic)
        self._signing = Signing(state)
        self._board = Board(state, all_sources())
        self._routes: dict[str, tuple[str, Callable[[Scope, Receive, Send], Awaitable[HTTPStatus]]]] = {
            BATCH_PATH: ("POST", self._batch),
            HEARTBEAT_PATH: ("POST", self._heartbeat),
            ENROL_PATH: ("POST", self._enrol),
            RENEW_PATH: ("POST", self._renew),
            CA_PATH: ("GET", self._ca),
            BUNDLE_PATH: ("GET", self._list_bundle),
            SETTINGS_PATH: ("GET", self._settings_of),
            "/healthz": ("GET", self._healthz),
            "/metrics": ("GET", self._expose),
        }

    def close(self) -> None:
        self._authenticator.close()

    async def look_around(self) -> None:
        """See to what holds agents back and to what is wanted of them, until cancelled."""
        await asyncio.gather(self._gate.look_around(), self._board.look_around())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        route = scope["path"]
        try:
            if route in self._routes:
                method, handler = self._routes[route]
            elif route.startswith(f"{BUNDLE_PATH}/"):
                route, method, handler = f"{BUNDLE_PATH}/*", "GET", self._bundle_file
            elif route.startswith(f"{RELEASES_PATH}/"):
                route, method, handler = f"{RELEASES_PATH}/*", "GET", self._release_file
            else:
                route = "*"
                raise problems.not_found()
            if scope["method"] != method:
                raise problems.not_allowed(method)
            status, reason = await handler(scope, receive, send), ""
        except RefusalError as refusal:
            status, reason = refusal.status, refusal.reason
            headers = [
                (name.encode("ascii"), value.encode("ascii")) for name, value in refusal.headers.items()
            ]
            await answer(send, status, refusal.body(), b"application/problem+json", headers)
        except Gone:
            status, reason = HTTPStatus.BAD_REQUEST, "gone"
        self._metrics.requests.labels(route, str(status.value), reason).inc()

    async def _batch(self, scope: Scope, receive: Receive, send: Send) -> HTTPStatus:
        identity = self._identify(scope)
        header = read_header(scope["headers"], first=1)
        length = declared_length(scope["headers"])
        self._gate.enter(identity.endpoint_id, read_importance(scope["headers"], length), length)
        held = ByteHolder(self._budget)
        try:
            body = await read_body(receive, MAX_BODY_BYTES, held)
            if length is not None and len(body) != length:
                raise Gone
            check_frame(body)
            if length is None:
                self._gate.weigh(identity.endpoint_id, len(body))
            await self._append("batch", identity.endpoint_id, header.stream, header.seq, header.sent_at, body)
        finally:
            held.release()
        self._metrics.body_bytes.inc(len(body))
        return await accepted(send, self._board.header(identity.endpoint_id))

    async def _heartbeat(self, scope: Scope, receive: Receive, send: Send) -> HTTPStatus:
        identity = self._identify(scope)
        header = read_header(scope["headers"], first=0)
        self._gate.enter(identity.endpoint_id, Importance.STATUS, 0)
        await read_body(receive, 0, None)
        await self._append("heartbeat", identity.endpoint_id, header.stream, header.seq, header.sent_at, b"")
        return await noted(send, self._board.header(identity.endpoint_id))

    async def _append(
        self, kind: str, endpoint_id: str, stream: str, seq: int, sent_at: float, body: bytes
    ) -> None:
        row = LogRow(0, kind, endpoint_id, stream, seq, sent_at, time(), body)
        try:
            await self._writer.append(row)
        except LogFull as error:
            raise problems.busy("full", "no room on the collector's disk", 60) from error
        except LogBusy as error:
            raise problems.busy("busy", "too much waits for the collector's disk", 5) from error
        except LogError as error:
            _log.exception("the log failed")
            raise problems.busy("log", "the collector cannot write now", 30) from error

    async def _enrol(self, scope: Scope, receive: Receive, send: Send) -> HTTPStatus:
        address = client_address(scope)
        wait = self._failures.wait_seconds(address)
        if wait:
            raise problems.too_many("rate", "too many failed enrolments from this address", wait)
        request = await self._read_json(scope, receive, EnrolRequest)
        try:
            reply = await self._signing.do(
                lambda session, now: service.enrol(
                    session, request, self._authority, now, certificate_days=self._settings.certificate_days
                )
            )
        except TokenRefusedError as error:
            self._failures.failed(address)
            _log.warning(
                "enrolment refused",
                extra={"address": address, "reason": str(error), "host": request.facts.hostname},
            )
            raise problems.token_refused() from error
        except CertificateRequestError as error:
            self._failures.failed(address)
            raise problems.envelope(f"csr_pem: {error}") from error
        _log.info(
            "endpoint enrolled",
            extra={"address": address, "endpoint": reply.endpoint_id, "host": request.facts.hostname},
        )
        return await answer_json(send, reply)

    async def _renew(self, scope: Scope, receive: Receive, send: Send) -> HTTPStatus:
        identity = self._identify(scope)
        self._gate.enter(identity.endpoint_id, Importance.STATUS, 0)
        request = await self._read_json(scope, receive, RenewRequest)
        try:
            reply = await self._signing.do(
                lambda session, now: splitting.renew(
                    session,
                    identity,
                    request,
                    self._authority,
                    now,
                    certificate_days=self._settings.certificate_days,
                    unconfirmed_limit=self._settings.unconfirmed_copies,
                )
            )
        except CertificateRequestError as error:
            raise problems.envelope(f"csr_pem: {error}") from error
        except NotAuthenticatedError as error:
            raise problems.unauthenticated(str(error)) from error
        except RevokedError as error:
            raise problems.revoked(str(error)) from error
        except ConflictError as error:
            _log.warning("renewal refused", extra={"endpoint": identity.endpoint_id, "reason": str(error)})
            raise problems.conflict(str(error)) from error
        _log.info(
            "certificate renewed",
            extra={"endpoint": reply.endpoint_id, "certificate_of": identity.endpoint_id},
        )
        return await answer_json(send, reply)

    async def _settings_of(self, scope: Scope, _receive: Receive, send: Send) -> HTTPStatus:
        identity = self._identify(scope)
        self._gate.enter(identity.endpoint_id, Importance.STATUS, 0)

        def sign() -> SignedSettings | None:
            with self._state.read() as session:
                return signed_settings(session, identity.endpoint_id, self._authority, utcnow())

        try:
            signed = await asyncio.to_thread(sign)
        except SQLAlchemyError as error:
            _log.exception("the state store failed")
            raise problems.busy("state", "the collector cannot look up your settings now", 10) from error
        if signed is None:
            raise problems.not_found()
        return await answer_json(send, signed)

    async def _ca(self, _scope: Scope, _receive: Receive, send: Send) -> HTTPStatus:
        return await answer(
            send, HTTPStatus.OK, self._authority.pem.encode("ascii"), b"application/x-pem-file"
        )

    async def _list_bundle(self, _scope: Scope, _receive: Receive, send: Send) -> HTTPStatus:
        return await answer_json(send, await asyncio.to_thread(self._bundle.listing))

    async def _bundle_file(self, scope: Scope, _receive: Receive, send: Send) -> HTTPStatus:
        found = self._bundle.find(scope["path"].removeprefix(f"{BUNDLE_PATH}/"))
        if found is None:
            raise problems.not_found()
        path, size = found
        await send(start(HTTPStatus.OK, size, b"application/octet-stream", []))
        for chunk in bundle.chunks(path):
            async with asyncio.timeout(_SEND_SECONDS):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return HTTPStatus.OK

    async def _release_file(self, scope: Scope, _receive: Receive, send: Send) -> HTTPStatus:
        endpoint_id = self._identify(scope).endpoint_id
        self._gate.enter(endpoint_id, Importance.STATUS, 0)
        return await self._releases.serve(
            endpoint_id, scope["path"].removeprefix(f"{RELEASES_PATH}/"), scope, send
        )

    async def _healthz(self, _scope: Scope, _receive: Receive, send: Send) -> HTTPStatus:
        healthy = await asyncio.to_thread(self._exposition.healthy)
        if not healthy:
            raise problems.busy("health", "the state store or the log does not answer", 5)
        return await answer_json(send, {"healthy": True})

    async def _expose(self, scope: Scope, _receive: Receive, send: Send) -> HTTPStatus:
        address = client_address(scope)
        if not is_loopback(address) and address not in self._readers:
            raise RefusalError(HTTPStatus.FORBIDDEN, "address", "metrics are not for this address")
        text = await asyncio.to_thread(self._exposition.text)
        return await answer(send, HTTPStatus.OK, text, b"text/plain; version=0.0.4")

    def _identify(self, scope: Scope) -> service.EndpointIdentity:
        try:
            digest = certificate_sha256(scope, self._terminators)
        except ValueError as error:
            raise problems.envelope(str(error), HTTPStatus.BAD_REQUEST) from error
        if digest is None:
            raise problems.unauthenticated("a client certificate is needed: enrol first")
        try:
            return self._authenticator.authenticate(digest, utcnow())
        except NotAuthenticatedError as error:
            raise problems.unauthenticated(str(error)) from error
        except RevokedError as error:
            raise problems.revoked(str(error)) from error
        except (SQLAlchemyError, sqlite3.Error) as error:
            _log.exception("the state store failed")
            raise problems.busy("state", "the collector cannot look you up now", 10) from error

    async def _read_json(self, scope: Scope, receive: Receive, kind: type[T]) -> T:
        declared_length(scope["headers"])
        body = await read_body(receive, _SMALL_BODY_BYTES, None)
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise problems.envelope(str(error)) from error
