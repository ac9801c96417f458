"""Which wheels a Python on Windows accepts. The installed agent has no pip there that could be asked."""

from __future__ import annotations


def tags_of_python(version: tuple[int, int], platform: str) -> list[str]:
    """As ``packaging.tags`` lists them for CPython, the best first (PEP 425).

    Args:
        platform: as :func:`sysconfig.get_platform` says it, ``win-amd64``.
    """
    major, minor = version
    platform = platform.replace("-", "_").replace(".", "_")
    own = f"cp{major}{minor}"
    earlier = [f"cp{major}{each}" for each in range(minor - 1, 1, -1)]
    generic = [f"py{major}{minor}", f"py{major}", *(f"py{major}{each}" for each in range(minor - 1, -1, -1))]
    return [
        *(f"{own}-{abi}-{platform}" for abi in (own, "abi3", "none")),
        *(f"{each}-abi3-{platform}" for each in earlier),
        *(f"{each}-none-{platform}" for each in generic),
        f"{own}-none-any",
        *(f"{each}-none-any" for each in generic),
    ]
