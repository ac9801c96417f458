"""Settings at the agents' port: each endpoint gets its own alone, signed."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from agent.messages import SETTINGS_PATH
from agent.steered import SIGNED_AS, SettingsDocument, SignedSettings, Steered
from collector.state.base import utcnow
from collector.state.scope import EVERYTHING
from collector.steering.settings.groups import Group
from collector.steering.settings.publishing import publish
from tests.support.collector import ask

if TYPE_CHECKING:
    import http.client
    from pathlib import Path

    from tests.support.collector import Endpoint, Site


def read(connection: http.client.HTTPSConnection) -> tuple[SignedSettings, SettingsDocument]:
    answer = ask(connection, "GET", SETTINGS_PATH)
    assert answer.status == 200, answer
    signed = msgspec.json.decode(answer.body, type=SignedSettings)
    return signed, msgspec.json.decode(signed.document, type=SettingsDocument)


def test_each_endpoint_gets_its_own_settings_alone(
    site: Site, endpoint: Endpoint, connection: http.client.HTTPSConnection, tmp_path: Path
) -> None:
    other = site.enrol(tmp_path / "other")
    assert ask(connection, "GET", SETTINGS_PATH).status == 404
    with site.state.write() as session:
        number = publish(
            session,
            EVERYTHING,
            Group("endpoint", endpoint.id),
            Steered(heartbeat_seconds=90),
            based_on=0,
            comment="",
            by="lan",
            now=utcnow(),
        ).number
    signed, document = read(connection)
    assert document.endpoint_id == endpoint.id
    assert document.number == number
    assert document.settings == Steered(heartbeat_seconds=90)
    assert document.issued_at < utcnow().timestamp() < document.valid_until

    key = x509.load_pem_x509_certificate((site.data.ca / "ca.crt").read_bytes()).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(signed.signature, SIGNED_AS + signed.document, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        key.verify(signed.signature, signed.document, ec.ECDSA(hashes.SHA256()))

    with closing(other.connect()) as foreign:
        assert ask(foreign, "GET", SETTINGS_PATH).status == 404
        assert ask(foreign, "GET", f"{SETTINGS_PATH}?endpoint_id={endpoint.id}").status == 404
        assert ask(foreign, "GET", f"{SETTINGS_PATH}/{endpoint.id}").status == 404


def test_nobody_gets_settings_without_a_certificate(stranger: http.client.HTTPSConnection) -> None:
    assert ask(stranger, "GET", SETTINGS_PATH).status == 401
