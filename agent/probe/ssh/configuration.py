"""A configuration as it is kept and compared: without what changes by itself, and without its secrets."""

from __future__ import annotations

import difflib
import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from agent.probe.ssh.platforms import LONGEST_LINE

if TYPE_CHECKING:
    from agent.probe.ssh.platforms import Platform

#: What one event holds of a difference at most.
DIFF_CHARACTERS: Final = 6_000
_CONTEXT_LINES: Final = 2
#: Comparing more lines than this by meaning would take minutes: then it is told that much changed, not what.
_MOST_COMPARED_LINES: Final = 20_000


class Difference(Struct, frozen=True):
    """``text`` is a unified diff without its head, cut at :data:`DIFF_CHARACTERS`."""

    added: int
    removed: int
    text: str
    cut: bool


def cleaned(output: str, platform: Platform, key: bytes) -> str:
    """The configuration to keep: lines that change by themselves are gone, secrets are ``<hidden:…>``.

    The eight digits are of a keyed digest (HMAC-SHA-256 with the probe's own key), so that a changed secret shows as
    changed and nobody can try passwords against it without the probe.
    """
    text = output.replace("\r", "")
    for block in platform.mask.blocks:
        text = re.sub(
            block, lambda match: _hidden(match, key, salted=platform.mask.salted), text, flags=re.DOTALL
        )
    drop = [re.compile(pattern) for pattern in platform.normalise.drop]
    secrets = [re.compile(pattern) for pattern in platform.mask.secrets]
    lines = []
    for line in text.split("\n"):
        if len(line) > LONGEST_LINE:
            lines.append(f"<long line: {_digits(line, key)}>")
            continue
        if any(pattern.search(line) for pattern in drop):
            continue
        shown = line
        for secret in secrets:
            shown = secret.sub(lambda match: _hidden(match, key, salted=platform.mask.salted), shown)
        lines.append(shown.rstrip())
    return "\n".join(lines).strip("\n") + "\n"


def _hidden(match: re.Match[str], key: bytes, *, salted: bool) -> str:
    secret = match[1]
    if secret.startswith("<hidden"):
        return match[0]
    at = match.start(1) - match.start(0)
    shown = "<hidden>" if salted else f"<hidden:{_digits(secret, key)}>"
    return match[0][:at] + shown + match[0][at + len(secret) :]


def _digits(text: str, key: bytes) -> str:
    return hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:8]


def digest_of(configuration: str) -> str:
    """SHA-256 of what is kept, hex."""
    return hashlib.sha256(configuration.encode("utf-8", "surrogatepass")).hexdigest()


def difference(before: str, after: str) -> Difference:
    """What came and went, line by line."""
    old, new = before.splitlines(), after.splitlines()
    if max(len(old), len(new)) > _MOST_COMPARED_LINES:
        gone, come = set(old) - set(new), set(new) - set(old)
        return Difference(len(come), len(gone), "", cut=True)
    lines = list(difflib.unified_diff(old, new, lineterm="", n=_CONTEXT_LINES))[2:]
    text = "\n".join(line[:512] for line in lines)
    return Difference(
        added=sum(line.startswith("+") for line in lines),
        removed=sum(line.startswith("-") for line in lines),
        text=text[:DIFF_CHARACTERS],
        cut=len(text) > DIFF_CHARACTERS,
    )
