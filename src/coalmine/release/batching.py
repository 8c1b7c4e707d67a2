"""Many askers, one worker: what waits is taken together as soon as the worker is free.

There is no waiting window, so a lone request is never delayed, and under load the batches grow by themselves to what
arrives while one batch is worked on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from coalmine.errors import Broken, Temporary

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
            loop.call_soon(self._next, loop)
        return await future

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
        self._next(loop)  # the worker goes on while we hand out
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

    def close(self) -> None:
        """Let the thread end; what it works on is finished first."""
        self._thread.shutdown(wait=True)
