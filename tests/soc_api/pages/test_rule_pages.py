"""A rule's page and the form to write one: by forms alone, in both languages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collector.state.tables import RuleChange, RuleFigures
from tests.soc_api.api.test_rules import BROKEN, MINE, OWN, TEXT
from tests.soc_api.conftest import START
from tests.soc_api.pages.test_alert_pages import send

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.testclient import TestClient

    from soc_api.services import Services
    from tests.soc_api.conftest import SignedIn, World
    from tests.soc_api.pages.conftest import Page


@pytest.fixture
def analyst(signed_in: SignedIn) -> TestClient:
    return signed_in("analyst")


def write(client: TestClient, look: Callable[..., Page], text: str, action: str = "save") -> tuple[int, Page]:
    return send(client, look(client, "/rules/new"), "/rules/new", text=text, evidence="", action=action)


def test_a_rule_is_written_changed_compared_and_taken_back_by_forms(
    analyst: TestClient, look: Callable[..., Page]
) -> None:
    status, page = write(analyst, look, TEXT.replace("\n", "\r\n"))
    assert status == 200
    assert "Bad process" in page.text
    edit = look(analyst, f"/rules/{MINE}/edit")
    assert edit.field("based_on") == "1"
    changed = TEXT.replace("level: high", "level: low")
    status, page = send(
        analyst, edit, f"/rules/{MINE}/edit", text=changed, action="save", based_on="1", comment="softer"
    )
    assert status == 200
    assert "softer" in page.text
    assert "Revision 2" in page.text
    compared = look(analyst, f"/rules/{MINE}?compare=1")
    assert "- level: high" in compared.text.replace("-level", "- level")
    status, page = send(analyst, compared, f"/rules/{MINE}/revert", to="1")
    assert status == 200
    assert "level: high" in page.text


def test_a_broken_text_is_shown_again_with_the_line_and_what_stands_there(
    analyst: TestClient, look: Callable[..., Page]
) -> None:
    for action in ("check", "save"):
        status, page = write(analyst, look, BROKEN, action)
        assert status == (422 if action == "save" else 200)
        assert "Line 8" in page.text
        assert "selektion" in page.text
    assert analyst.get(f"/rules/{MINE}").status_code == 404
    form = look(analyst, "/rules/new", "vi")
    assert "Dòng 8" in send(analyst, form, "/rules/new", text=BROKEN, action="check")[1].text


def test_a_text_is_tried_without_being_stored(analyst: TestClient, look: Callable[..., Page]) -> None:
    status, page = write(analyst, look, TEXT, "check")
    assert status == 200
    assert "The text is sound." in page.text
    assert "Nothing is stored yet." in page.text
    assert analyst.get(f"/rules/{MINE}").status_code == 404


def test_who_changes_a_text_that_was_changed_meanwhile_keeps_what_was_typed(
    analyst: TestClient, look: Callable[..., Page]
) -> None:
    write(analyst, look, TEXT)
    edit = look(analyst, f"/rules/{MINE}/edit")
    typed = TEXT.replace("Bad process", "Typed for an hour")
    for status in (200, 409):
        answer, page = send(
            analyst, edit, f"/rules/{MINE}/edit", text=typed, action="save", based_on="1", comment="x"
        )
        assert answer == status
    assert "Typed for an hour" in page.text
    assert "start from that text" in page.text


def test_a_rule_is_disabled_with_a_reason_enabled_and_limited(
    analyst: TestClient, look: Callable[..., Page]
) -> None:
    page = look(analyst, f"/rules/{OWN}")
    assert send(analyst, page, f"/rules/{OWN}/disable", reason="")[0] == 422
    _, page = send(analyst, page, f"/rules/{OWN}/disable", reason="a printer")
    assert "Disabled" in page.text
    _, page = send(analyst, page, f"/rules/{OWN}/enable", reason="")
    _, page = send(analyst, page, f"/rules/{OWN}/throttle", an_hour="20", reason="loud")
    assert "20 an hour" in page.text
    assert send(analyst, page, f"/rules/{OWN}/throttle", an_hour="many", reason="x")[0] == 422
    _, page = send(analyst, page, f"/rules/{OWN}/throttle", an_hour="", reason="")
    assert page.field("an_hour") == ""
    assert "No limit" in page.text


def test_the_page_shows_figures_alerts_and_what_the_worker_made_of_a_change(
    signed_in: SignedIn, look: Callable[..., Page], services: Services, world: World
) -> None:
    world.alert(world.here, "SYT-PC-9", rule_id=OWN)
    world.alert(world.there, "SNV-PC-9", rule_id=OWN)
    with services.state.write() as session:
        session.add(
            RuleFigures(
                rule_id=OWN,
                offered=12345,
                matches=7,
                state="noisy",
                hour_matches=7,
                refused="no such condition",
                refused_line=3,
                updated_at=START,
            )
        )
        change = RuleChange(rule_id=OWN, what="write", made_by="lan", made_at=START, applied_at=START)
        change.refused, change.refused_line = "no such condition", 3
        session.add(change)
    officer = signed_in("officer")
    page = look(officer, f"/rules/{OWN}")
    assert "12,345" in page.text
    assert "SYT-PC-9" in page.text
    assert "SNV-PC-9" not in page.text
    assert "Line 3 : no such condition" in page.text.replace("Line 3:", "Line 3 :")
    assert page.field("reason") is None
    assert not [link for link in page.links() if link.endswith("/edit")]
    assert "Does not run" in look(officer, "/rules?state=refused").text
    assert "12.345" in look(officer, f"/rules/{OWN}", "vi").text


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_pages_about_rules_show_hostile_text_as_text(
    analyst: TestClient, look: Callable[..., Page], lang: str
) -> None:
    hostile = TEXT.replace("Bad process", "<script>alert(1)</script> \u202e")
    write(analyst, look, hostile)
    for path in (f"/rules/{MINE}", f"/rules/{MINE}/edit", "/rules"):
        answer = analyst.get(path, headers={"accept": "text/html"})
        assert "<script>alert" not in answer.text
        assert look(analyst, path, lang)


def test_the_list_filters_by_state_and_origin_and_sorts_by_figures(
    analyst: TestClient, look: Callable[..., Page]
) -> None:
    write(analyst, look, TEXT)
    page = look(analyst, "/rules?origin=local")
    assert [link for link in page.links() if link.startswith("/rules/0")] == [f"/rules/{MINE}"]
    for sort in ("level", "matches", "seconds", "last_match", "state", "nonsense"):
        assert f"/rules/{MINE}" in look(analyst, f"/rules?sort={sort}").links()


def test_a_file_that_breaks_is_told_on_the_list_and_its_rules_are_refused_with_the_line(
    analyst: TestClient,
    look: Callable[..., Page],
    services: Services,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "more" / "<b>.yml"
    file.parent.mkdir()
    file.write_text(TEXT)
    monkeypatch.setattr(services.rules.rulebook, "_folders", [file.parent])
    monkeypatch.setattr(services.rules.rulebook, "_scanned", None)
    services.rules.look_again()
    assert "cannot be read" not in look(analyst, "/rules").text
    file.write_text(TEXT.replace("level: high", "level: [high"))
    monkeypatch.setattr(services.rules.rulebook, "_scanned", None)
    with services.state.write() as session:
        session.add(RuleChange(rule_id="", what="reload", made_by="lan", made_at=START))
    services.rules.look_again()
    listed = look(analyst, "/rules?state=refused").text
    assert "<b>.yml:5: cannot be read: " in listed  # as text: the page has no such element
    assert "Bad process" in listed
    assert "cannot be read" in look(analyst, f"/rules/{MINE}").text
    assert "Có tệp quy tắc không đọc được" in look(analyst, "/rules", "vi").text
