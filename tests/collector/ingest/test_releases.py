"""The files of releases at the agents' port: for enrolled endpoints, whole or in parts, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.collector import Endpoint, Site, ask, make_site

if TYPE_CHECKING:
    from collections.abc import Iterator

WHEEL = "vonggac-0.2.0-py3-none-any.whl"
DATA = bytes(range(256)) * 1000


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("releases")
    site = make_site(folder / "data")
    release = site.data.releases / "0.2.0"
    release.mkdir(parents=True)
    (release / WHEEL).write_bytes(DATA)
    (release / "link.whl").symlink_to(site.data.ca / "ca.key")
    process = site.start_ingest()
    yield site.enrol(folder / "endpoint")
    process.terminate()
    process.wait(timeout=30)
    site.state.close()


def get(endpoint: Endpoint, path: str, asked: str = "") -> tuple[int, dict[str, str], bytes]:
    connection = endpoint.connect()
    try:
        answer = ask(connection, "GET", f"/v1/releases/{path}", headers={"Range": asked} if asked else {})
    finally:
        connection.close()
    return answer.status, answer.headers, answer.body


def test_a_part_is_answered_as_it_was_asked_for(endpoint: Endpoint) -> None:
    status, headers, body = get(endpoint, f"0.2.0/{WHEEL}", "bytes=1000-65999")
    assert (status, body) == (206, DATA[1000:66000])
    assert headers["content-range"] == f"bytes 1000-65999/{len(DATA)}"


def test_the_last_part_ends_with_the_file(endpoint: Endpoint) -> None:
    status, headers, body = get(endpoint, f"0.2.0/{WHEEL}", f"bytes={len(DATA) - 10}-{len(DATA) + 500}")
    assert (status, body) == (206, DATA[-10:])
    assert headers["content-range"] == f"bytes {len(DATA) - 10}-{len(DATA) - 1}/{len(DATA)}"


def test_a_part_is_never_larger_than_an_agent_reads(endpoint: Endpoint) -> None:
    status, headers, body = get(endpoint, f"0.2.0/{WHEEL}", "bytes=0-199999")
    assert (status, len(body), headers["content-range"]) == (206, 65536, f"bytes 0-65535/{len(DATA)}")


def test_beyond_the_end_is_nothing(endpoint: Endpoint) -> None:
    status, headers, _ = get(endpoint, f"0.2.0/{WHEEL}", f"bytes={len(DATA)}-{len(DATA) + 5}")
    assert (status, headers["content-range"]) == (416, f"bytes */{len(DATA)}")


@pytest.mark.parametrize(
    "asked", ["", "bytes=5-1", "bytes=-5", "bytes=0-1,4-5", "lines=1-2", "bytes=0-" + "9" * 40]
)
def test_what_is_no_single_part_gets_the_whole(asked: str, endpoint: Endpoint) -> None:
    status, _, body = get(endpoint, f"0.2.0/{WHEEL}", asked)
    assert (status, body) == (200, DATA)


@pytest.mark.parametrize(
    "path",
    [
        "0.3.0/" + WHEEL,
        "0.2.0/link.whl",
        "0.2.0/",
        "0.2.0",
        "../ca/ca.key",
        "0.2.0/../../ca/ca.key",
        "0.2.0/%2e%2e/x.whl",
    ],
)
def test_nothing_else_is_served(path: str, endpoint: Endpoint) -> None:
    assert get(endpoint, path)[0] == 404


def test_only_enrolled_endpoints_are_served(endpoint: Endpoint) -> None:
    site: Site = endpoint.site
    connection = site.connect()
    try:
        assert ask(connection, "GET", f"/v1/releases/0.2.0/{WHEEL}").status == 401
    finally:
        connection.close()
