"""The board of what each endpoint shall have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import OperationalError

from collector.steering.board import Board
from tests.support.state import new_state

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sqlalchemy.orm import Session


@dataclass
class Said:
    name: str
    values: dict[str, Any]
    number: int = 0
    read: list[int] = field(default_factory=list)
    failing: Exception | None = None

    def stamp(self, _session: Session) -> object:
        if self.failing is not None:
            raise self.failing
        return self.number

    def wanted(self, _session: Session) -> Mapping[str, Any]:
        self.read.append(self.number)
        return dict(self.values)


@pytest.fixture
def sources() -> list[Said]:
    return [Said("settings", {"a": 3, "b": 4}, 1), Said("release", {"b": "0.3"}, 1)]


def test_each_endpoint_is_told_what_is_wanted_of_it(tmp_path: Path, sources: list[Said]) -> None:
    board = Board(new_state(tmp_path), sources)
    board.look()
    assert board.header("a") == b"settings=3"
    assert board.header("b") == b"settings=4;release=0.3"
    assert board.header("c") is None


def test_only_what_changed_is_read_again_and_what_is_gone_is_not_said(
    tmp_path: Path, sources: list[Said]
) -> None:
    board = Board(new_state(tmp_path), sources)
    board.look()
    settings, release = sources
    settings.values, settings.number = {"a": 5}, 2
    board.look()
    assert (board.header("a"), board.header("b")) == (b"settings=5", b"release=0.3")
    assert (settings.read, release.read) == ([1, 2], [1])


def test_a_state_store_that_fails_leaves_what_was_known(tmp_path: Path, sources: list[Said]) -> None:
    board = Board(new_state(tmp_path), sources)
    board.look()
    sources[1].failing = OperationalError("SELECT", {}, Exception("gone"))
    sources[0].number, sources[0].values = 2, {}
    board.look()
    assert board.header("a") == b"settings=3"
    sources[1].failing = None
    board.look()
    assert board.header("a") is None


def test_a_source_that_fails_keeps_no_other_from_being_heard(tmp_path: Path, sources: list[Said]) -> None:
    board = Board(new_state(tmp_path), sources)
    board.look()
    settings, release = sources
    settings.failing, release.values, release.number = TypeError("a fault of ours"), {"b": "0.4"}, 2
    board.look()
    assert (board.header("a"), board.header("b")) == (b"settings=3", b"settings=4;release=0.4")
