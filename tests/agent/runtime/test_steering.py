"""Who follows what the collector wants, and when."""

from __future__ import annotations

from typing import Any

import agent
from agent.messages import Wanted
from agent.runtime.steering import NEVER, Steering


class Noted:
    """Follows by noting when it was asked; asks to be called again after ``again`` seconds."""

    def __init__(self, name: str, again: float, *, heavy: bool = False) -> None:
        self.name, self.again, self.heavy = name, again, heavy
        self.asked: list[Wanted] = []

    def step(self, wanted: Wanted, _connection: object) -> float:
        self.asked.append(wanted)
        return self.again

    def tell(self) -> dict[str, Any]:
        return {"asked": len(self.asked)}


def test_each_is_asked_when_it_is_due_and_all_when_something_else_is_wanted() -> None:
    light, heavy = Noted("light", 60), Noted("heavy", 10, heavy=True)
    steering = Steering([light, heavy])
    assert steering.step(None, None, 0.0) == NEVER  # type: ignore[arg-type]
    assert steering.step(Wanted(settings=1), None, 0.0) == 10  # type: ignore[arg-type]
    assert steering.step(Wanted(settings=1), None, 10.0) == 20  # type: ignore[arg-type]
    assert (len(light.asked), len(heavy.asked)) == (1, 2)
    steering.step(Wanted(settings=2), None, 11.0)  # type: ignore[arg-type]
    assert (len(light.asked), len(heavy.asked)) == (2, 3)


def test_the_heavy_wait_where_the_link_is_paid_by_what_passes() -> None:
    light, heavy = Noted("light", 60), Noted("heavy", 10, heavy=True)
    steering = Steering([light, heavy])
    assert steering.step(Wanted(release="2"), None, 0.0, sparing=True) == 60  # type: ignore[arg-type]
    assert heavy.asked == []
    steering.step(Wanted(release="2"), None, 1.0)  # type: ignore[arg-type]
    assert heavy.asked == [Wanted(release="2")]


def test_what_an_agent_tells_of_itself_is_told_where_it_is_news() -> None:
    light = Noted("light", 60)
    steering = Steering([light])
    news = steering.news(5.0)
    assert news is not None
    (document,) = news.documents
    assert (document.kind, document.body) == ("agent", {"version": agent.__version__, "light": {"asked": 0}})
    assert steering.news(6.0) is None
    steering.step(Wanted(), None, 0.0)  # type: ignore[arg-type]
    assert steering.news(7.0) is not None
