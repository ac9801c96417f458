"""The book: files of every origin, and what people wrote and set over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collector.errors import ConflictError, NotFoundError
from collector.rulebook import files, service
from collector.rulebook.errors import StaleRevisionError
from collector.rulebook.live import LiveBook, LiveCatalogue
from collector.rulebook.service import Author
from collector.rulebook.sources import Rulebook
from tests.collector.pipeline import NOW
from tests.collector.rulebook.conftest import BURST_ID, FAILED_ID, RULE, RULE_ID

if TYPE_CHECKING:
    from pathlib import Path

    from tests.collector.rulebook.conftest import Shelf

pytestmark = pytest.mark.usefixtures("on_both_databases")

BY = Author("lan", NOW, "because")
MINE = "00000000-0000-4000-8000-000000000009"
MY_TEXT = RULE.replace(RULE_ID, MINE).replace("Bad process", "Mine")


def write(shelf: Shelf, text: str, rule_id: str, based_on: int | None = None) -> int:
    with shelf.state.write() as session:
        made = service.write_revision(session, shelf.book(), rule_id, text, BY, based_on=based_on)
        return made.number


def test_each_document_of_a_file_is_a_rule_with_its_own_text(shelf: Shelf) -> None:
    book = shelf.book()
    assert list(book) == [RULE_ID, FAILED_ID, BURST_ID]
    with shelf.state.read() as session:
        assert shelf.rulebook.text(session, book[RULE_ID]) == RULE
        first = shelf.rulebook.text(session, book[FAILED_ID])
        second = shelf.rulebook.text(session, book[BURST_ID])
    assert first.startswith("title: Failed sign-in   # a remark that stays")
    assert "Burst" not in first
    assert second.startswith("title: Burst of failures")
    assert book[FAILED_ID].info.internal
    assert book.named("failed") is book[FAILED_ID]
    assert [entry.id for entry in book.needed_by(FAILED_ID)] == [BURST_ID]


@pytest.mark.parametrize(
    ("text", "number", "expected"),
    [
        ("a: 1\n", 0, "a: 1\n"),
        ("---\na: 1\n---\nb: 2\n", 1, "b: 2\n"),
        ("---\n---\na: 1\n", 0, "a: 1\n"),
        ("# first\na: 1\n---\nb: |\n  --- no mark\n  c\n", 1, "b: |\n  --- no mark\n  c\n"),
        ("a: [1\n", 0, ""),
        ("a: 1\n", 3, ""),
    ],
)
def test_a_documents_text_is_cut_out_as_it_was_written(text: str, number: int, expected: str) -> None:
    assert files.document_text(text, number) == expected


def test_a_file_is_read_once_until_it_changes_over_restarts_too(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.book()
    read: list[str] = []
    original = files._read
    monkeypatch.setattr(files, "_read", lambda path, size: read.append(path.name) or original(path, size))  # type: ignore[func-returns-value]
    shelf.book()
    again = Rulebook(own=shelf.folder, cache=shelf.rulebook._files._cache)
    with shelf.state.read() as session:
        assert list(again.read(session)) == [RULE_ID, FAILED_ID, BURST_ID]
    assert read == []
    (shelf.folder / "bad.yml").write_text(RULE.replace("Bad process", "Worse process"))
    assert shelf.book()[RULE_ID].info.title["en"] == "Bad process"
    with shelf.state.write() as session:
        service.note(session, "", "reload", "lan", NOW)
    assert shelf.book()[RULE_ID].info.title["en"] == "Worse process"
    assert read == ["bad.yml"]


def test_a_damaged_index_and_unreadable_files_are_passed_over(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "index").write_bytes(b"\xff rubbish")
    (shelf.folder / "broken.yml").write_bytes(b"\xff\xfe: [")
    (shelf.folder / "huge.yml").write_bytes(b"a" * (2 << 20))
    again = Rulebook(own=shelf.folder, cache=tmp_path / "index")
    with shelf.state.read() as session:
        assert len(again.read(session)) == 3


def test_a_revision_lies_over_the_shipped_text_and_both_can_be_had_again(shelf: Shelf) -> None:
    assert write(shelf, RULE.replace("Bad process", "Changed"), RULE_ID, based_on=0) == 1
    entry = shelf.book()[RULE_ID]
    assert (entry.info.title["en"], entry.origin, entry.shipped, entry.setting.revision) == (
        "Changed",
        "own",
        True,
        1,
    )
    assert shelf.rulebook.shipped_text(entry) == RULE
    with shelf.state.write() as session:
        service.revert(session, shelf.book(), RULE_ID, 0, BY)
    assert shelf.book()[RULE_ID].info.title["en"] == "Bad process"
    assert write(shelf, RULE.replace("Bad process", "Again"), RULE_ID, based_on=0) == 2
    with shelf.state.write() as session:
        service.revert(session, shelf.book(), RULE_ID, 1, BY)
    assert shelf.book()[RULE_ID].info.title["en"] == "Changed"


def test_who_writes_over_a_text_that_he_has_not_seen_is_told_so(shelf: Shelf) -> None:
    with pytest.raises(StaleRevisionError, match="runs with its shipped text"):
        write(shelf, RULE, RULE_ID)
    write(shelf, RULE, RULE_ID, based_on=0)
    with pytest.raises(StaleRevisionError, match="runs with revision 1, by lan"):
        write(shelf, RULE, RULE_ID, based_on=0)
    write(shelf, MY_TEXT, MINE)
    with pytest.raises(StaleRevisionError):
        write(shelf, MY_TEXT, MINE)
    with pytest.raises(StaleRevisionError):
        write(shelf, MY_TEXT, "00000000-0000-4000-8000-00000000000a", based_on=4)


def test_a_rule_of_ours_has_no_shipped_text_to_go_back_to(shelf: Shelf) -> None:
    write(shelf, MY_TEXT, MINE)
    with shelf.state.write() as session:
        with pytest.raises(NotFoundError, match="no shipped text"):
            service.revert(session, shelf.book(), MINE, 0, BY)
        with pytest.raises(NotFoundError, match="no revision 7"):
            service.revert(session, shelf.book(), MINE, 7, BY)
        with pytest.raises(ConflictError, match="runs already"):
            service.revert(session, shelf.book(), MINE, 1, BY)


def test_a_rule_that_a_correlation_needs_is_not_disabled_before_it(shelf: Shelf) -> None:
    with shelf.state.write() as session, pytest.raises(ConflictError, match="Burst of failures"):
        service.disable(session, shelf.book(), FAILED_ID, BY)
    with shelf.state.write() as session:
        service.disable(session, shelf.book(), BURST_ID, BY)
    with shelf.state.write() as session:
        service.disable(session, shelf.book(), FAILED_ID, BY)
    assert [entry.id for entry in shelf.book().values() if entry.active] == [RULE_ID]


def test_what_is_already_so_is_said_and_changes_nothing(shelf: Shelf) -> None:
    with shelf.state.write() as session:
        book = shelf.book()
        before = shelf.rulebook.mark(session)
        with pytest.raises(ConflictError, match="enabled already"):
            service.enable(session, book, RULE_ID, BY)
        with pytest.raises(ConflictError, match="no limit"):
            service.throttle(session, book, RULE_ID, None, BY)
        for change in (service.enable, service.disable):
            with pytest.raises(NotFoundError):
                change(session, book, "none", BY)
        assert shelf.rulebook.mark(session) == before


def test_a_live_book_follows_changes_and_keeps_the_last_one_while_the_store_is_away(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    live = LiveBook(shelf.rulebook, shelf.state)
    catalogue = LiveCatalogue(live)
    assert set(catalogue) == {RULE_ID, FAILED_ID, BURST_ID}
    write(shelf, MY_TEXT, MINE)
    assert MINE not in catalogue
    live.look_again()
    assert catalogue[MINE].title["en"] == "Mine"
    assert len(catalogue) == 4
    from sqlalchemy.exc import OperationalError

    def away(_: object) -> None:
        raise OperationalError("x", {}, Exception("locked"))

    monkeypatch.setattr(shelf.rulebook, "mark", away)
    live.look_again()
    assert catalogue[MINE].title["en"] == "Mine"
    assert "could not be read" in caplog.text


def test_a_filter_is_in_the_book_and_no_rule_in_the_catalogue(shelf: Shelf) -> None:
    (shelf.folder / "filter.yml").write_text(
        "title: Not on test machines\nid: 00000000-0000-4000-8000-00000000000f\n"
        "logsource: {product: linux}\nfilter: {rules: any, selection: {host: a}, condition: not selection}\n"
    )
    live = LiveBook(shelf.rulebook, shelf.state)
    assert live.book["00000000-0000-4000-8000-00000000000f"].kind == "filter"
    assert len(live.catalogue) == 3


def reload(shelf: Shelf) -> None:
    with shelf.state.write() as session:
        service.note(session, "", "reload", "lan", NOW)


def test_a_file_that_can_no_longer_be_read_keeps_its_rules_with_the_line_and_the_reason(shelf: Shelf) -> None:
    before = shelf.book()
    path = shelf.folder / "pair.yml"
    text = path.read_text()
    path.write_text(text.replace("level: low", "level: [low"))
    (shelf.folder / "new.yml").write_bytes(b"title: \xff")
    assert shelf.book().broken == ()
    reload(shelf)
    book = shelf.book()
    assert list(book) == list(before)
    assert book[RULE_ID].fault is None
    fault = book[FAILED_ID].fault
    assert fault is not None
    assert fault == book[BURST_ID].fault
    assert fault.line == 5
    assert fault.message.startswith("cannot be read: ")
    assert book[FAILED_ID].fingerprint != before[FAILED_ID].fingerprint
    assert [(each.path, each.fault.line, each.rules) for each in book.broken] == [
        (str(shelf.folder / "new.yml"), 0, 0),
        (str(path), 5, 2),
    ]
    assert str(book.broken[1]).startswith(f"{path}:5: cannot be read: ")
    with shelf.state.read() as session:
        assert "level: [low" in shelf.rulebook.text(session, book[FAILED_ID])
        again = Rulebook(own=shelf.folder, cache=shelf.rulebook._files._cache).read(session)
    assert again[FAILED_ID].fault == fault
    path.write_text(text)
    reload(shelf)
    assert (shelf.book()[FAILED_ID].fault, len(shelf.book().broken)) == (None, 1)


def test_a_local_revision_runs_whatever_becomes_of_the_file_under_it(shelf: Shelf) -> None:
    write(shelf, RULE.replace("Bad process", "Changed"), RULE_ID, based_on=0)
    shelf.book()
    (shelf.folder / "bad.yml").write_text("title: [")
    reload(shelf)
    entry = shelf.book()[RULE_ID]
    assert (entry.info.title["en"], entry.fault) == ("Changed", None)
