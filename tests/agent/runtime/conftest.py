"""Fixtures of the agent's runtime tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.messages import HostFacts
from agent.runtime.enrolment import enrol
from agent.runtime.transport import Address
from agent.settings import StateDirectory
from tests.agent.runtime.stub import StubCollector

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[StubCollector]:
    folder = tmp_path / "stub"
    folder.mkdir()
    collector = StubCollector(folder)
    yield collector
    collector.close()


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


@pytest.fixture
def enrolled(stub: StubCollector, state: StateDirectory) -> StateDirectory:
    """A state directory that has enrolled with ``stub``."""
    enrol(state, Address.of(stub.url), stub.token(), HostFacts(hostname="may-01"))
    stub.seen.clear()
    return state
