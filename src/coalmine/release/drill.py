"""Enacts the faults of a release inside the service. With no faults each of these is a comparison."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

from coalmine.release.faults import Faults

Output: TypeAlias = Mapping[str, object]
CRASH_STATUS = 70
_MEBIBYTE = 1024 * 1024


class Drill:
    """One service's faults and what they need to remember: requests in flight, memory leaked."""

    def __init__(
        self, faults: Faults, *, wrong: Callable[[Output], Output], chance: Callable[[], float] = random.random
    ) -> None:
        """`wrong` turns an output into the wrong one; `chance` draws from [0, 1)."""
        self._faults = faults
        self._wrong = wrong
        self._chance = chance
        self._in_flight = 0
        self._leaked: list[bytearray] = []

    def at_start(self) -> None:
        """Before the service is ready: sleeps, or ends the process."""
        time.sleep(self._faults.slow_start_s)
        if self._faults.crash_at_start:
            sys.stderr.write("a drill: the release's fault crash_at_start\n")
            sys.stderr.flush()
            os._exit(CRASH_STATUS)

    @contextmanager
    def request(self) -> Iterator[None]:
        """Counts a request as in flight."""
        self._in_flight += 1
        try:
            limit = self._faults.crash_under_load
            if limit and self._in_flight >= limit:
                os._exit(CRASH_STATUS)  # as the kernel would do it: no answer, no clean-up
            yield
        finally:
            self._in_flight -= 1

    async def before(self) -> None:
        """Each prediction: leaks and waits."""
        if self._faults.leak_mb:
            # Written to, or the kernel would not count it.
            self._leaked.append(bytearray(b"\x01") * int(self._faults.leak_mb * _MEBIBYTE))
        if self._faults.delay_ms:
            await asyncio.sleep(self._faults.delay_ms / 1000)

    def fails(self) -> bool:
        return self._faults.error_rate > 0 and self._chance() < self._faults.error_rate

    def spoil(self, output: Output) -> Output:
        if self._faults.wrong_rate > 0 and self._chance() < self._faults.wrong_rate:
            return self._wrong(output)
        return output
