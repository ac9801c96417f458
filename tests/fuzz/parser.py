"""What the fuzzer has to know of one parser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal["bytes", "text", "value"]


@dataclass(frozen=True)
class Parser:
    """``call`` takes one input of ``kind`` (``value``: what JSON can say) and reads all that the parser gives.

    ``functions`` are the functions under test by their full names; ``raises`` what their documentation says they raise.
    ``seeds`` are inputs of the parser's own shape. ``longest``: bytes or characters that its reader hands it at most.
    """

    name: str
    kind: Kind
    call: Callable[[Any], object]
    functions: tuple[str, ...]
    seeds: tuple[Any, ...]
    raises: tuple[type[BaseException], ...] = ()
    longest: int = 64 << 10

    def encoded_seeds(self) -> list[bytes]:
        """As :meth:`input_of` takes them."""
        if self.kind == "bytes":
            return list(self.seeds)
        if self.kind == "text":
            return [seed.encode("utf-8", "surrogatepass") for seed in self.seeds]
        return [msgspec.json.encode(seed) for seed in self.seeds]

    def input_of(self, data: bytes) -> Any:
        """Any bytes as an input of ``kind``.

        Raises:
            ValueError: they say nothing of that kind.
        """
        if self.kind == "bytes":
            return data
        if self.kind == "text":
            return data.decode("utf-8", "surrogateescape")
        try:
            return msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(str(error)) from error


def full_name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def parser(
    kind: Kind,
    call: Callable[[Any], object],
    *functions: Callable[..., Any],
    seeds: tuple[Any, ...],
    raises: tuple[type[BaseException], ...] = (),
    longest: int = 64 << 10,
) -> Parser:
    """Named after its first function."""
    names = tuple(full_name(each) for each in functions)
    return Parser(names[0], kind, call, names, seeds, raises, longest)
