"""Names for the numbers of this host's users and groups, asked once each."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=1000)
def user_name(uid: int) -> str:
    """The name of user number ``uid``; the number itself where there is none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


@lru_cache(maxsize=1000)
def group_name(gid: int) -> str:
    """The same for a group."""
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return str(gid)
