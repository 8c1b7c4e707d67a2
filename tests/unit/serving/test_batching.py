from __future__ import annotations

import asyncio
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.errors import Broken
from coalmine.release.batching import Batcher, Overloaded


@settings(max_examples=40)
@given(asked=st.lists(st.lists(st.integers(), min_size=1, max_size=9), max_size=30), most=st.integers(1, 20))
def test_each_asker_gets_the_answers_to_its_own_items_in_order(asked: list[list[int]], most: int) -> None:
    sizes: list[int] = []

    def work(items: list[int]) -> list[int]:
        sizes.append(len(items))
        return [item * 2 for item in items]

    async def run() -> list[list[int]]:
        batcher = Batcher(work, most=most)
        answers = await asyncio.gather(*(batcher.ask(items) for items in asked))
        batcher.close()
        return answers

    assert asyncio.run(run()) == [[item * 2 for item in items] for items in asked]
    longest = max(map(len, asked), default=0)
    assert all(size <= max(most, longest) for size in sizes)
    assert sum(sizes) == sum(map(len, asked))


def test_what_waits_while_the_worker_is_busy_is_one_batch() -> None:
    go = threading.Event()
    sizes: list[int] = []

    def work(items: list[int]) -> list[int]:
        go.wait(5)
        sizes.append(len(items))
        return items

    async def run() -> None:
        batcher = Batcher(work)
        first = asyncio.create_task(batcher.ask([0]))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(batcher.ask([number])) for number in range(20)]
        await asyncio.sleep(0.05)
        assert batcher.waiting == 20
        go.set()
        await asyncio.gather(first, *others)
        batcher.close()

    asyncio.run(run())
    assert sizes == [1, 20]


def test_a_full_queue_turns_askers_away_and_recovers() -> None:
    go = threading.Event()

    def work(items: list[int]) -> list[int]:
        go.wait(5)
        return items

    async def run() -> None:
        batcher = Batcher(work, queue=2)
        first = asyncio.create_task(batcher.ask([0]))
        await asyncio.sleep(0.05)
        waiting = [asyncio.create_task(batcher.ask([number])) for number in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await batcher.ask([3])
        go.set()
        assert await asyncio.gather(first, *waiting) == [[0], [1], [2]]
        assert await batcher.ask([4]) == [4]
        batcher.close()

    asyncio.run(run())


def test_a_failing_batch_fails_its_askers_and_nobody_else() -> None:
    def work(items: list[int]) -> list[int]:
        if 13 in items:
            raise ValueError("13")
        return items

    async def run() -> None:
        batcher = Batcher(work, most=1)
        answers = await asyncio.gather(*(batcher.ask([n]) for n in (12, 13, 14)), return_exceptions=True)
        assert answers[0] == [12]
        assert isinstance(answers[1], ValueError)
        assert answers[2] == [14]
        batcher.close()

    asyncio.run(run())


def test_a_model_that_answers_too_little_is_a_bug_and_said_so() -> None:
    async def run() -> None:
        batcher: Batcher[int, int] = Batcher(lambda items: items[1:])
        with pytest.raises(Broken, match="0 answers to 1 items"):
            await batcher.ask([1])
        batcher.close()

    asyncio.run(run())


def test_an_asker_that_has_gone_is_not_worked_for() -> None:
    worked: list[int] = []

    def work(items: list[int]) -> list[int]:
        time.sleep(0.1)
        worked.extend(items)
        return items

    async def run() -> None:
        batcher = Batcher(work)
        first = asyncio.create_task(batcher.ask([0]))
        await asyncio.sleep(0.02)
        gone = asyncio.create_task(batcher.ask([1]))
        await asyncio.sleep(0)
        gone.cancel()
        await first
        assert await batcher.ask([2]) == [2]
        assert batcher.waiting == 0
        batcher.close()

    asyncio.run(run())
    assert worked == [0, 2]
