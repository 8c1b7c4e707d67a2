"""Many askers, one worker: what waits is taken together.

A lone request is not delayed. Under load a batch waits, for GATHER_SECONDS at most, until as many have come as were
in the last ones: those who were just answered ask again, and half of them must not be left to the batch after. Answers
are handed out before the worker goes on: it is a thread of the same interpreter, so side by side both would be slower.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from coalmine.errors import Broken, Temporary

GATHER_SECONDS = 0.002
Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Overloaded(Temporary):
    """The queue is full; `retry_after` is in whole seconds."""

    retry_after = 1


class Batcher(Generic[Item, Answer]):
    """Calls `work` (items -> as many answers, in order) in a thread of its own, never twice at once.

    Belongs to one event loop: call `ask` from there only. If `work` raises, all askers of that batch get the exception.
    """

    def __init__(
        self, work: Callable[[list[Item]], Sequence[Answer]], *, most: int = 64, queue: int = 1024, name: str = "work"
    ) -> None:
        """`most`: items in one batch; `queue`: items that may wait before askers are turned away."""
        self._work = work
        self._most = most
        self._queue = queue
        self._waiting: deque[tuple[list[Item], asyncio.Future[list[Answer]]]] = deque()
        self._items = 0
        self._busy = False
        self._expected = 1  # items of the last batches, as long as they keep coming
        self._gathering: asyncio.TimerHandle | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    @property
    def waiting(self) -> int:
        """Items that wait, without those that are being worked on."""
        return self._items

    async def ask(self, items: Sequence[Item]) -> list[Answer]:
        """The answers to `items`, in order. Items of one call are never divided over two batches.

        Raises:
            Overloaded: so many items wait already that these would have to wait for long.
        """
        if self._items + len(items) > self._queue:
            raise Overloaded(f"{self._items} items wait already", remedy="ask again in a second")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Answer]] = loop.create_future()
        self._waiting.append((list(items), future))
        self._items += len(items)
        if not self._busy:
            self._busy = True
            # Only after all requests that have arrived by now are read: they make one batch.
            loop.call_soon(self._gather, loop)
        elif self._gathering is not None and self._items >= self._expected:
            self._gathering.cancel()
            self._gathering = None
            loop.call_soon(self._next, loop)
        return await future

    def _gather(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take what waits when it is as much as last time, or when it has had its time to come."""
        if self._items >= self._expected or self._expected == 1:
            self._next(loop)
        else:
            self._gathering = loop.call_later(GATHER_SECONDS, self._gathered, loop)

    def _gathered(self, loop: asyncio.AbstractEventLoop) -> None:
        self._gathering = None
        self._next(loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        taken: list[tuple[list[Item], asyncio.Future[list[Answer]]]] = []
        count = 0
        while self._waiting and (not taken or count + len(self._waiting[0][0]) <= self._most):
            items, future = self._waiting.popleft()
            self._items -= len(items)
            if future.done():  # its asker has gone: a client that hung up, a time-out
                continue
            taken.append((items, future))
            count += len(items)
        # Falls slowly: one small batch between two large ones does not mean that the askers have gone.
        self._expected = max(1, count, self._expected * 3 // 4)
        if not taken:
            self._busy = False
            return
        batch = [item for items, _ in taken for item in items]
        done = loop.run_in_executor(self._thread, self._work, batch)
        done.add_done_callback(lambda result: self._deliver(taken, result, loop=loop))

    def _deliver(
        self,
        taken: list[tuple[list[Item], asyncio.Future[list[Answer]]]],
        result: asyncio.Future[Sequence[Answer]],
        *,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        error = asyncio.CancelledError() if result.cancelled() else result.exception()
        answers = [] if error else list(result.result())
        asked = sum(len(items) for items, _ in taken)
        if error is None and len(answers) != asked:
            error = Broken(f"{len(answers)} answers to {asked} items", remedy="one answer for each item, in order")
        at = 0
        for items, future in taken:
            if not future.done():
                if error is None:
                    future.set_result(answers[at : at + len(items)])
                else:
                    future.set_exception(error)
            at += len(items)
        self._gather(loop)

    def close(self) -> None:
        """Let the thread end; what it works on is finished first."""
        self._thread.shutdown(wait=True)
