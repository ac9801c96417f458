"""What the collectors' tests share: fixtures, a fake clock, a context on a tree of the test's own."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent.collectors.registry import Context
from agent.settings import CollectorSettings
from tests.support.debian import program, root

if TYPE_CHECKING:
    from collections.abc import Callable

FIXTURES = Path(__file__).parent / "fixtures"
#: A moment shortly after the fixtures were captured (21 November 2026, 21:00 UTC).
CAPTURED = 1795294800.0


def fixture_bytes(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def fixture_text(name: str) -> str:
    return (FIXTURES / name).read_text(encoding="utf-8", errors="replace")


def fixture_lines(name: str) -> list[bytes]:
    return fixture_bytes(name).splitlines()


def namespace(flag: str) -> list[str]:
    """The beginning of a command line that runs in a new namespace (``--net``…); skips where none can be made."""
    root(f"a new namespace ({flag})")
    command = [program("unshare", "util-linux"), flag]
    made = subprocess.run([*command, "--fork", "true"], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"no new namespace ({flag}) can be made here: {made.stderr.strip()}")
    return command


class FakeClock:
    def __init__(self, now: float = CAPTURED) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def context(
    root: Path,
    *,
    proc: Path | None = None,
    sys: Path | None = None,
    now: Callable[[], float] | None = None,
    state: dict[str, Any] | None = None,
    settings: CollectorSettings | None = None,
) -> Context:
    return Context(
        root=root,
        proc=proc or root / "proc",
        sys=sys or root / "sys",
        now=now or FakeClock(),
        settings=settings or CollectorSettings(),
        state={} if state is None else state,
    )


def write(path: Path, content: str | bytes) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
