"""A rule's condition as plain data: what pySigma's objects are boiled down to.

A condition is a tree of ``And``, ``Or``, ``Not`` over two kinds of leaves: ``Field`` (one of a field's values has one
of ``values``) and ``Keywords`` (one of all scalar values holds one of ``values``). Everything here can be written to
msgpack and read back, which is what the cache of compiled rules does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Wildcards among the parts of a :class:`Text`: any one character, any run of characters.
ANY_ONE = 0
ANY_RUN = 1


class Text(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="t"):
    """Text with wildcards. ``parts``: text in turn with :data:`ANY_ONE` and :data:`ANY_RUN`; lower case unless
    ``cased``. No parts: the empty text."""

    parts: tuple[str | int, ...]
    cased: bool = False


class Regex(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="r"):
    """An RE2 expression, searched. ``flags``: letters of ``ims``."""

    source: str
    flags: str

    @property
    def with_flags(self) -> str:
        """The expression as RE2 takes it."""
        return f"(?{self.flags}){self.source}" if self.flags else self.source


class Compare(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="c"):
    """A number compared: ``op`` is ``lt``, ``lte``, ``gt`` or ``gte``."""

    op: str
    number: int | float


class Network(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="n"):
    """An address inside ``cidr`` (IPv4 or IPv6)."""

    cidr: str


class Null(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="0"):
    """The field is absent or JSON null."""


class Exists(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="x"):
    """The field is present (null too), or is not."""

    wanted: bool


class TimePart(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="p"):
    """A time whose ``part`` (``minute`` … ``year``), in UTC, is ``number``."""

    part: str
    number: int


class Reference(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="f"):
    """The value of the event's other ``field``: equal, or a beginning, an end, or (both) a part of this one."""

    field: str
    starts: bool
    ends: bool


Value = Union[Text, Regex, Compare, Network, Null, Exists, TimePart, Reference]  # noqa: UP007 - msgspec's tagged union
KeywordValue = Union[Text, Regex]  # noqa: UP007 - as above


class Field(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="F"):
    """``name`` has one of ``values``, of which there is at least one. A :class:`Reference` stands alone."""

    name: str
    values: tuple[Value, ...]


class Keywords(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="K"):
    """One of ``values`` occurs in a scalar value of the event, at any depth; key names are not searched."""

    values: tuple[KeywordValue, ...]


class And(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="&"):
    nodes: tuple[Node, ...]


class Or(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="|"):
    nodes: tuple[Node, ...]


class Not(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="!"):
    node: Node


Node = Union[Field, Keywords, And, Or, Not]  # noqa: UP007 - as above


def renamed(node: Node, names: Mapping[str, str]) -> Node:
    """The condition with field names replaced: ``names`` gives the event's name for the rule's."""
    if not names:
        return node
    match node:
        case Field(name, values):
            if isinstance(values[0], Reference):
                each = values[0]
                values = (Reference(names.get(each.field, each.field), each.starts, each.ends),)
            return Field(names.get(name, name), values)
        case Keywords():
            return node
        case And(nodes):
            return And(tuple(renamed(each, names) for each in nodes))
        case Or(nodes):
            return Or(tuple(renamed(each, names) for each in nodes))
        case Not(inner_node):
            return Not(renamed(inner_node, names))
