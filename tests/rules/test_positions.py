"""Lines of keys, and of what an error is about."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from sigma.exceptions import SigmaError
from sigma.rule import SigmaRule

from rules.positions import line_of, line_of_problem

TEXT = """\
title: A rule
id: 00000000-0000-4000-8000-000000000001
status: test
logsource:
    category: process_creation
detection:
    selection:
        Image|endswith:
            - \\one.exe
            - \\two.exe
    filter: {User: x}
    condition: selection and not filter
level: high
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 1),
        (("logsource", "category"), 5),
        (("detection", "selection", "Image|endswith"), 8),
        (("detection", "selection", "Image|endswith", 1), 10),
        (("detection", "filter", "User"), 11),
        (("detection", "condition"), 12),
        (("detection", "nosuch"), 6),
        (("nosuch",), 1),
        ((), 1),
    ],
)
def test_a_path_is_found_or_the_nearest_thing_around_it(path: tuple[str | int, ...], line: int) -> None:
    assert line_of(TEXT, path) == line


def test_documents_of_one_file_are_told_apart() -> None:
    text = "---\n" + TEXT + "---\ntitle: Another\nid: other\nlevel: nosuch\n"
    assert line_of(text, ("level",), 0) == 14
    assert line_of(text, ("level",), 1) == 18
    assert line_of_problem(text, "the level 'nosuch' is not known", "other") == 18


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("level: high", "level: enormous", 13),
        ("status: test", "status: whatever", 3),
        ("Image|endswith", "Image|endswitch", 8),
        ("selection and not filter", "selection and not nosuch", 12),
        ("selection and not filter", "selection and and", 12),
        ("    category: process_creation", "    {}", 4),
        ("0000-0000-4000", "zzzz", 2),
    ],
)
def test_an_error_of_pysigma_names_the_line(old: str, new: str, line: int) -> None:
    text = TEXT.replace(old, new, 1)
    with pytest.raises(SigmaError) as caught:
        parse(text)
    assert line_of_problem(text, caught.value) == line


def parse(text: str) -> None:
    for condition in SigmaRule.from_yaml(text).detection.parsed_condition:
        condition.parsed  # noqa: B018 - parses


def test_an_error_of_yaml_names_its_own_line() -> None:
    text = TEXT.replace("status: test", "status: [test")
    with pytest.raises(yaml.YAMLError) as caught:
        yaml.safe_load(text)
    assert line_of_problem(text, caught.value) in (3, 4)


@given(st.text(max_size=200), st.text(max_size=50))
def test_no_text_makes_it_raise(text: str, message: str) -> None:
    assert line_of(text, ("a", 0, "b")) >= 1
    assert line_of_problem(text, message, "x") >= 1
