"""No parser is forgotten: a module that takes foreign input apart is fuzzed, or says why it need not be."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Final

from tests.fuzz.registry import NOT_FUZZED, PARSERS

ROOT: Final = Path(__file__).parents[2]
#: Where what others chose comes in: the agent, and what of the collector reads what agents and feeds send.
FOLDERS: Final = (
    "agent",
    "collector/devices",
    "collector/documents",
    "collector/enrolment",
    "collector/ingest",
    "collector/steering",
    "collector/vulnerabilities",
)
MODULES: Final = (
    "collector/detect/assessment.py",
    "collector/detect/decode.py",
    "collector/detect/values.py",
)
#: The simulator makes input, it reads none.
WITHOUT: Final = ("agent/simulator/",)

#: Methods that take text or bytes apart.
_TAKING_APART: Final = frozenset(
    {
        *("split", "rsplit", "splitlines", "partition", "rpartition"),
        *("match", "fullmatch", "search", "findall", "finditer"),
        *("unpack", "unpack_from", "iter_unpack", "from_bytes", "fromhex"),
        *("fromisoformat", "strptime", "loads", "Decoder", "convert", "ParserCreate", "reader"),
    }
)
_DECODERS: Final = frozenset({"json", "_decoder"})
_NAMED: Final = ("parse_", "decode_", "unpack_")


def _modules() -> list[Path]:
    found = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    found += [ROOT / each for each in MODULES]
    return [path for path in found if not path.relative_to(ROOT).as_posix().startswith(WITHOUT)]


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _takes_apart(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        of = node.func.value
        if node.func.attr in _TAKING_APART:
            return True
        if node.func.attr == "decode" and isinstance(of, ast.Attribute | ast.Name):
            word = of.attr if isinstance(of, ast.Attribute) else of.id
            if word in _DECODERS or word.endswith("decoder"):
                return True
    return False


def _parsing_functions(path: Path, tree: ast.Module) -> set[str]:
    """Public functions that are called parsers, also of classes (``Wanted.decode``)."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith(_NAMED):
            found.add(f"{_name(path)}.{node.name}")
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            found |= {
                f"{_name(path)}.{node.name}.{each.name}"
                for each in node.body
                if isinstance(each, ast.FunctionDef)
                and each.name in ("decode", "of")
                and any(isinstance(d, ast.Name) and d.id == "classmethod" for d in each.decorator_list)
            }
    return found


FUZZED: Final = frozenset(name for each in PARSERS for name in each.functions)
FUZZED_MODULES: Final = frozenset(name.rpartition(".")[0] for name in FUZZED) | frozenset(
    name.rpartition(".")[0].rpartition(".")[0] for name in FUZZED
)


def test_every_function_that_is_called_a_parser_is_fuzzed() -> None:
    named = {name for path in _modules() for name in _parsing_functions(path, ast.parse(path.read_bytes()))}
    assert sorted(named - FUZZED - NOT_FUZZED.keys()) == []


def test_every_module_that_takes_input_apart_is_fuzzed_or_says_why_not() -> None:
    parsing = {_name(path) for path in _modules() if _takes_apart(ast.parse(path.read_bytes()))}
    assert sorted(parsing - FUZZED_MODULES - NOT_FUZZED.keys()) == []


def test_no_reason_outlives_its_module() -> None:
    for name, reason in NOT_FUZZED.items():
        module, _, function = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), function), name
        assert reason
        assert name not in FUZZED_MODULES | FUZZED, f"{name} is fuzzed: take its reason out"
