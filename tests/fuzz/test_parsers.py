"""No parser lets an exception out that it does not document, and none computes for long, whatever it is given.

``FUZZ_EXAMPLES=20000 pytest tests/fuzz`` (or ``make fuzz``) tries more, each time others.
"""

from __future__ import annotations

import contextlib
import os
from random import Random
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.mutations import inputs, pumped
from tests.fuzz.registry import PARSERS
from tests.fuzz.watchdog import limited

if TYPE_CHECKING:
    from tests.fuzz.parser import Parser

_MORE: Final = int(os.environ.get("FUZZ_EXAMPLES", "0"))
_EXAMPLES: Final = _MORE or 60
_PUMPED: Final = max(10, _MORE // 100)
_each: Final = pytest.mark.parametrize(
    "parser", PARSERS, ids=[each.name.split(".", 1)[1] for each in PARSERS]
)


def feed(parser: Parser, given_input: Any) -> None:
    """Fails with what the parser must not raise."""
    with limited(), contextlib.suppress(*parser.raises):
        parser.call(given_input)


@_each
def test_what_a_parser_is_made_for_is_read(parser: Parser) -> None:
    refused = []
    for seed in parser.seeds:
        with limited():
            try:
                parser.call(seed)
            except parser.raises as error:
                refused.append(error)
    assert len(refused) < len(parser.seeds), refused


@_each
def test_broken_input_is_read_or_refused(parser: Parser) -> None:
    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        derandomize=not _MORE,
        database=None,
        phases=[Phase.generate] if not _MORE else [Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(parser))
    def run(given_input: Any) -> None:
        feed(parser, given_input)

    run()


@_each
def test_the_longest_input_does_not_make_a_parser_slow(parser: Parser) -> None:
    random = Random(None if _MORE else parser.name)
    for _ in range(_PUMPED):
        feed(parser, pumped(parser, random))


@_each
def test_deep_nesting_is_read_or_refused(parser: Parser) -> None:
    for opening, closing in (("[", "]"), ('{"a":', "}"), ("(", ")"), ("<a>", "</a>")):
        for depth in (500, 20_000):
            text = opening * depth + "1" + closing * depth
            if parser.kind == "text":
                feed(parser, text[: parser.longest])
            elif parser.kind == "bytes":
                feed(parser, text.encode()[: parser.longest])
