"""Fuzzing that looks for new code by coverage (Atheris, libFuzzer): ``make fuzz-guided``, parser by parser.

``python -m tests.fuzz.guided [words of names] [--seconds 60]``. Each parser runs in a process of its own; what it must
not raise ends it, and the input is kept in ``.fuzz/<parser>/`` beside the inputs that were found to be of interest.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tests.fuzz.parser import Parser

_KEPT: Final = Path(__file__).parents[2] / ".fuzz"
#: Seconds of CPU for one input, after which libFuzzer calls it a hang.
_HANG_SECONDS: Final = 20


def main() -> int:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("words", nargs="*", help="parts of names; none: every parser")
    arguments.add_argument("--seconds", type=int, default=60, help="for each parser")
    arguments.add_argument("--number", type=int, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.number is not None:
        _run(given.number, given.seconds)
    from tests.fuzz.registry import PARSERS

    chosen = [
        n
        for n, each in enumerate(PARSERS)
        if not given.words or any(word in each.name for word in given.words)
    ]
    failed = []
    for number in chosen:
        sys.stdout.write(f"-- {PARSERS[number].name}\n")
        sys.stdout.flush()
        command = [
            sys.executable,
            "-m",
            "tests.fuzz.guided",
            "--number",
            str(number),
            "--seconds",
            str(given.seconds),
        ]
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(PARSERS[number].name)
    sys.stdout.write(f"{len(chosen)} parsers, {len(failed)} with findings: {', '.join(failed) or 'none'}\n")
    return 1 if failed or not chosen else 0


def _run(number: int, seconds: int) -> None:
    """Does not return: libFuzzer ends the process."""
    atheris: Any = importlib.import_module("atheris")  # an optional tool, which is in no lock file
    with atheris.instrument_imports(include=["agent", "collector"]):
        from tests.fuzz.registry import PARSERS
    parser = PARSERS[number]
    folder = _KEPT / f"{number:03d}-{parser.name}"
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for place, seed in enumerate(parser.encoded_seeds()):
        (corpus / f"seed-{place}").write_bytes(seed)
    limits = [f"-max_total_time={seconds}", f"-max_len={parser.longest}", f"-timeout={_HANG_SECONDS}"]
    report = [f"-artifact_prefix={folder}{os.sep}", "-verbosity=0", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], str(corpus), *limits, *report], lambda data: _one(parser, data))
    atheris.Fuzz()


def _one(parser: Parser, data: bytes) -> None:
    try:
        given = parser.input_of(data)
    except ValueError:
        return
    with contextlib.suppress(*parser.raises):
        parser.call(given)


if __name__ == "__main__":
    sys.exit(main())
