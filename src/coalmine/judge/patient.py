"""Asking a source without waiting for ever: a disk or a server that hangs is no data, and no hook waits for it.

Each question is put by a thread of its own. If the answer takes longer than the patience, the caller goes on without;
the late answer is given at a later call. While one answer is late nobody waits again, so that a hung source costs one
second once and nothing after.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

SECONDS = 1.0
Asked = TypeVar("Asked")
Answered = TypeVar("Answered")
_log = structlog.get_logger("coalmine.judge")


class Patient(Generic[Asked, Answered]):
    """`read` behind a thread. Not for several callers at once."""

    def __init__(
        self,
        name: str,
        read: Callable[[Asked], Answered],
        *,
        failed: Callable[[str], None],
        seconds: float = SECONDS,
    ) -> None:
        self._name, self._read, self._failed, self._seconds = name, read, failed, seconds
        self._questions: queue.SimpleQueue[Asked] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Asked, Answered] | Exception] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._waits = False  # an answer is due
        self._says_so = True  # once for each time that it falls silent

    def ask(self, question: Asked) -> Answered | None:
        """The answer to this very question, or None: late, failed, or given to an earlier question."""
        late = self._waits
        if not late:
            self._begin()
            self._questions.put(question)
            self._waits = True
        try:
            answer = self._answers.get(timeout=0.0001 if late else self._seconds)
        except queue.Empty:
            if not late:
                self._complain("it does not answer")
            return None
        self._waits = False
        if isinstance(answer, Exception):
            self._complain(repr(answer))
            return None
        self._says_so = True
        return answer[1] if answer[0] == question else None

    def _complain(self, why: str) -> None:
        self._failed(self._name)
        if self._says_so:
            _log.warning("source failed", source=self._name, error=why)
        self._says_so = False

    def _begin(self) -> None:
        """A daemon: a read that hangs must not keep the process from ending."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"read-{self._name}", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            question = self._questions.get()
            try:
                self._answers.put((question, self._read(question)))
            except Exception as error:  # noqa: BLE001 (whatever a source raises is no data)
                self._answers.put(error)
