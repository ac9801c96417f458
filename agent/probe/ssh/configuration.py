"""A configuration as it is kept and compared: without what changes by itself, and without its secrets."""

from __future__ import annotations

import difflib
import hashlib
import hmac
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from agent.probe.ssh.platforms import LONGEST_LINE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.probe.ssh.platforms import Platform

#: What one event holds of a difference at most.
DIFF_CHARACTERS: Final = 6_000
_CONTEXT_LINES: Final = 2
#: Comparing takes the time of changed lines before times after, and more where lines are alike: seconds with so many.
_MOST_COMPARED: Final = 2_000_000
_KEY_BEGIN: Final = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----")
_KEY_END: Final = "-----END "
#: Hashes of crypt(5) and of makers in its form; passwords in URLs.
_EVERYWHERE: Final = (
    re.compile(r"(\$(?:\d{1,2}|[a-z]\w{0,7})\$[^\s\";]+)"),
    re.compile(r"://[^\s/:@]{0,64}:([^\s/@]+)@"),
)


class Difference(Struct, frozen=True):
    """``text`` is a unified diff without its head, cut at :data:`DIFF_CHARACTERS`."""

    added: int
    removed: int
    text: str
    cut: bool


def cleaned(output: str, platform: Platform, key: bytes) -> str:
    """The configuration to keep: lines that change by themselves are gone, secrets are ``<hidden:…>``.

    The eight digits are of a keyed digest (HMAC-SHA-256 with the probe's own key), so that a changed secret shows as
    changed and nobody can try passwords against it without the probe. Every pattern is tried on one line at a time.
    """
    mask = platform.mask
    drop = [re.compile(pattern) for pattern in platform.normalise.drop]
    secrets = [*map(re.compile, mask.secrets), *_EVERYWHERE]
    salted = re.compile(mask.salted) if mask.salted else None
    sections = [(re.compile(each.begin), each.end, re.compile(each.secret)) for each in mask.sections]
    inside: tuple[str, re.Pattern[str]] | None = None

    def hide(match: re.Match[str]) -> str:
        return _hidden(match, key, salted)

    lines = []
    for line in _without_private_keys(output.replace("\r", "").split("\n"), key, keep=salted is None):
        if not line or line.isspace():
            lines.append("")
            continue
        if len(line) > LONGEST_LINE:
            lines.append(f"<long line: {_digits(line, key)}>")
            continue
        if inside is None:
            for begin, end, secret in sections:
                if begin.search(line):
                    inside = line[: len(line) - len(line.lstrip())] + end, secret
        elif line.rstrip() == inside[0]:
            inside = None
        if any(pattern.search(line) for pattern in drop):
            continue
        shown = line
        for pattern in [*secrets, inside[1]] if inside else secrets:
            shown = pattern.sub(hide, shown)
        lines.append(shown.rstrip())
    return "\n".join(lines).strip("\n") + "\n"


def _without_private_keys(lines: list[str], key: bytes, *, keep: bool) -> Iterator[str]:
    """What stands between the marks of a private key is one ``<hidden…>``; without an end mark, all that follows.
    Where not ``keep``, encrypted keys are shown anew each time: without digits."""
    before, held = "", None
    for line in lines:
        rest = line
        if held is None:
            begin = _KEY_BEGIN.search(line)
            if begin is None:
                yield line
                continue
            before, rest, held = line[: begin.end()], line[begin.end() :], hashlib.sha256()
        part, end, after = rest.partition(_KEY_END)
        held.update(part.encode("utf-8", "surrogatepass") + b"\n")
        if end:
            yield before + _shown_key(before, held.hexdigest(), key, keep=keep) + end + after
            held = None
    if held is not None:
        yield before + _shown_key(before, held.hexdigest(), key, keep=keep)


def _shown_key(before: str, digest: str, key: bytes, *, keep: bool) -> str:
    if not keep and before.endswith("ENCRYPTED PRIVATE KEY-----"):
        return "<hidden>"
    return f"<hidden:{_digits(digest, key)}>"


def _hidden(match: re.Match[str], key: bytes, salted: re.Pattern[str] | None) -> str:
    secret = match[1]
    if secret.startswith("<hidden"):
        return match[0]
    at = match.start(1) - match.start(0)
    shown = "<hidden>" if salted and salted.search(secret) else f"<hidden:{_digits(secret, key)}>"
    return match[0][:at] + shown + match[0][at + len(secret) :]


def _digits(text: str, key: bytes) -> str:
    return hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:8]


def digest_of(configuration: str) -> str:
    """SHA-256 of what is kept, hex."""
    return hashlib.sha256(configuration.encode("utf-8", "surrogatepass")).hexdigest()


def difference(before: str, after: str) -> Difference:
    """What came and went, line by line; of what would take too long to compare, the lines that came and went without
    their places."""
    old, new = before.splitlines(), after.splitlines()
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    same = 0
    while same < min(len(old), len(new)) - start and old[-1 - same] == new[-1 - same]:
        same += 1
    gone, come = old[start : len(old) - same], new[start : len(new) - same]
    much = len(gone) * len(come) > _MOST_COMPARED
    if much:
        lines = [f"-{line}" for line in (Counter(gone) - Counter(come)).elements()]
        lines += [f"+{line}" for line in (Counter(come) - Counter(gone)).elements()]
    else:
        first = max(0, start - _CONTEXT_LINES)
        until = same - _CONTEXT_LINES
        ends = (len(old) - until, len(new) - until) if until > 0 else (len(old), len(new))
        around = old[first : ends[0]], new[first : ends[1]]
        lines = list(difflib.unified_diff(*around, lineterm="", n=_CONTEXT_LINES))[2:]
        lines = [
            "@@" if line.startswith("@@") else line for line in lines
        ]  # numbers would count from `first`
    text = "\n".join(line[:512] for line in lines)
    return Difference(
        added=sum(line.startswith("+") for line in lines),
        removed=sum(line.startswith("-") for line in lines),
        text=text[:DIFF_CHARACTERS],
        cut=much or len(text) > DIFF_CHARACTERS,
    )
