"""A book over a folder of rules and a real state store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from collector.rulebook.sources import Rulebook
from tests.support.state import new_state

if TYPE_CHECKING:
    from pathlib import Path

    from collector.rulebook.models import Book
    from collector.state.database import StateStore

RULE = """title: Bad process
id: 00000000-0000-4000-8000-000000000001
status: test
level: high
logsource: {product: linux, category: process_creation}
detection:
  selection: {Image|endswith: /evil}
  condition: selection
"""
RULE_ID = "00000000-0000-4000-8000-000000000001"
PAIR = """title: Failed sign-in   # a remark that stays
id: 00000000-0000-4000-8000-000000000003
name: failed
level: low
logsource: {product: linux, category: auth}
detection: {selection: {event.action: ssh_login_failed}, condition: selection}
---
title: Burst of failures
id: 00000000-0000-4000-8000-000000000004
level: high
correlation: {type: event_count, rules: [failed], group-by: [host.id], timespan: 5m, condition: {gte: 3}}
"""
FAILED_ID, BURST_ID = (f"00000000-0000-4000-8000-00000000000{number}" for number in (3, 4))


@dataclass
class Shelf:
    """Rules on disk, and the state store over them."""

    folder: Path
    state: StateStore
    rulebook: Rulebook

    def book(self) -> Book:
        with self.state.read() as session:
            return self.rulebook.read(session)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "bad.yml").write_text(RULE)
    (folder / "pair.yml").write_text(PAIR)
    return Shelf(folder, new_state(tmp_path), Rulebook(own=folder, cache=tmp_path / "index"))
