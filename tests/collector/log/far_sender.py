"""Run in a namespace of its own: `far_sender.py URL ENDPOINTS`. Sends batches through a real writer as agents would,
each endpoint its own numbers in order, again until they are acknowledged, until its input ends. Every
acknowledged batch is a line `endpoint seq`.
"""

from __future__ import annotations

import asyncio
import sys

from collector.log.errors import LogError
from collector.log.interface import LogRow
from collector.log.jetstream.writer import NatsWriter
from collector.settings import Log


async def send(writer: NatsWriter, endpoint: str, ended: asyncio.Event) -> None:
    seq = 1
    while not ended.is_set():
        row = LogRow(0, "batch", endpoint, "s", seq, 1.0, 2.0, f"{endpoint}/{seq}".encode())
        try:
            await writer.append(row)
        except LogError as error:
            print(f"! {error}", flush=True)
            await asyncio.sleep(0.2)
            continue
        print(f"{endpoint} {seq}", flush=True)
        seq += 1
        await asyncio.sleep(0.005)


async def main() -> None:
    url, endpoints = sys.argv[1], int(sys.argv[2])
    writer = NatsWriter(Log(url=url))
    ended = asyncio.Event()
    sending = [asyncio.create_task(send(writer, f"host-{number}", ended)) for number in range(endpoints)]
    await asyncio.to_thread(sys.stdin.read)
    ended.set()
    await asyncio.gather(*sending)
    await asyncio.to_thread(writer.close)
    print("end", flush=True)


asyncio.run(main())
