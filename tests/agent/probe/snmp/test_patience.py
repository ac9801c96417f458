"""A time limit over what swallows its cancellation."""

from __future__ import annotations

import asyncio

import pytest

from agent.probe.snmp.patience import Patience


async def stubborn(times: int) -> str:
    for _ in range(times):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue
    await asyncio.sleep(3600)
    return "never"


def test_what_swallows_cancellations_ends_all_the_same() -> None:
    async def ask() -> None:
        with pytest.raises(TimeoutError):
            async with Patience(0.01):
                await stubborn(3)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        async with Patience(60):
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(ask(), 60))


def test_one_within_another_ends_with_the_one_that_ran_out() -> None:
    async def ask() -> str:
        try:
            async with Patience(0.01):
                try:
                    async with Patience(3600):
                        await stubborn(2)
                except TimeoutError:
                    return "inner"
        except TimeoutError:
            return "outer"
        return "none"

    assert asyncio.run(asyncio.wait_for(ask(), 60)) == "outer"


def test_who_is_cancelled_from_outside_is_cancelled() -> None:
    async def ask() -> bool:
        async def patient() -> None:
            async with Patience(3600):
                await asyncio.sleep(3600)

        task = asyncio.create_task(patient())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert asyncio.run(ask())
