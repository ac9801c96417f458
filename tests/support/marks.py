"""Events of product ``trial`` with a mark and an account, the rules that find them, and what alerts count of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from collector.state.tables import Alert

if TYPE_CHECKING:
    from collector.state.database import StateStore

MARKED: Final = "7d1c9d52-1f04-4d3b-9d0a-6f3d1a8f0001"
TOGETHER: Final = "7d1c9d52-1f04-4d3b-9d0a-6f3d1a8f0002"


def mark_rules(correlation: str) -> str:
    """A rule (``MARKED``) for each event with ``mark: 1``, and one (``TOGETHER``) that puts those of an account
    together, as ``correlation`` says (its type, timespan and condition, in YAML's flow style)."""
    return f"""
title: A mark
id: {MARKED}
status: test
level: high
logsource: {{product: trial}}
detection: {{selection: {{mark: 1}}, condition: selection}}
---
title: A sign-in
id: 7d1c9d52-1f04-4d3b-9d0a-6f3d1a8f0003
name: a_sign_in
status: test
level: high
logsource: {{product: trial}}
detection: {{selection: {{mark: 1}}, condition: selection}}
---
title: The same account on several machines
id: {TOGETHER}
status: test
level: high
correlation: {{rules: [a_sign_in], group-by: [User], {correlation}}}
"""


def counted(state: StateStore, rule_id: str) -> dict[str | None, int]:
    """How often alerts of the rule count what was found, by endpoint."""
    with state.read() as session:
        query = (
            select(Alert.endpoint_id, func.sum(Alert.count))
            .where(Alert.rule_id == rule_id)
            .group_by(Alert.endpoint_id)
        )
        return {endpoint: int(count) for endpoint, count in session.execute(query)}
