"""What ``make run`` prints and says; that it runs at all: tests/e2e/test_quickstart.py."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from collector.settings import DataDirectory
from soc_api.cli.quickstart import fingerprint
from soc_api.local import Part

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("length", range(3), ids=lambda n: f"{n} more letters")
def test_the_fingerprint_is_that_of_the_first_certificate_in_the_file(tmp_path: Path, length: int) -> None:
    """Whether or not its base64 ends in padding: the authority's certificate follows in the same file."""
    directory = DataDirectory(tmp_path / "data")
    directory.ca.mkdir(parents=True)
    first, second = _certificate("s" * (10 + length)), _certificate("authority")
    (directory.ca / "server.crt").write_bytes(
        b"".join(one.public_bytes(serialization.Encoding.PEM) for one in (first, second))
    )
    der = first.public_bytes(serialization.Encoding.DER)
    assert fingerprint(directory) == hashlib.sha256(der).digest().hex(":").upper()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["Error: `make run` runs already"], "`make run` runs already ("),
        (
            [json.dumps({"level": "critical", "reason": "port 1 in use"}), "Error: see its last line above"],
            "port 1",
        ),
        ([json.dumps({"level": "info", "reason": "nothing"}), "{not json"], "see "),
        ([], "see "),
    ],
)
def test_a_part_that_ended_is_quoted(tmp_path: Path, lines: list[str], words: str) -> None:
    log = tmp_path / "part.log"
    log.write_text("".join(f"{line}\n" for line in lines))
    said = Part("part", [], log).last_words()
    assert said.startswith(words)
    assert str(log) in said


def _certificate(name: str) -> x509.Certificate:
    key = ed25519.Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime(2026, 11, 21, tzinfo=UTC)
    return (
        x509.CertificateBuilder(subject, subject, key.public_key(), 2**150)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, None)
    )
