"""Reads files of rules, each once: what a file holds is kept until its time or size changes, over restarts too."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import yaml

from collector.files import write_file
from collector.rulebook.models import TextFault
from rules.catalogue import YAML_LOADER, RuleInfo, generates, rule_info
from rules.engine.loading import rule_files

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

log = logging.getLogger("vonggac.rulebook")

_FORMAT: Final = 2
_MAX_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Head:
    """One document of a file that has an id: what is said of it, its kind, and which document it is."""

    info: RuleInfo
    kind: str
    number: int
    whole: bool
    generates: bool


class RuleFile(NamedTuple):
    """A file's documents, and a mark of its content. With a ``fault`` it cannot be read as it is now: ``heads`` are
    those of when it could be."""

    path: Path
    mark: str
    heads: list[Head]
    fault: TextFault | None


class _Kept(msgspec.Struct, array_like=True):
    mark: tuple[int, int]
    heads: list[Head]
    fault: TextFault | None = None


class _Index(msgspec.Struct):
    format: int
    files: dict[str, _Kept]


class RuleFiles:
    """``cache``: a file to keep the index in, so that thousands of rules need not be read with every start."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._files: dict[str, _Kept] = {}
        self._dirty = False
        if cache is not None:
            with suppress(OSError, msgspec.DecodeError, ValueError):
                index = msgspec.msgpack.decode(cache.read_bytes(), type=_Index)
                if index.format == _FORMAT:
                    self._files = index.files

    def read(self, folder: Path) -> list[RuleFile]:
        """Every file under ``folder`` (or the file itself)."""
        found = []
        for path in rule_files(folder):
            try:
                status = path.stat()
            except OSError:
                continue
            mark = (status.st_mtime_ns, status.st_size)
            kept = self._files.get(str(path))
            # What could not be read is tried again: that somebody may read it now does not change its time.
            if kept is None or tuple(kept.mark) != mark or kept.fault is not None:
                heads, fault = _read(path, status.st_size)
                if fault is not None and kept is not None:
                    heads = kept.heads
                kept = self._files[str(path)] = _Kept(mark, heads, fault)
                self._dirty = True
            broken = "" if kept.fault is None else "!"
            found.append(RuleFile(path, f"{mark[0]:x}.{mark[1]:x}{broken}", kept.heads, kept.fault))
        return found

    def save(self, paths: Iterable[str]) -> None:
        """Keep the index for the next start, of these files only; a full disk is no reason to stop."""
        wanted = set(paths)
        if self._files.keys() - wanted:
            self._files = {path: kept for path, kept in self._files.items() if path in wanted}
            self._dirty = True
        if self._cache is None or not self._dirty:
            return
        try:
            write_file(self._cache, msgspec.msgpack.encode(_Index(_FORMAT, self._files)), 0o600)
            self._dirty = False
        except OSError as error:
            log.warning("the index of rules cannot be kept", extra={"error": str(error)})


def _read(path: Path, size: int) -> tuple[list[Head], TextFault | None]:
    if size > _MAX_BYTES:
        return [], TextFault(f"larger than {_MAX_BYTES:,} bytes, which no rule is")
    try:
        documents = [
            each
            for each in yaml.load_all(path.read_text(encoding="utf-8"), Loader=YAML_LOADER)
            if each is not None
        ]
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        return [], _fault(error)
    whole = any(isinstance(each, dict) and "action" in each for each in documents)
    heads = [head_of(each, str(path), number) for number, each in enumerate(documents)]
    return [
        Head(each.info, each.kind, each.number, whole, each.generates) for each in heads if each is not None
    ], None


def _fault(error: Exception) -> TextFault:
    """Why a file cannot be read, in one line, and where."""
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or (str(error) or type(error).__name__).splitlines()[0]
    return TextFault(f"cannot be read: {reason}", 0 if mark is None else mark.line + 1)


def head_of(document: Any, path: str, number: int = 0) -> Head | None:
    """What one YAML document says of a rule; None where it is none or has no id."""
    info = rule_info(document, path)
    if info is None:
        return None
    kind = "filter" if "filter" in document else "correlation" if "correlation" in document else "rule"
    return Head(info, kind, number, whole=False, generates=generates(document))


def document_text(text: str, number: int) -> str:
    """The text of one document of a YAML stream, as written, comments inside it included; ``""`` if it is missing.

    Empty documents do not count, as when loading.
    """
    starts: list[int] = []
    content: list[bool] = []
    loader = yaml.SafeLoader(text)
    try:
        while loader.check_event():
            event = loader.get_event()  # type: ignore[no-untyped-call]  # theirs has no annotations
            if isinstance(event, yaml.DocumentStartEvent):
                mark = event.start_mark
                starts.append(mark.index if event.explicit and mark is not None else 0)
                content.append(False)
            elif isinstance(event, yaml.MappingStartEvent):
                content[-1] = True
    except (yaml.YAMLError, RecursionError):
        return ""
    finally:
        loader.dispose()
    ends = [*starts[1:], len(text)]
    wanted = [(start, end) for start, end, holds in zip(starts, ends, content, strict=True) if holds]
    if number >= len(wanted):
        return ""
    piece = text[wanted[number][0] : wanted[number][1]]
    return piece.removeprefix("---").lstrip("\n") if piece.startswith("---") else piece
