"""``python -m dashboards.build``, as every ``make run`` calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards import build

if TYPE_CHECKING:
    import pytest


def test_the_build_says_nothing_where_nothing_had_to_be_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "build", lambda: False)
    assert build.main([]) == 0
    assert capsys.readouterr().out == ""
    assert build.main(["--verbose"]) == 0
    assert "already current" in capsys.readouterr().out


def test_the_build_says_what_it_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "build", lambda: True)
    assert build.main([]) == 0
    assert "made" in capsys.readouterr().out
