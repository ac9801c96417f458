"""What a check may say. The form is closed: a test names a fact from this list, never a command, and a file of checks
is data that can do nothing but be read.

A set of checks is a JSON object of the form of :class:`CheckSet`; in the YAML that people write each check also
carries its words (``soc_api.assessment``).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

Id = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{2,59}$")]
Word = Annotated[str, Meta(min_length=1, max_length=200)]
Words = Annotated[list[Word], Meta(min_length=1, max_length=64)]
#: An absolute path; its last part may be a pattern as of glob(7).
HostPath = Annotated[str, Meta(pattern=r"^/(?!.*(?:^|/)\.\.(?:/|$))[^\x00-\x1f]{1,199}$")]
Importance = Literal["high", "medium", "low"]
Role = Literal["server", "workstation"]
Platform = Literal["linux", "windows"]

#: Tests inside each other; more is not a check any more, but a program.
MAX_DEPTH: Final = 4


class Valued(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What a value has to be; every condition given has to hold.

    ``one_of`` and ``none_of`` compare without case; ``excludes`` takes the value as a list (by commas or spaces) that
    may hold none of these. ``default`` is what counts where the setting is not set; without it, not set is failed.
    """

    one_of: list[Word] = []
    none_of: list[Word] = []
    excludes: list[Word] = []
    at_least: int | None = None
    at_most: int | None = None
    default: str | None = None

    def __post_init__(self) -> None:
        if not (self.one_of or self.none_of or self.excludes) and self.at_least is self.at_most is None:
            raise ValueError("says nothing of the value: one_of, none_of, excludes, at_least or at_most")


class All(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="all"):
    """Each of these tests has to pass."""

    of: Annotated[list[Test], Meta(min_length=1, max_length=16)]


class Any(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="any"):
    """One of these tests has to pass."""

    of: Annotated[list[Test], Meta(min_length=1, max_length=16)]


class Not(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="not"):
    """The test has to fail."""

    of: Test


class Sshd(Valued, frozen=True, tag_field="kind", tag="sshd"):
    """An effective setting of sshd, by its name in sshd_config(5)."""

    option: Annotated[str, Meta(pattern=r"^[A-Za-z0-9]{1,60}$")]


