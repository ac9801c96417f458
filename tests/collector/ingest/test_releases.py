"""The files of releases at the agents' port: for enrolled endpoints, wheels in parts, and nothing else."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from collector.ingest.problems import RefusalError
from collector.ingest.releases import Releases
from tests.support.collector import Endpoint, Site, ask, make_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
def test_a_wheel_is_sent_in_single_parts_alone(asked: str, endpoint: Endpoint) -> None:
    status, headers, body = get(endpoint, f"0.2.0/{WHEEL}", asked)
    assert (status, headers["content-range"], len(body) < 1000) == (416, f"bytes */{len(DATA)}", True)


def test_the_manifest_is_sent_whole_where_it_is_small(endpoint: Endpoint) -> None:
    manifest = endpoint.site.data.releases / "0.2.0" / "manifest.json"
    manifest.write_bytes(DATA[:60_000])
    assert get(endpoint, "0.2.0/manifest.json")[::2] == (200, DATA[:60_000])
    manifest.write_bytes(DATA)
    assert get(endpoint, "0.2.0/manifest.json")[0] == 416


def test_an_endpoint_that_asks_too_often_waits_and_others_do_not(tmp_path: Path) -> None:
    site = make_site(tmp_path / "data", "quota_requests = 10")
    (site.data.releases / "0.2.0").mkdir(parents=True)
    (site.data.releases / "0.2.0" / WHEEL).write_bytes(DATA)
    process = site.start_ingest()
    try:
        greedy, other = site.enrol(tmp_path / "greedy"), site.enrol(tmp_path / "other")
        with closing(greedy.connect()) as connection:
            for _ in range(500):
                answer = ask(connection, "GET", f"/v1/releases/0.2.0/{WHEEL}", headers={"Range": "bytes=0-9"})
                if answer.status != 206:
                    break
        assert (answer.status, int(answer.headers["retry-after"]) > 0) == (429, True)
        assert get(other, f"0.2.0/{WHEEL}", "bytes=0-9")[0] == 206
    finally:
        process.terminate()
        process.wait(timeout=30)
        site.state.close()


def test_an_endpoint_is_sent_one_part_at_once(tmp_path: Path) -> None:
    (tmp_path / "0.2.0").mkdir()
    (tmp_path / "0.2.0" / WHEEL).write_bytes(DATA)
    releases = Releases(tmp_path)
    scope = {"headers": [(b"range", b"bytes=0-9")]}

    async def run() -> None:
        sending, taken = asyncio.Event(), asyncio.Event()

        async def slow(_message: object) -> None:
            sending.set()
            await taken.wait()

        async def fast(_message: object) -> None: ...

        first = asyncio.create_task(releases.serve("a", f"0.2.0/{WHEEL}", scope, slow))
        await sending.wait()
        with pytest.raises(RefusalError) as refused:
            await releases.serve("a", f"0.2.0/{WHEEL}", scope, fast)
        assert (refused.value.status, refused.value.reason) == (503, "transfer")
        assert await releases.serve("b", f"0.2.0/{WHEEL}", scope, fast) == 206
        taken.set()
        assert await first == 206
        assert await releases.serve("a", f"0.2.0/{WHEEL}", scope, fast) == 206

    asyncio.run(run())


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
