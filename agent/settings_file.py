"""Reads a program's settings: one TOML file, strict, every key overridable by environment.

Shared by the agent and the server because it is the same promise in both: an unknown key is an error that names
the nearest known one, a wrong type names the key, and nothing is touched while validating.

A settings class is a :class:`msgspec.Struct` of sections, each again a Struct. The environment variable of
``[web] port`` under the prefix ``VONGGAC`` is ``VONGGAC_WEB_PORT``; its value is read as TOML, or as text where it
is not TOML.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

S = TypeVar("S", bound=msgspec.Struct)


class SettingsError(Exception):
    """A setting that cannot be used; ``str()`` names the file or variable, the key and what to do."""


def load_settings(kind: type[S], path: Path | None, environ: Mapping[str, str], prefix: str) -> S:
    """Return validated settings of class ``kind``; a missing ``path`` means defaults. Reads, never writes.

    Raises:
        SettingsError: unreadable file, TOML error with its line, unknown key, wrong type or value.
    """
    raw = _read(kind, path, environ, prefix)
    try:
        return msgspec.convert(raw, kind, strict=True)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise SettingsError(f"{path or prefix + '_*'}: {error}") from error


def stated_keys(kind: type[S], path: Path | None, environ: Mapping[str, str], prefix: str) -> frozenset[str]:
    """The keys that the file or the environment says, as ``section.key``; raises as :func:`load_settings`."""
    raw = _read(kind, path, environ, prefix)
    return frozenset(
        f"{section}.{key}" for section, keys in raw.items() if isinstance(keys, dict) for key in keys
    )


def _read(
    kind: type[msgspec.Struct], path: Path | None, environ: Mapping[str, str], prefix: str
) -> dict[str, Any]:
    raw: dict[str, Any] = {}
    if path is not None:
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, too deep, a number beyond reason
            raise SettingsError(f"{path}: {error}") from error
    _refuse_unknown(kind, raw, str(path), ())
    sections = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for section, section_type in sections.items():
        for field in msgspec.structs.fields(section_type):
            variable = f"{prefix}_{section}_{field.name}".upper()
            if variable in environ:
                raw.setdefault(section, {})[field.name] = _toml_value(environ[variable])
    return raw


def _toml_value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _refuse_unknown(kind: type[msgspec.Struct], raw: object, source: str, where: tuple[str, ...]) -> None:
    if not isinstance(raw, dict):
        return
    known = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in raw.items():
        if key not in known:
            name = ".".join((*where, key))
            import difflib  # for who mistyped alone

            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = (
                f"; did you mean {'.'.join((*where, near[0]))!r}?" if near else f"; known: {', '.join(known)}"
            )
            raise SettingsError(f"{source}: unknown key {name!r}{hint}")
        inner = known[key]
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            _refuse_unknown(inner, value, source, (*where, key))
