"""Chromium, driven against the real server with a province in its stores."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from collector.settings import DataDirectory
from collector.state.base import utcnow
from collector.state.database import StateStore
from rules.catalogue import load_catalogue
from soc_api.accounts.passwords import Passwords
from soc_api.accounts.permissions import Role
from soc_api.accounts.service import create_user
from tests.soc_api.pages import demo
from tests.support.debian import program
from tests.support.stack import PASSWORD, Stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver.chrome.webdriver import WebDriver

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1440,900",
    # else the page scrolls smoothly, and what is to be clicked moves on meanwhile
    "--force-prefers-reduced-motion",
)


class Console:
    """The running server, and the stores behind it for what a test wants to happen."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.state = StateStore(DataDirectory(stack.data).state)

    def analyst(self, name: str) -> str:
        """Make a user with ``PASSWORD``; return the secret of the one-time codes."""
        with self.state.write() as session:
            made = create_user(
                session, Passwords(), name, Role.ANALYST, password=PASSWORD, actor="test", now=utcnow()
            )
        return made.totp_secret

    @property
    def key_digest(self) -> str:
        """The server's public key as Chromium's certificate exception wants it."""
        pem = (DataDirectory(self.stack.data).ca / "server.crt").read_bytes()
        key = x509.load_pem_x509_certificate(pem).public_key()
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(spki).digest()).decode()


@pytest.fixture(scope="session")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    program("chromium", "chromium")
    program("chromedriver", "chromium-driver")
    stack = Stack(tmp_path_factory.mktemp("console"))
    stack.start()
    try:
        made = Console(stack)
        with made.state.write() as session:
            demo.fill(session, load_catalogue(), utcnow(), endpoints=24, live=True)
        yield made
        made.state.close()
    finally:
        stack.stop()


@pytest.fixture
def chromium(console: Console, tmp_path: Path) -> Iterator[WebDriver]:
    """A browser of its own; the test fails where its console holds an error or a policy violation at the end."""
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium", "chromium")
    for flag in (
        *_FLAGS,
        f"--user-data-dir={tmp_path}",
        f"--ignore-certificate-errors-spki-list={console.key_digest}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(program("chromedriver", "chromium-driver")))
    try:
        yield driver
        entries = driver.get_log("browser")  # type: ignore[no-untyped-call]  # selenium has no type here
        log = [entry for entry in entries if entry["level"] in {"SEVERE", "WARNING"}]
        assert log == [], json.dumps(log, indent=1)
    finally:
        driver.quit()