class Sysctl(Valued, frozen=True, tag_field="kind", tag="sysctl"):
    """A parameter of the running kernel, ``net.ipv4.tcp_syncookies``."""

    key: Annotated[str, Meta(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)+$", max_length=100)]


class Setting(Valued, frozen=True, tag_field="kind", tag="setting"):
    """A key of text files: ``KEY value``, or ``key = value`` where ``equals``; the last file and line wins.

    ``section`` is an INI section; without one the sections are not looked at. ``names: apt``: of the files that fit
    only those count whose names apt takes (apt.conf(5)).
    """

    paths: Annotated[list[HostPath], Meta(min_length=1, max_length=8)]
    key: Word
    section: str = ""
    equals: bool = True
    names: Literal["any", "apt"] = "any"


class Sudo(Valued, frozen=True, tag_field="kind", tag="sudo"):
    """A ``Defaults`` of sudoers for everybody; a flag is ``on`` or ``off``."""

    option: Annotated[str, Meta(pattern=r"^[a-z_]{1,60}$")]


class File(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind", tag="file"):
    """Files by path: whether they exist, who owns them, and that no bit beyond ``mode`` (octal) is set.

    ``missing`` is the result where none exists (and ``exists`` is not asked for).
    """

    path: HostPath
    exists: bool | None = None
    mode: Annotated[str, Meta(pattern=r"^0[0-7]{3}$")] | None = None
    owners: list[Word] = []
    groups: list[Word] = []
    missing: Literal["passed", "failed"] = "passed"

    def __post_init__(self) -> None:
        if self.exists is None and self.mode is None and not self.owners and not self.groups:
            raise ValueError("says nothing of the file: exists, mode, owners or groups")


class Pam(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind", tag="pam"):
    """One of ``modules`` stands in the stack ``type`` of the first service of ``services`` that exists."""

    services: Words
    type: Literal["auth", "account", "password", "session"]
    modules: Words
    arguments: list[Word] = []


class Mount(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="mount"):
    """``path`` is a mount of its own and has all these options."""

    path: HostPath
    options: Words


class Unit(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="unit"):
    """Units of systemd: one of them is ``running`` or ``enabled``, or none of them is either (``off``)."""

    names: Annotated[list[Annotated[str, Meta(pattern=r"^[A-Za-z0-9@._-]{1,100}$")]], Meta(min_length=1)]
    state: Literal["running", "enabled", "off"]


class Package(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="package"):
    """One of these packages is installed, or none of them."""

    names: Annotated[
        list[Annotated[str, Meta(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9.+_-]{0,100}$")]], Meta(min_length=1)
    ]
    present: bool


class Module(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="module"):
    """A kernel module is neither loaded nor can be loaded: modprobe.d(5) gives it to ``false`` or ``true``."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,60}$")]


class Accounts(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="accounts"):
    """No account but root's has the number 0, or none that may sign in has an empty password."""

    none: Literal["uid_zero", "empty_password"]


class Firewall(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="firewall"):
    """The packet filter turns something away, as the collector ``firewall_local`` judges it."""


class Registry(Valued, frozen=True, tag_field="kind", tag="registry"):
    r"""A value of Windows' registry, 64-bit view: ``key`` below ``HKEY_LOCAL_MACHINE``, numbers in decimal."""

    key: Annotated[str, Meta(pattern=r"^[^\\/\x00-\x1f][^/\x00-\x1f]{1,250}[^\\/\x00-\x1f]$")]
    value: Word


class Audit(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind", tag="audit"
):
    """A subcategory of Windows' audit policy, by its GUID ([MS-GPAC] 2.2.1.2), records what is named here."""

    subcategory: Annotated[str, Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    success: bool = False
    failure: bool = False

    def __post_init__(self) -> None:
        if not (self.success or self.failure):
            raise ValueError("asks for nothing: success or failure")


class Security(Valued, frozen=True, tag_field="kind", tag="security"):
    """A setting of Windows' local security policy, section ``System Access`` ([MS-GPSB] 2.2.1)."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z]{1,60}$")]


Leaf = (
    Sshd
    | Sysctl
    | Setting
    | Sudo
    | File
    | Pam
    | Mount
    | Unit
    | Package
    | Module
    | Accounts
    | Firewall
    | Registry
    | Audit
    | Security
)
Test = All | Any | Not | Leaf
_WINDOWS: Final = (Registry, Audit, Security)


class Applies(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """To whom a check applies; empty: to all of its platform.

    ``distributions`` are ``ID`` or ``ID_LIKE`` of os-release(5). ``where`` is a test that has to pass (the software
    is there); where it cannot be told, nor can the check. A role that is not known rules nothing out.
    """

    roles: list[Role] = []
    distributions: list[Word] = []
    where: Test | None = None


class Check(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One check. ``levels`` are the security levels of an information system (cấp độ) from which it is asked."""

    id: Id
    importance: Importance
    levels: Annotated[list[Annotated[int, Meta(ge=1, le=5)]], Meta(min_length=1)]
    test: Test
    applies: Applies = Applies()

    def tests(self) -> Iterator[Leaf]:
        """All tests of facts in it, those of ``applies`` too."""
        yield from leaves(self.test)
        if self.applies.where is not None:
            yield from leaves(self.applies.where)


class CheckSet(Struct, frozen=True, forbid_unknown_fields=True):
    """``version`` grows with every change of content."""

    set: Id
    version: Annotated[int, Meta(ge=1)]
    platform: Platform
    checks: Annotated[list[Check], Meta(min_length=1, max_length=200)]


def leaves(test: Test) -> Iterator[Leaf]:
    """The tests of facts in ``test``, in order."""
    if isinstance(test, All | Any):
        for each in test.of:
            yield from leaves(each)
    elif isinstance(test, Not):
        yield from leaves(test.of)
    else:
        yield test


def depth(test: Test) -> int:
    if isinstance(test, All | Any):
        return 1 + max(depth(each) for each in test.of)
    return 1 + depth(test.of) if isinstance(test, Not) else 0


def fault_of(check: Check, platform: Platform) -> str:
    """What the form alone cannot say of a check, empty where it is sound."""
    if depth(check.test) > MAX_DEPTH or (check.applies.where and depth(check.applies.where) > MAX_DEPTH):
        return f"more than {MAX_DEPTH} tests inside each other"
    wrong = [
        type(leaf).__struct_config__.tag
        for leaf in check.tests()
        if isinstance(leaf, _WINDOWS) != (platform == "windows")
    ]
    return f"{platform} has no test {wrong[0]!r}" if wrong else ""


@cache
def decoder() -> msgspec.json.Decoder[CheckSet]:
    return msgspec.json.Decoder(CheckSet)
