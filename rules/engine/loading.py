"""Rule files to a :class:`~rules.engine.ruleset.RuleSet`; compiled files are kept, so that a file is parsed once.

A cache is a folder with one file, named after everything besides a rule's text that its compiled form depends on. It
holds the compiled form of each rule file by the digest of its content, so a changed rule costs its own parsing alone.
What is in it is checked for its types when it is read; one that cannot be read is made anew.
"""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from rules.engine.errors import Refusal
from rules.engine.ruleset import CompiledFile, RuleSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sigma.processing.pipeline import ProcessingPipeline

log = logging.getLogger("vonggac.rules")

#: Evidence lies beside its rule and is no rule.
EVIDENCE_SUFFIX: Final = ".evidence.yml"
_SUFFIXES: Final = (".yml", ".yaml")
_MAX_RULE_BYTES: Final = 1 << 20
_MAX_CACHE_BYTES: Final = 256 << 20
_CHECKSUM_BYTES: Final = 20


def rule_files(source: Path) -> Iterator[Path]:
    """``source`` itself, or every rule file under it, sorted; evidence left out."""
    if source.is_dir():
        found: list[Path] = []
        for folder, _, names in os.walk(source, followlinks=False):
            found.extend(
                Path(folder, name)
                for name in names
                if name.endswith(_SUFFIXES) and not name.endswith(EVIDENCE_SUFFIX)
            )
        yield from sorted(path for path in found if path.is_file())
    else:
        yield source


class Loader:
    """Reads rules. ``pipelines`` (pySigma's) are applied to each as it is parsed; ``cache``: a folder, or none;
    with pipelines none is used."""

    def __init__(
        self, pipelines: Sequence[ProcessingPipeline] = (), cache: Path | None = None, salt: str = ""
    ) -> None:
        self._pipelines = pipelines
        self._kept: dict[bytes, CompiledFile] = {}
        self._used: set[bytes] = set()
        self._fresh = False
        if pipelines:  # what they make of a rule is no matter of its text alone
            cache = None
        self._file = None if cache is None else cache / f"rules-{_fingerprint(salt)}.msgpack"
        if self._file is not None:
            self._kept = _read_cache(self._file)

    def load(self, sources: Iterable[Path | str]) -> RuleSet:
        """All sources; a ``Path`` is a file or folder, a ``str`` is YAML text. Never raises for what they hold."""
        found = RuleSet()
        seen: set[str] = set()
        for source in sources:
            if isinstance(source, str):
                found.add(self._compiled(source.encode("utf-8", "replace"), "inline"), "")
                continue
            for path in rule_files(source):
                real = os.path.realpath(path)
                if real not in seen:
                    seen.add(real)
                    self._add_file(found, path)
        return found

    def save(self) -> None:
        """Write the cache where anything is new. What cannot be written is only said."""
        if self._file is None or not self._fresh:
            return
        kept = {digest: file for digest, file in self._kept.items() if digest in self._used}
        temporary = self._file.with_suffix(f".{os.getpid()}")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(temporary, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as stream:
                data = msgspec.msgpack.encode(kept)
                stream.write(_checksum(data) + data)
            temporary.replace(self._file)
            self._fresh = False
        except OSError as problem:
            log.warning("compiled rules cannot be kept", extra={"reason": str(problem)})
            with suppress(OSError):
                temporary.unlink()

    def _add_file(self, found: RuleSet, path: Path) -> None:
        try:
            with path.open("rb") as stream:
                data = stream.read(_MAX_RULE_BYTES + 1)
            if len(data) > _MAX_RULE_BYTES:
                reason = f"larger than {_MAX_RULE_BYTES:,} bytes, which no rule is"
                found.refused.append(Refusal(path.name, reason, str(path)))
                return
            found.add(self._compiled(data, path.name), str(path))
        except (OSError, UnicodeDecodeError) as problem:
            found.refused.append(Refusal(path.name, f"cannot be read: {problem}", str(path)))

    def _compiled(self, data: bytes, name: str) -> CompiledFile:
        digest = hashlib.blake2b(data, digest_size=20, key=name.encode("utf-8", "replace")[:64]).digest()
        found = self._kept.get(digest)
        if found is None:
            # pySigma takes a third of a second to import, which a full cache spares.
            from rules.engine.compiling import compile_text

            found = self._kept[digest] = compile_text(data.decode("utf-8"), name, self._pipelines)
            self._fresh = True
        self._used.add(digest)
        return found


def _read_cache(path: Path) -> dict[bytes, CompiledFile]:
    try:
        if path.stat().st_size > _MAX_CACHE_BYTES:
            return {}
        content = path.read_bytes()
        data = content[_CHECKSUM_BYTES:]
        if content[:_CHECKSUM_BYTES] != _checksum(data):  # a flipped bit would be another rule
            raise msgspec.DecodeError("the file is damaged")
        return msgspec.msgpack.decode(data, type=dict[bytes, CompiledFile])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, RecursionError) as problem:
        log.warning("compiled rules are made anew", extra={"file": str(path), "reason": str(problem)})
        return {}


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_CHECKSUM_BYTES).digest()


@cache
def _engine_digest() -> bytes:
    """Of the code that compiles, and of pySigma's version."""
    digest = hashlib.blake2b(version("pysigma").encode(), digest_size=12)
    for name in (
        "compiling",
        "conditions",
        "correlation_plan",
        "fields",
        "measures",
        "modifiers",
        "predicates",
        "processing",
        "ruleset",
        "terms",
        "translating",
    ):
        with suppress(OSError):
            digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.digest()


def _fingerprint(salt: str) -> str:
    return hashlib.blake2b(_engine_digest() + salt.encode(), digest_size=12).hexdigest()
