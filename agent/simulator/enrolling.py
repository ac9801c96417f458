"""Enrols thousands of simulated endpoints: as the agent does, over connections that are kept."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import msgspec

import agent
from agent.messages import ENROL_PATH, EnrolRequest, TokenParts
from agent.runtime.enrolment import (
    certificate_life,
    fetch_ca,
    make_key_and_request,
    read_reply,
    write_identity,
)
from agent.runtime.identity import Identity
from agent.runtime.transport import Connection, trusting_context

if TYPE_CHECKING:
    from agent.messages import HostFacts
    from agent.runtime.transport import Address
    from agent.settings import StateDirectory


class Enroller:
    """For several threads; each keeps a connection of its own. Call :meth:`close` when all are done."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._authorities: dict[str, str] = {}
        self._mine = threading.local()
        self._connections: list[Connection] = []

    def enrol(self, state: StateDirectory, token_text: str, facts: HostFacts) -> None:
        """A key and certificate of its own for the endpoint, in ``state``. Nothing is fsynced: it is a simulation.

        Raises:
            AgentError: as :func:`agent.runtime.enrolment.enrol`.
        """
        token = TokenParts.decode(token_text)
        ca_pem = self._authority(token.ca_sha256)
        made = make_key_and_request(facts.hostname)
        request = EnrolRequest(
            token=token.encode(), csr_pem=made.csr_pem, facts=facts, agent_version=agent.__version__
        )
        headers = {"Content-Type": "application/json"}
        answer = self._connection(ca_pem).request("POST", ENROL_PATH, headers, msgspec.json.encode(request))
        reply = read_reply(answer)
        not_before, not_after = certificate_life(reply.certificate_pem)
        identity = Identity(
            endpoint_id=reply.endpoint_id,
            collector_url=self._address.url,
            ca_sha256=token.ca_sha256,
            enrolled_at=time.time(),
            not_before=not_before,
            not_after=not_after,
        )
        write_identity(state, made.key_pem, reply.certificate_pem, ca_pem, identity, durable=False)

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def _authority(self, sha256: str) -> str:
        with self._lock:
            if sha256 not in self._authorities:
                self._authorities[sha256] = fetch_ca(self._address, sha256)
            return self._authorities[sha256]

    def _connection(self, ca_pem: str) -> Connection:
        connection: Connection | None = getattr(self._mine, "connection", None)
        if connection is None:
            connection = self._mine.connection = Connection(self._address, trusting_context(ca_pem))
            with self._lock:
                self._connections.append(connection)
        return connection
