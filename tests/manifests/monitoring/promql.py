"""What a query of Prometheus asks for: enough of the language to find the series and labels that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_STRING = r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\''
_SELECTOR = re.compile(rf"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?P<braces>\{{(?:[^}}\"']|{_STRING})*\}})?")
_LABEL = re.compile(rf"([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)\s*(?:{_STRING})")
_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_WORDS = {"and", "or", "unless", "offset", "bool", "by", "without", "on", "ignoring", "group_left", "group_right"}


@dataclass(frozen=True, slots=True)
class Selector:
    """One series that a query names, with the labels in its braces."""

    name: str
    labels: frozenset[str]


def selectors(query: str) -> Iterator[Selector]:
    """The series named, in order; functions, groupings, durations and strings are none."""
    text = _GROUPING.sub(" ", query)
    place = 0
    while place < len(text):
        quoted = re.compile(_STRING).match(text, place)
        if quoted:
            place = quoted.end()
            continue
        number = re.compile(r"\[[^\]]*\]|[0-9][0-9a-zA-Z_.]*").match(text, place)
        if number:
            place = number.end()
            continue
        found = _SELECTOR.match(text, place)
        if found is None:
            place += 1
            continue
        place = found.end()
        called = text[place:].lstrip().startswith("(") and not found["braces"]
        if not called and found["name"] not in _WORDS and found["name"].lower() not in {"inf", "nan"}:
            yield Selector(found["name"], frozenset(_LABEL.findall(found["braces"] or "")))
