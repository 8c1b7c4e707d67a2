"""The exception tree. Whoever catches one learns from its type what may be done next.

CoalmineError              what went wrong, and the remedy; shown to a user without a traceback
 |-- BadInput               a file, field or argument is wrong: the user mends it (exit 2)
 |    `-- Refused           well-formed, but policy says no: a gate, a quarantine, a push check (exit 3)
 |-- NothingToDo            an answer, no failure: no run is due, or its candidate is no better (exit 99)
 |-- Missing                a program or package that the machine lacks: the remedy is a command (exit 4)
 |-- Temporary              may pass by itself: retried with a pause (exit 75 if it outlives the retries)
 `-- Broken                 a promise of ours does not hold: a bug, or a state folder changed by hand (exit 70)
"""

from __future__ import annotations


class CoalmineError(Exception):
    """What went wrong, where, and what to do about it."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  remedy: {self.remedy}" if self.remedy else text


class BadInput(CoalmineError):
    """A file, a field or an argument is wrong; `where` names it."""

    exit_code = 2


class Refused(BadInput):
    """Well-formed, but a gate, a quarantine or the push check says no."""

    exit_code = 3


class NothingToDo(CoalmineError):
    """Well, and ended: no run is due, another goes on, or the candidate is no better than the champion."""

    exit_code = 99  # Airflow's own default for "skip what follows"


class Missing(CoalmineError):
    """The machine lacks a program or a package; `remedy` is what to type."""

    exit_code = 4


class Temporary(CoalmineError):
    """May pass by itself; callers retry with a pause."""

    exit_code = 75


class Broken(CoalmineError):
    """A promise of Coalmine's own does not hold."""

    exit_code = 70
