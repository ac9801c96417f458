"""The page and the API of ATT&CK's matrix: what is mapped is not what is tested."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.rulebook.live import LiveBook
from collector.rulebook.sources import Rulebook
from collector.store.client import StoreUnavailableError
from soc_api.attack.service import coverage_here
from tests.rules.helpers import rule, rule_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from soc_api.services import Services
    from tests.soc_api.conftest import FakeStore, SignedIn
    from tests.soc_api.pages.conftest import Page


def test_the_page_tells_tested_from_mapped_and_from_nothing(
    signed_in: SignedIn, look: Callable[..., Page], province: Services
) -> None:
    client = signed_in("officer")
    page = look(client, "/attack?show=all")
    assert "Evidence-tested" in page.text
    assert "Mapped only" in page.text
    assert "222" in page.text
    assert "/rules?text=T1110" in page.links()
    covered = look(client, "/attack")
    assert "T1110" in covered.text
    assert "T1595" not in covered.text
    vietnamese = look(client, "/attack", "vi")
    assert "Đã kiểm chứng" in vietnamese.text
    assert "Leo thang đặc quyền" in vietnamese.text


def test_the_scope_of_what_arrives_leaves_rules_out(
    signed_in: SignedIn, look: Callable[..., Page], store: FakeStore, province: Services
) -> None:
    store.rows = [{"product": "linux", "category": "", "service": "auth", "events": 5}]
    client = signed_in("officer")
    everything = client.get("/api/v1/attack").json()
    arriving = client.get("/api/v1/attack?scope=received").json()
    assert everything["counts"]["tested"] > arriving["counts"]["tested"] > 0
    assert arriving["not_received"] > 0
    assert arriving["rules"] + arriving["not_received"] == everything["rules"]
    assert sum(arriving["counts"].values()) == 222
    assert "left out" in look(client, "/attack?scope=received").text
    asked = len(store.asked)
    client.get("/api/v1/attack?scope=received")
    assert not any("GROUP BY product" in sql for sql, _ in store.asked[asked:]), "what arrives is remembered"


def test_a_store_that_does_not_answer_is_said_and_all_rules_count(
    signed_in: SignedIn,
    look: Callable[..., Page],
    store: FakeStore,
    province: Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def down(*_: Any) -> Any:
        raise StoreUnavailableError("down")

    monkeypatch.setattr(store, "query", down)
    client = signed_in("officer")
    answer = client.get("/api/v1/attack?scope=received").json()
    assert (answer["received_known"], answer["not_received"]) == (False, 0)
    assert "does not answer" in look(client, "/attack?scope=received").text


def test_the_layer_is_a_file_for_navigator(signed_in: SignedIn, province: Services) -> None:
    answer = signed_in("officer").get("/api/v1/attack/layer")
    assert "attachment" in answer.headers["content-disposition"]
    assert answer.json()["versions"]["layer"] == "4.5"
    assert {each["score"] for each in answer.json()["techniques"]} == {2}


def test_an_imported_rule_without_evidence_is_mapped_and_a_broken_one_is_nothing(
    services: Services, tmp_path: Path
) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    text = rule("s: {a: x}\ncondition: s") + "tags: [attack.t1595]\n"
    (folder / "one.yml").write_text(text)
    live = LiveBook(Rulebook([str(folder)]), services.state)
    [cell] = [
        cell
        for column in coverage_here(services.state, live, lambda: None).matrix.columns
        for cell in column.cells
        if cell.technique.id == "T1595"
    ]
    assert (cell.state, cell.mapped) == ("mapped", (rule_id(1),))
    (folder / "one.evidence.yml").write_text("fires: [{why: y, events: [{a: x}]}]")
    again = coverage_here(services.state, live, lambda: None).matrix
    assert any(
        cell.technique.id == "T1595" and cell.state == "tested"
        for column in again.columns
        for cell in column.cells
    )
