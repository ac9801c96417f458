"""Run in a namespace of its own: `far_reader.py URL`. Makes the stream, says so, reads all partitions with a real
reader as a worker does, and writes each row as a line `endpoint seq body`, until its input ends and nothing waits.
"""

from __future__ import annotations

import sys
import threading
import time

from collector.log.errors import LogError
from collector.log.interface import moved
from collector.log.jetstream.preparing import prepare_stream
from collector.log.jetstream.reader import NatsReader
from collector.partitions import all_from
from collector.settings import Log


def prepare(settings: Log) -> None:
    """As often as it takes: servers that have just started may elect another leader at once."""
    while True:
        try:
            prepare_stream(settings, 0)
        except LogError as error:
            print(f"! {error}", flush=True)
            time.sleep(0.2)
        else:
            return


def main() -> None:
    settings = Log(url=sys.argv[1], max_bytes=1 << 30)
    prepare(settings)
    print("ready", flush=True)
    reader = NatsReader(settings)
    ended = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=listen, daemon=True).start()
    positions = all_from(0)
    while True:
        try:
            rows = reader.read(positions, 200)
            done = not rows and ended.is_set() and reader.first_waiting(positions) is None
        except LogError as error:
            print(f"! {error}", flush=True)
            time.sleep(0.2)
            continue
        for row in rows:
            print(f"{row.endpoint_id} {row.seq} {row.body.decode()}", flush=True)
        positions = moved(positions, rows)
        if done:
            break
        if not rows:
            time.sleep(0.02)
    reader.close()
    print("end", flush=True)


main()
