"""Reasons are said in both languages, and collectors have no others."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import agent
from agent import reasons
from agent.reasons import ALL, Sentence, translate
from agent.runtime.diagnosis import Diagnosis, render
from agent.runtime.status import CollectorState, Status

AGENT = Path(agent.__file__).parent
_NAMES = re.compile(r"\{([a-z_]+)\}")
#: What a filled-in sentence is tried with; ``why`` and ``system_error`` hold sentences themselves.
_VALUES = {
    "why": "/run/clamd.sock: Connection refused; x: Permission denied",
    "system_error": "Connection refused",
}


def filled(sentence: Sentence) -> str:
    return sentence(**{name: _VALUES.get(name, "7") for name in _NAMES.findall(sentence.en)})


@pytest.mark.parametrize("sentence", ALL, ids=lambda each: each.en)
def test_every_sentence_is_recognised_and_said_in_vietnamese(sentence: Sentence) -> None:
    said = translate(filled(sentence), "vi")
    expected = _NAMES.sub(
        lambda name: {
            "why": "/run/clamd.sock: kết nối bị từ chối; x: không đủ quyền",
            "system_error": "kết nối bị từ chối",
        }.get(name[1], "7"),
        sentence.vi,
    )
    assert said == expected
    assert set(_NAMES.findall(sentence.vi)) <= set(_NAMES.findall(sentence.en))
    assert translate(filled(sentence), "en") == filled(sentence)


def test_no_two_sentences_are_the_same() -> None:
    assert len({each.en for each in ALL}) == len(ALL) > 50


def test_several_addresses_each_with_its_trouble_are_translated_one_by_one() -> None:
    text = reasons.CLAMD_SILENT(address="/run/a", seconds="5") + "; 127.0.0.1:3310: Connection refused"
    assert (
        translate(text, "vi")
        == "clamd không trả lời tại /run/a trong 5 giây; 127.0.0.1:3310: kết nối bị từ chối"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sự cố chưa biết",
        "a reason of an agent of next year",
        "nft: syntax error: unexpected word",
        "x" * 5000,
    ],
)
def test_a_sentence_of_another_agent_is_shown_as_it_was_sent(text: str) -> None:
    assert translate(text, "vi") == text


def test_a_hostile_value_stays_what_it_is() -> None:
    value = "<script>{why}\\1%s\u202e"
    assert translate(reasons.DMI_PLACEHOLDER(value=value), "vi").endswith(value)
    assert translate(reasons.NOT_INSTALLED(program="{detail}"), "vi") == "chưa cài {detail}"


@given(st.text(max_size=700))
def test_any_text_is_taken(text: str) -> None:
    assert isinstance(translate(text, "vi"), str)


@given(st.lists(st.sampled_from([*(each.en for each in ALL), ": ", "; ", "[Errno 13] ", "a"]), max_size=30))
def test_texts_that_resemble_sentences_are_read_in_little_time(parts: list[str]) -> None:
    assert isinstance(translate("".join(parts)[: reasons.LONGEST], "vi"), str)


def _written_in_place(tree: ast.AST) -> list[int]:
    """Lines where a reason is a string of its own instead of a sentence of the table."""

    def is_text(node: ast.expr | None) -> bool:
        return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and bool(node.value))

    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            found += [
                value.lineno
                for key, value in pairs
                if isinstance(key, ast.Constant) and str(key.value).endswith("reason") and is_text(value)
            ]
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            name = ast.unparse(node.exc.func)
            shown = (
                "CollectorError",
                "NothingToReport",
                "_UnknownError",
                "UnreachableError",
                "UnavailableError",
            )
            if name.endswith(shown) and is_text(node.exc.args[0]) and name != "DuplicateCollectorError":
                found.append(node.lineno)
    return sorted(found)


@pytest.mark.parametrize(
    "path", sorted((AGENT / "collectors").rglob("*.py")), ids=lambda path: str(path.relative_to(AGENT))
)
def test_a_collector_gives_only_reasons_of_the_table(path: Path) -> None:
    assert _written_in_place(ast.parse(path.read_text(encoding="utf-8"))) == []


def test_a_reason_written_in_place_is_found() -> None:
    assert _written_in_place(ast.parse('x = {"reason": "because"}\nraise NothingToReport(f"no {x}")')) == [
        1,
        2,
    ]


def test_status_says_reasons_in_the_readers_language() -> None:
    status = Status(
        version="1",
        pid=1,
        started_at=0.0,
        collectors={
            "journal": CollectorState(ok=True, reason=reasons.NO_JOURNAL()),
            "software": CollectorState(ok=False, reason=reasons.NO_RPM()),
            "strange": CollectorState(ok=True, reason="a reason of next year"),
        },
    )
    diagnosis = Diagnosis(ok=False, running=True, problems=[], identity=None, status=status)
    assert reasons.NO_JOURNAL.vi in render(diagnosis, "vi")
    assert reasons.NO_JOURNAL.en in render(diagnosis, "en")
    assert "a reason of next year" in render(diagnosis, "vi")
