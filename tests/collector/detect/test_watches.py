"""What one watch cannot bear stops neither the others nor the process that all of the province hangs on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import OperationalError

from collector.store.errors import FencedError, QueryError
from tests.collector.pipeline import Pipeline

if TYPE_CHECKING:
    from pathlib import Path


class Watch:
    """Always due; ``failure`` is raised where ``where`` says."""

    def __init__(self, where: str = "", failure: Exception | None = None) -> None:
        self.where, self.failure = where, failure
        self.done_looks: list[Any] = []

    def _may_fail(self, where: str) -> None:
        if self.failure is not None and self.where == where:
            raise self.failure

    def due(self) -> bool:
        return True

    def look(self, *_: Any) -> str:
        self._may_fail("look")
        return "seen"

    def tell(self, *_: Any) -> None:
        self._may_fail("tell")

    def write(self, *_: Any) -> None:
        self._may_fail("write")

    def done(self, look: Any) -> None:
        self.done_looks.append(look)


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path)


@pytest.mark.parametrize("where", ["look", "tell"])
@pytest.mark.parametrize(
    "failure",
    [OverflowError("too large"), QueryError("refused"), OperationalError("locked", None, Exception())],
)
def test_a_watch_that_fails_is_left_out_and_the_others_look(
    pipeline: Pipeline, where: str, failure: Exception
) -> None:
    bad, good = Watch(where, failure), Watch()
    pipeline.correlator._watches = (bad, good)
    pipeline.correlator.look_around()
    assert bad.done_looks == []
    assert good.done_looks == ["seen"]


def test_who_is_fenced_off_does_not_go_on(pipeline: Pipeline) -> None:
    pipeline.correlator._watches = (Watch("look", FencedError("another is at work")),)
    with pytest.raises(FencedError):
        pipeline.correlator.look_around()
