"""What a measurement is, and the list of all of them."""

from __future__ import annotations

import importlib
import pkgutil
import platform
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import psutil

import soc_api.bench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True)
class Figure:
    """One measured number. ``goal`` is the bar in words, ``ok`` whether ``value`` meets it (None: there is no bar).

    Several figures of one benchmark share its name and differ in ``unit``.
    """

    value: float
    unit: str
    goal: str
    ok: bool | None


@dataclass(frozen=True)
class Benchmark:
    name: str
    measure: Callable[[Callable[[str], None]], Iterable[Figure]]
    summary: str


_benchmarks: dict[str, Benchmark] = {}


def benchmark(
    name: str, summary: str
) -> Callable[[Callable[[Callable[[str], None]], Iterable[Figure]]], Callable[..., Any]]:
    """Register a measurement. It is called with a function that tells the person waiting what goes on."""

    def register(measure: Callable[[Callable[[str], None]], Iterable[Figure]]) -> Callable[..., Any]:
        if name in _benchmarks:
            raise ValueError(f"two benchmarks are called {name!r}")
        _benchmarks[name] = Benchmark(name, measure, summary)
        return measure

    return register


def all_benchmarks() -> dict[str, Benchmark]:
    """Every measurement by name, in alphabetical order."""
    for module in pkgutil.iter_modules(soc_api.bench.__path__):
        importlib.import_module(f"soc_api.bench.{module.name}")
    return dict(sorted(_benchmarks.items()))


def machine() -> str:
    """The machine in one line, for a reader of the figures."""
    memory = psutil.virtual_memory().total >> 30
    return f"{psutil.cpu_count()} cores, {memory} GiB, {platform.machine()}, Python {sys.version.split()[0]}"


def row(benchmark: Benchmark, figure: Figure) -> dict[str, Any]:
    """A benchmark's row in JSON: ``name value unit goal ok machine command``."""
    return {
        "name": benchmark.name,
        **asdict(figure),
        "machine": machine(),
        "command": f"vonggac bench {benchmark.name}",
    }
