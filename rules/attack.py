"""MITRE ATT&CK as this version knows it, and which of it the rules cover: *mapped* (a rule names the technique) and
*evidence-tested* (a rule names it, and its evidence fires). One mapped rule is not coverage."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from rules.catalogue import RuleInfo

_DATA: Final = Path(__file__).with_name("attack.yml")
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TECHNIQUE_TAG: Final = re.compile(r"attack\.(t[0-9]{4}(?:\.[0-9]{3})?)", re.IGNORECASE)
#: ATT&CK Navigator's colours of the two states, and its gradient.
_MAPPED, _TESTED = "#f7d488", "#5aa469"


@dataclass(frozen=True, slots=True)
class Tactic:
    """``key`` is the tag's word (``initial-access``); ``name`` by language."""

    key: str
    id: str
    name: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Technique:
    """A technique, or a sub-technique (``T1110.001``). ``tactics``: keys, in the matrix's order."""

    id: str
    name: str
    tactics: tuple[str, ...]

    @property
    def parent(self) -> str:
        """The technique that a sub-technique belongs to; of a technique its own id."""
        return self.id.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Attack:
    version: str
    tactics: Mapping[str, Tactic]
    techniques: Mapping[str, Technique]


@cache
def attack() -> Attack:
    """ATT&CK for Enterprise, from ``attack.yml``."""
    data = yaml.load(_DATA.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - a safe loader
    tactics = {
        key: Tactic(key, each["id"], {"vi": each["vi"], "en": each["en"]})
        for key, each in data["tactics"].items()
    }
    techniques = {key: Technique(key, name, tuple(of)) for key, (name, *of) in data["techniques"].items()}
    return Attack(data["version"], tactics, techniques)


@dataclass(frozen=True, slots=True)
class Cell:
    """A technique under a tactic, or one of its sub-techniques. ``mapped``: ids of rules that name it (a technique's
    also those of its sub-techniques); ``tested``: those of them whose evidence fires."""

    technique: Technique
    tactic: str
    mapped: tuple[str, ...]
    tested: tuple[str, ...]
    parts: tuple[Cell, ...] = ()

    @property
    def state(self) -> str:
        """``tested``, ``mapped`` or ``none``."""
        return "tested" if self.tested else "mapped" if self.mapped else "none"


@dataclass(frozen=True, slots=True)
class Column:
    tactic: Tactic
    cells: tuple[Cell, ...]

    def count(self, state: str) -> int:
        return sum(cell.state == state for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Matrix:
    """``rules``: how many were looked at; ``unplaced``: ids of those that name no technique; ``unknown``: techniques
    that rules name and this version does not have."""

    version: str
    columns: tuple[Column, ...]
    rules: int
    tested_rules: int
    unplaced: tuple[str, ...]
    unknown: tuple[str, ...]

    def techniques(self, state: str) -> int:
        """How many techniques (not sub-techniques) are in a state, each counted once: the best under any tactic."""
        best: dict[str, str] = {}
        order = ("none", "mapped", "tested")
        for column in self.columns:
            for cell in column.cells:
                before = best.get(cell.technique.id, "none")
                best[cell.technique.id] = max(before, cell.state, key=order.index)
        return sum(each == state for each in best.values())


def techniques_of(tags: Iterable[str]) -> set[str]:
    """The technique ids among a rule's tags, in upper case."""
    return {found[1].upper() for tag in tags if (found := _TECHNIQUE_TAG.fullmatch(tag))}


def coverage(rules: Iterable[RuleInfo], tested: Collection[str]) -> Matrix:
    """What ``rules`` cover; ``tested``: ids of those whose evidence fires. Rules that are never reported are left out.

    A rule that names tactics counts for its techniques under those only, where they are the technique's; one that
    names none of them counts under all.
    """
    known = attack()
    placed: dict[tuple[str, str], list[str]] = {}
    unplaced: list[str] = []
    unknown: set[str] = set()
    count = proven = 0
    for rule in rules:
        if rule.internal:
            continue
        count += 1
        proven += rule.id in tested
        named = {tag[7:].lower().replace("_", "-") for tag in rule.tags if tag.lower().startswith("attack.")}
        techniques = techniques_of(rule.tags)
        unknown |= techniques - known.techniques.keys()
        techniques &= known.techniques.keys()
        if not techniques:
            unplaced.append(rule.id)
        for key in techniques:
            of = known.techniques[key].tactics
            for tactic in [each for each in of if each in named] or of:
                for place in {key, known.techniques[key].parent}:
                    placed.setdefault((tactic, place), []).append(rule.id)
    columns = tuple(_column(tactic, placed, tested) for tactic in known.tactics.values())
    return Matrix(known.version, columns, count, proven, tuple(unplaced), tuple(sorted(unknown)))


def _column(tactic: Tactic, placed: Mapping[tuple[str, str], list[str]], tested: Collection[str]) -> Column:
    def cell(technique: Technique, parts: tuple[Cell, ...] = ()) -> Cell:
        mapped = tuple(dict.fromkeys(placed.get((tactic.key, technique.id), ())))
        return Cell(technique, tactic.key, mapped, tuple(each for each in mapped if each in tested), parts)

    of = [each for each in attack().techniques.values() if tactic.key in each.tactics]
    parts: dict[str, list[Cell]] = {}
    for each in of:
        if each.id != each.parent:
            parts.setdefault(each.parent, []).append(cell(each))
    whole = [cell(each, tuple(parts.get(each.id, ()))) for each in of if each.id == each.parent]
    return Column(tactic, tuple(sorted(whole, key=lambda each: each.technique.name)))


def navigator_layer(matrix: Matrix, name: str, description: str) -> dict[str, Any]:
    """The matrix as a layer of ATT&CK Navigator (format 4.5): score 1 mapped, 2 evidence-tested."""
    techniques: list[dict[str, Any]] = []
    for column in matrix.columns:
        for cell in column.cells:
            techniques.extend(_layer_entry(each) for each in (cell, *cell.parts) if each.mapped)
    return {
        "name": name,
        "versions": {"attack": matrix.version, "navigator": "5.1.0", "layer": "4.5"},
        "domain": "enterprise-attack",
        "description": description,
        "sorting": 3,
        "hideDisabled": False,
        "techniques": techniques,
        "gradient": {"colors": ["#ffffff", _MAPPED, _TESTED], "minValue": 0, "maxValue": 2},
        "legendItems": [
            {"label": "mapped: a rule names it", "color": _MAPPED},
            {"label": "evidence-tested: a rule names it, and its evidence fires", "color": _TESTED},
        ],
    }


def _layer_entry(cell: Cell) -> dict[str, Any]:
    return {
        "techniqueID": cell.technique.id,
        "tactic": cell.tactic,
        "score": 2 if cell.tested else 1,
        "comment": f"{len(cell.mapped)} mapped, {len(cell.tested)} evidence-tested",
        "enabled": True,
        "showSubtechniques": any(part.mapped for part in cell.parts),
        "metadata": [{"name": "rule", "value": each} for each in cell.mapped],
    }
