"""``python -m agent.simulator``: simulated endpoints, from one process, through the real protocol.

Exit status 0: stopped by a signal; 1: nobody could enrol; 2: wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import signal
import sys
from pathlib import Path

from agent.runtime.log import Log
from agent.runtime.transport import Address
from agent.simulator.endpoint import Pace
from agent.simulator.mix import DEFAULT, load_mix, names
from agent.simulator.province import Province, read_tokens


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m agent.simulator",
        description="Run simulated endpoints, one for each token, against a collector.",
        epilog="example: python -m agent.simulator --collector https://127.0.0.1:8444 --tokens tokens.jsonl "
        "--state simulated",
    )
    parser.add_argument(
        "--collector", required=True, metavar="URL", help="the collector's agent port, https://…"
    )
    parser.add_argument(
        "--tokens",
        required=True,
        type=Path,
        metavar="FILE",
        help="JSON lines: token, agency_code, agency_name",
    )
    parser.add_argument("--state", required=True, type=Path, metavar="DIR", help="keys, certificates, memory")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another N, another province (1)")
    parser.add_argument(
        "--heartbeat", type=float, default=120.0, metavar="S", help="seconds between signs of life"
    )
    parser.add_argument(
        "--spread", type=float, default=45.0, metavar="S", help="seconds the first words take"
    )
    parser.add_argument("--mix", default=DEFAULT, metavar="NAME", help=f"what happens ({DEFAULT})")
    parser.add_argument("--mixes", action=_Mixes, help="say as JSON which mixes there are")
    arguments = parser.parse_args()
    pace = Pace(heartbeat=arguments.heartbeat, spread=arguments.spread)
    try:
        address = Address.of(arguments.collector)
        tokens = read_tokens(arguments.tokens)
        province = Province(address, tokens, arguments.state, arguments.seed, Log(), pace, arguments.mix)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"simulator: {error}\n")
        return 2
    _raise_file_limit()
    return asyncio.run(_run(province))


class _Mixes(argparse.Action):
    def __init__(self, option_strings: list[str], dest: str, help: str) -> None:  # noqa: A002 - argparse's name
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        sys.stdout.write(json.dumps({name: load_mix(name).summary for name in names()}) + "\n")
        parser.exit()


def _raise_file_limit() -> None:
    """A connection is an open file."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _run(province: Province) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    enrolling = asyncio.create_task(province.enrol_all())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({enrolling, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if stop.is_set():
        enrolling.cancel()
        return 0
    if enrolling.result() == 0:
        return 1
    await province.run(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
