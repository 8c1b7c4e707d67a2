"""`coalmine.dev/lint-ignore: "CM101 because ..."` on an object, `coalmine-lint: ignore CM101 because ...` in a file.

Several are put on lines of their own or parted by `;`. A reason is required, and what silences nothing is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from coalmine.lint.estate import Estate, File, Obj
from coalmine.lint.rule import Hit, Rule

ANNOTATION = "coalmine.dev/lint-ignore"
_ENTRY = re.compile(r"(?P<id>CM\d{3})\s+because\s+(?P<why>\S.{7,})\Z", re.DOTALL)
_COMMENT = re.compile(r"coalmine-lint:\s*ignore\s+(?P<entry>.*?)(?:\*/|-->)?\s*$")
MALFORMED, UNUSED = "CM001", "CM002"


class Silenced:
    """The silencing of one estate; `covers` notes what is used."""

    def __init__(self, estate: Estate, rules: Mapping[str, Rule]) -> None:
        self._rules = rules
        self._places: dict[tuple[int, str], Hit] = {}
        self._used: set[tuple[int, str]] = set()
        self._bad: list[Hit] = []
        for obj in estate.objects:
            note = obj.annotations.get(ANNOTATION)
            if note is not None:
                path = ("metadata", "annotations", ANNOTATION)
                for entry in entries(str(note)):
                    self._note(obj, entry, Hit(entry, obj=obj, path=path))
        for file in estate.files:
            for line, entry in comments(file):
                self._note(file, entry, file.hit(line, entry))

    def _note(self, place: Obj | File, entry: str, hit: Hit) -> None:
        match = _ENTRY.match(entry)
        if match is None:
            self._bad.append(_as(hit, f"{entry!r} is not `CM101 because ...` with a reason of eight letters or more"))
        elif match["id"] not in self._rules:
            self._bad.append(_as(hit, f"there is no rule {match['id']}"))
        else:
            self._places[id(place), match["id"]] = hit

    def covers(self, rule: Rule, hit: Hit) -> bool:
        key = (id(hit.obj or hit.file), rule.id)
        if key in self._places:
            self._used.add(key)
            return True
        return False

    def wrong(self) -> Iterator[tuple[Rule, Hit]]:
        yield from ((self._rules[MALFORMED], hit) for hit in self._bad)
        for key, hit in self._places.items():
            if key not in self._used:
                yield self._rules[UNUSED], _as(hit, f"{key[1]} finds nothing here")


def entries(note: str) -> list[str]:
    return [entry.strip() for entry in re.split(r"[;\n]", note) if entry.strip()]


def comments(file: File) -> Iterator[tuple[int, str]]:
    if "coalmine-lint:" in file.text:
        for number, line in file.lines():
            match = _COMMENT.search(line)
            if match:
                yield from ((number, entry) for entry in entries(match["entry"]))


def _as(hit: Hit, what: str) -> Hit:
    return Hit(what, obj=hit.obj, path=hit.path, file=hit.file, line=hit.line)
