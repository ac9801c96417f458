from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.collector import make_site

if TYPE_CHECKING:
    import http.client
    from collections.abc import Iterator

    from tests.support.collector import Endpoint, Site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The real ingest process behind real TLS."""
    made = make_site(tmp_path_factory.mktemp("site"), 'terminators = ["127.0.0.2"]')
    process = made.start_ingest()
    yield made
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    made.state.close()


@pytest.fixture
def endpoint(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Endpoint:
    return site.enrol(tmp_path_factory.mktemp("endpoint"))


@pytest.fixture
def connection(endpoint: Endpoint) -> Iterator[http.client.HTTPSConnection]:
    """One kept connection with the endpoint's certificate."""
    with contextlib.closing(endpoint.connect()) as opened:
        yield opened


@pytest.fixture
def stranger(site: Site) -> Iterator[http.client.HTTPSConnection]:
    """A kept connection without a certificate."""
    with contextlib.closing(site.connect()) as opened:
        yield opened
