"""Broken inputs made of sound ones."""

from __future__ import annotations

import re
from random import Random
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

    from tests.fuzz.parser import Parser

_HARMFUL: Final = (
    *(b"\0", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xf4\x90\x80\x80", b"\r", b"\x1b[2J"),
    *(
        b"\xc2\xb2",
        b"\xd9\xa3",
        b"\xe2\x80\xa8",
        b"\xc2\x85",
        b"\x0b",
        b"\xc4\xb0",
    ),  # digits, line ends, cases
    *(
        b"-1",
        b"0",
        b"9" * 30,
        b"9" * 5000,
        b"1e999",
        b"NaN",
        b"-" * 40,
        b"18446744073709551616",
        b"4294967295",
    ),
    *(
        b"[" * 3000,
        b'{"a":' * 3000,
        b"(" * 500,
        b'"',
        b"'",
        b"\\",
        b"%",
        b"$(",
        b"../",
        b"=",
        b":",
        b"\n\n",
        b" " * 300,
    ),
)
_TEXTS: Final = (
    *(
        "",
        "\0",
        "\ud800",
        "\udfff",
        "²",
        "٣",
        "İ",
        "\u2028",
        "\x85",
        "9" * 30,
        "9" * 5000,
        "-1",
        "0",
        "NaN",
        "1e999",
    ),
    *(
        "a" * 70_000,
        "../..",
        "%00",
        "2026-99-99",
        "0000-00-00T00:00:00Z",
        "9999-12-31T23:59:59.999999999-23:59",
    ),
)
_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1 << 31, 1 << 63, -(1 << 63), (1 << 64) - 1, 1e308, -0.5, 0.1, [], {}),
    *([[]], [None], {"": None}, [1, "a", None], {"value": {"value": []}}),
    *_TEXTS,
)
#: Mutations of one input at most.
_ROUNDS: Final = 4


def inputs(parser: Parser) -> SearchStrategy[Any]:
    """Noise, and seeds that were broken in one to four places."""
    broken = st.builds(
        _broken(parser), st.sampled_from(range(len(parser.seeds))), st.integers(0, (1 << 64) - 1)
    )
    if parser.kind == "bytes":
        return st.one_of(broken, broken, broken, st.binary(max_size=300))
    if parser.kind == "text":
        return st.one_of(broken, broken, broken, st.text(st.characters(codec=None), max_size=200))
    return broken


def _broken(parser: Parser) -> Callable[[int, int], Any]:
    seeds = parser.encoded_seeds()

    def make(number: int, chance: int) -> Any:
        random = Random(chance)
        if parser.kind == "value":
            value = parser.input_of(seeds[number])
            for _ in range(random.randint(1, _ROUNDS)):
                value = _changed(value, random)
            return value
        data = seeds[number]
        for _ in range(random.randint(1, _ROUNDS)):
            data = mutated(data, seeds, random)[: parser.longest]
        return parser.input_of(data)

    return make


def mutated(data: bytes, seeds: list[bytes], random: Random) -> bytes:
    """``data`` with one thing wrong."""
    at = random.randint(0, len(data))
    end = min(len(data), at + random.choice((1, 1, 2, 4, 16, 200, 5000)))
    match random.randrange(9):
        case 0 if data:  # a bit
            at = min(at, len(data) - 1)
            return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
        case 1:  # cut off
            return data[:at]
        case 2:  # a piece is missing
            return data[:at] + data[end:]
        case 3:  # a piece stands there twice, or often
            return data[:end] + data[at:end] * random.choice((1, 1, 2, 50)) + data[end:]
        case 4:  # what parsers stumble over
            return data[:at] + random.choice(_HARMFUL) + data[random.choice((at, end)) :]
        case 5:  # another number
            numbers = list(re.finditer(rb"[0-9]+", data[:20_000]))
            if numbers:
                found = random.choice(numbers)
                return data[: found.start()] + random.choice(_HARMFUL) + data[found.end() :]
            return data + b"\0"
        case 6:  # the beginning of one and the end of another
            other = random.choice(seeds)
            return data[:at] + other[random.randint(0, len(other)) :]
        case 7:  # a length that lies
            return (
                data[:at]
                + random.choice((b"\xff", b"\0", b"\x7f", b"\x80")) * random.choice((1, 2, 4, 8))
                + data[end:]
            )
        case _:  # noise
            return data[:at] + random.randbytes(random.choice((1, 2, 8, 64))) + data[end:]


def _changed(value: Any, random: Random) -> Any:
    """A copy with one node replaced, removed, doubled or wrapped."""
    if isinstance(value, dict) and value and random.random() < 0.85:
        key = random.choice(list(value))
        match random.randrange(6):
            case 0:
                return {name: each for name, each in value.items() if name != key}
            case 1:
                return {**value, random.choice(_TEXTS): random.choice(_VALUES)}
            case _:
                return {**value, key: _changed(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.85:
        at = random.randrange(len(value))
        match random.randrange(6):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value[:at] + [value[at]] * random.choice((2, 40)) + value[at:]
            case _:
                return [*value[:at], _changed(value[at], random), *value[at + 1 :]]
    if isinstance(value, str) and random.random() < 0.5:
        data = mutated(value.encode("utf-8", "surrogatepass"), [b"x"], random)
        return data.decode("utf-8", random.choice(("replace", "surrogateescape")))
    if random.random() < 0.05:
        return nested(random.choice((50, 400)), random.choice(("list", "dict")))
    return random.choice(_VALUES)


def nested(depth: int, kind: str) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind == "list" else {"a": value}
    return value


def pumped(parser: Parser, random: Random) -> Any:
    """A seed in which a short piece is repeated until the input is as long as it can be: what is slower than linear
    shows."""
    seed = random.choice(parser.encoded_seeds())[:4096]
    pieces = re.findall(rb"\W+\w*|\w+\W*", seed) if random.random() < 0.6 else []
    unit = (
        random.choice(pieces)[:64]
        if pieces
        else seed[(at := random.randint(0, len(seed))) : at + random.randint(1, 24)]
    )
    unit = unit or random.choice((b"a", b" ", b"\n", b"(", b"["))
    start = seed.find(unit)
    start = random.randint(0, len(seed)) if start < 0 else start
    times = max(1, (parser.longest - len(seed)) // len(unit))
    data = (seed[:start] + unit * times + seed[start:])[: parser.longest]
    try:
        return parser.input_of(data)
    except ValueError:  # JSON no more: the nearest thing is a long list
        value = parser.input_of(seed) if seed in parser.encoded_seeds() else {}
        return [value] * 200 if isinstance(value, dict) else value * 200 if isinstance(value, list) else value
