"""What a rule is, what it finds, and how one is silenced where it is known to be meant so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from coalmine.errors import Broken
from coalmine.lint.tree import Path

if TYPE_CHECKING:
    from coalmine.lint.estate import Estate, File, Obj


class Severity(StrEnum):
    """An error bites for certain; a warning under conditions that no file shows."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where a rule's trap is set: a field of an object, or a line (from 1) of a file."""

    what: str
    obj: Obj | None = None
    path: Path = ()
    file: File | None = None
    line: int = 0


Check = Callable[["Estate"], Iterator[Hit]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One trap. `good` and `bad` are a YAML stream of objects, or texts each under a line `# file: <path>`; the tests
    hold that `bad` fires this rule alone and `good` none. `whole`: the examples are read as all that a cluster holds.
    """

    id: str
    title: str
    severity: Severity
    reason: str
    remedy: str
    source: str
    check: Check
    good: str
    bad: str
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """A hit with all that a reader needs. `file` is relative to the project; line 0: not known."""

    rule: str
    severity: Severity
    what: str
    reason: str
    remedy: str
    kind: str = ""
    namespace: str = ""
    name: str = ""
    field: str = ""
    file: str = ""
    line: int = 0
    column: int = 1

    @property
    def object(self) -> str:
        """`Kind namespace/name`, empty for a file."""
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}" if self.kind else ""


def swapped(text: str, old: str, new: str) -> str:
    """An example with one thing changed. Raises Broken where `old` is not in it."""
    if old not in text:
        raise Broken(f"an example lacks {old!r}", remedy="write the change against the example as it is")
    return text.replace(old, new, 1)
